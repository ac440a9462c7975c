package provider

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/cloudlets/cloudlets/converter/disk"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

func TestSecretArgumentsAreNotRendered(t *testing.T) {
	for manifest, want := range map[string]string{
		`{"args": {"a": {"type": "string"}}}`:                    "",
		`{"args": {"a": {"type": "string", "writeOnly": true}}}`: "secret arguments",
	} {
		tree := image.NewTree()
		dir := &image.Inode{Mode: image.TypeDir | 0o755}
		tree.Root.Link(".cloudlet", dir)
		dir.Link("manifest", &image.Inode{
			Mode:    image.TypeRegular | 0o644,
			Content: []extent.Extent{{Kind: extent.Inline, Length: int64(len(manifest)), Data: []byte(manifest)}},
		})
		r := new(Renderer)
		err := r.refuseSecrets(t.Context(), &golden{tree: tree}, disk.Config{Args: json.RawMessage(`{"a": "x"}`)})
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", manifest, err)
		}
		if err := r.refuseSecrets(t.Context(), &golden{tree: tree}, disk.Config{Hostname: "a"}); err != nil {
			t.Errorf("without arguments: %v", err)
		}
	}
}
