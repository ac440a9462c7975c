package gc

import (
	"bytes"
	"testing"
)

func FuzzPolicy(f *testing.F) {
	for _, s := range []string{`{"rules":[]}`, `{"rules":[{"repositories":"golden/*","keepNewest":3}]}`, `{}`, `null`, `{"rule":1}`, `{"rules":[{"keepNewest":-1}]}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := ReadPolicy(bytes.NewReader(raw))
		if err != nil {
			return
		}
		if err := p.Check(); err != nil {
			t.Errorf("%q was read and is not valid: %v", raw, err)
		}
		for _, r := range p.Rules {
			if r.KeepNewest < 0 || r.DeleteUntagged < 0 {
				t.Errorf("%q was read as %+v", raw, r)
			}
		}
	})
}
