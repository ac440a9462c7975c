package converter

import (
	"encoding/json"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/api"
)

// derive returns the parameters and the key of a request with a configuration.
func derive(req api.RenderRequest, config json.RawMessage) (parameters string, key digest.Digest, err error) {
	d := Derive(req)
	d.Config = config
	return d.Canonical()
}

func TestEqualRequestsHaveEqualKeys(t *testing.T) {
	image := digest.FromString("image")
	base := api.RenderRequest{Image: image, Format: "qcow2", KernelArgs: "a b"}
	config := json.RawMessage(`{"hostname":"x"}`)
	same := base
	same.KernelArgs = "  a   b "
	_, want, err := derive(base, config)
	if err != nil {
		t.Fatal(err)
	}
	if _, got, err := derive(same, config); err != nil || got != want {
		t.Errorf("the same request has the key %s (%v), want %s", got, err, want)
	}
	for name, change := range map[string]func(*api.RenderRequest){
		"another image":       func(r *api.RenderRequest) { r.Image = digest.FromString("other") },
		"another format":      func(r *api.RenderRequest) { r.Format = "raw" },
		"another size":        func(r *api.RenderRequest) { r.Size = 1 << 30 },
		"more free space":     func(r *api.RenderRequest) { r.FreeSpace = 1 << 20 },
		"volatile paths kept": func(r *api.RenderRequest) { r.Volatile = true },
		"other kernel args":   func(r *api.RenderRequest) { r.KernelArgs = "b a" },
		"another type":        func(r *api.RenderRequest) { r.Type = "filesystem" },
		"an entry point":      func(r *api.RenderRequest) { r.Entrypoint = "init" },
		"a persistent disk":   func(r *api.RenderRequest) { r.Persistent = true },
		"volatile in memory":  func(r *api.RenderRequest) { r.VolatileTmpfs = true },
		"a boot kit":          func(r *api.RenderRequest) { r.Bootkit = &api.Bootkit{Repository: "kits", Digest: image} },
	} {
		t.Run(name, func(t *testing.T) {
			other := base
			change(&other)
			if _, got, err := derive(other, config); err != nil || got == want {
				t.Errorf("got the same key (%v)", err)
			}
		})
	}
}

func TestAnotherConfigurationHasAnotherKey(t *testing.T) {
	req := api.RenderRequest{Image: digest.FromString("image"), Format: "raw"}
	seen := make(map[digest.Digest]string)
	for _, config := range []string{"", `{"hostname":"x"}`, `{"hostname":"y"}`} {
		_, key, err := derive(req, json.RawMessage(config))
		if err != nil || seen[key] != "" {
			t.Errorf("%q has the key of %q (%v)", config, seen[key], err)
		}
		seen[key] = config + " "
	}
}
