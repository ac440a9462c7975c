package formattest

import (
	"fmt"
	"testing"

	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/extent"
)

// BenchmarkWrite measures how long the tables of disks of 100 GiB take: of one
// that is nearly empty, and of one of many pieces.
func (f Format) BenchmarkWrite(b *testing.B) {
	sparse := convertertest.Build(b, func(b *extent.Builder) { b.Inline([]byte("boot")); b.ZeroTo(100 * gib) })
	dense := convertertest.Build(b, func(b *extent.Builder) {
		for i := range int64(100_000) {
			b.Source(extent.Digest(fmt.Sprint("sha256:", i%7)), i*5000, 4096+i%60000)
			if i%3 == 0 {
				b.Zero(i % 90000)
			}
		}
		b.ZeroTo(100 * gib)
	})
	for name, disk := range map[string]*extent.Map{"sparse": sparse, "dense": dense} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := f.Write(disk); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
