package journal

import (
	"fmt"
	"testing"
)

// BenchmarkPut puts manifests with a tag, and for comparison also waits for the
// journal of each: that is what it would cost to lose nothing at all.
func BenchmarkPut(b *testing.B) {
	for engine := range engines {
		for driver := range drivers {
			for _, wait := range []bool{false, true} {
				b.Run(fmt.Sprintf("%s/%s/wait=%v", engine, driver, wait), func(b *testing.B) {
					w := newWorld(b, engine, driver, 0)
					m := w.image("a", "")
					serial := 0
					for b.Loop() {
						serial++
						m.Annotations = map[string]string{"serial": fmt.Sprint(serial)}
						w.putManifest("a", m.MediaType, m, "v1")
						if wait {
							w.must(w.keeper.Flush(w.ctx))
						}
					}
				})
			}
		}
	}
}
