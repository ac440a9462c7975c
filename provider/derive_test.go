package provider

import (
	"encoding/json"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/api"
)

func TestEqualRequestsHaveEqualKeys(t *testing.T) {
	image := digest.FromString("image")
	base := api.RenderRequest{Image: image, Format: "qcow2", KernelArgs: "a b", Config: json.RawMessage(`{"hostname":"x","args":{"a":1,"b":2}}`)}
	same := base
	same.KernelArgs = "  a   b "
	same.Config = json.RawMessage("{\n \"args\": {\"b\":2, \"a\":1}, \"hostname\": \"x\" }")
	_, want, err := derive(base)
	if err != nil {
		t.Fatal(err)
	}
	if _, got, err := derive(same); err != nil || got != want {
		t.Errorf("the same request has the key %s (%v), want %s", got, err, want)
	}
	for name, change := range map[string]func(*api.RenderRequest){
		"another image":         func(r *api.RenderRequest) { r.Image = digest.FromString("other") },
		"another format":        func(r *api.RenderRequest) { r.Format = "raw" },
		"another size":          func(r *api.RenderRequest) { r.Size = 1 << 30 },
		"more free space":       func(r *api.RenderRequest) { r.FreeSpace = 1 << 20 },
		"volatile paths kept":   func(r *api.RenderRequest) { r.Volatile = true },
		"other kernel args":     func(r *api.RenderRequest) { r.KernelArgs = "b a" },
		"another configuration": func(r *api.RenderRequest) { r.Config = json.RawMessage(`{"hostname":"y"}`) },
		"a boot kit":            func(r *api.RenderRequest) { r.Bootkit = &api.Bootkit{Repository: "kits", Digest: image} },
	} {
		t.Run(name, func(t *testing.T) {
			other := base
			change(&other)
			if _, got, err := derive(other); err != nil || got == want {
				t.Errorf("got the same key (%v)", err)
			}
		})
	}
}

func TestAConfigurationMustBeAnObject(t *testing.T) {
	for _, config := range []string{`[1]`, `"x"`, `{`} {
		if _, _, err := derive(api.RenderRequest{Config: json.RawMessage(config)}); err == nil {
			t.Errorf("%s was taken", config)
		}
	}
}
