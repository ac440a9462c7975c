package image

import (
	"strings"
	"testing"

	"github.com/cloudlets/cloudlets/image/cloudlet"
)

func TestManifestIsComparedWithItsRootfs(t *testing.T) {
	tree := mustMerge(t, layer(t, "f etc/hostname 1", "l etc/link hostname", "d boot", "f tmp/t 1", "f bin/plain 1"))
	program := tree.Lookup("bin/plain")
	program.Mode &^= 0o111
	for manifest, want := range map[string]string{
		`{}`: "",
		`{"templates": ["/etc/hostname", "/etc/link"]}`:                                    "",
		`{"templates": ["/etc/hostname", "/etc/none", "/etc"]}`:                            "/templates/1 /templates/2",
		`{"templates": ["//tmp/t"], "volatile": ["/tmp/.+"]}`:                              "/templates/0",
		`{"entrypoints": {"kernel": {}}}`:                                                  "/entrypoints/kernel",
		`{"entrypoints": {"init": {}}}`:                                                    "/entrypoints/init",
		`{"entrypoints": {"chroot": {"command": ["/bin/plain"], "enter": ["/bin/none"]}}}`: "/entrypoints/chroot/command/0 /entrypoints/chroot/enter/0",
		`{"args": {"a": {"type": "integer", "default": "x"}, "b": {"type": "string"}}}`:    "/args/a",
	} {
		m, err := cloudlet.ParseManifest([]byte(manifest))
		if err != nil {
			t.Fatal(err)
		}
		var places []string
		for _, p := range Validate(tree, m) {
			places = append(places, p.Pointer)
		}
		if got := strings.Join(places, " "); got != want {
			t.Errorf("%s: got problems at %q, want %q", manifest, got, want)
		}
	}
	program.Mode |= 0o111
	m, err := cloudlet.ParseManifest([]byte(`{"entrypoints": {"chroot": {"command": ["plain", "-x"]}, "init": {"command": ["/bin/plain"]}}}`))
	if err != nil {
		t.Fatal(err)
	}
	if problems := Validate(tree, m); len(problems) > 0 {
		t.Errorf("got %v", problems)
	}
}
