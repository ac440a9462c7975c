package converter

import (
	"encoding/json"
	"testing"

	"github.com/cloudlets/cloudlets/api"
)

// FuzzRenderRequest derives keys of requests as clients send them: the parameters
// say all that the key was made of.
func FuzzRenderRequest(f *testing.F) {
	for _, s := range []string{
		`{"image":"sha256:x","format":"raw"}`, `{"format":"qcow2","size":-1,"config":{"hostname":"a","args":{"b":1}}}`,
		`{"config":null}`, `{"config":{"dns":["1.1.1.1"]}}`, `{"config":{"hostname":1}}`, `{"kernelArgs":"\u0000"}`, `{}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		var ask api.RenderRequest
		if json.Unmarshal(raw, &ask) != nil {
			return
		}
		parameters, key, err := derive(ask, ask.Config)
		if err != nil {
			return
		}
		again, same, err := derive(ask, ask.Config)
		if err != nil || again != parameters || same != key || key.Validate() != nil || !json.Valid([]byte(parameters)) {
			t.Errorf("%q derives %s from %q, then %s from %q, %v", raw, key, parameters, same, again, err)
		}
	})
}
