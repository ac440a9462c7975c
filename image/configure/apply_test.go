package configure_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"math"
	"strings"
	"testing"

	"github.com/cloudlets/cloudlets/image"
	"github.com/cloudlets/cloudlets/image/cloudlet"
	"github.com/cloudlets/cloudlets/image/configure"
	"github.com/cloudlets/cloudlets/image/template"
)

// printer renders every template to what it was called with.
type printer struct {
	scope template.Scope
	err   error
}

func (p *printer) Render(_ context.Context, templates []template.Template, scope template.Scope) ([][]byte, error) {
	p.scope = scope
	var outputs [][]byte
	for _, t := range templates {
		outputs = append(outputs, []byte(strings.ReplaceAll(string(t.Text), "NAME", "web")))
	}
	return outputs, p.err
}

func regular(content string) *image.Inode {
	n := &image.Inode{Mode: image.TypeRegular | 0o640, UID: 7, GID: 8, ModTime: image.Time{Sec: 9}, Xattrs: []image.Xattr{{Name: "user.a", Value: []byte("b")}}}
	n.SetContent([]byte(content))
	return n
}

func directory() *image.Inode {
	return &image.Inode{Mode: image.TypeDir | 0o755, ModTime: image.Time{Sec: 5}}
}

// rootfs returns a tree with a template that has two names and a link to it.
func rootfs() *image.Tree {
	t := image.NewTree()
	etc, usr := directory(), directory()
	t.Root.Link("etc", etc)
	t.Root.Link("usr", usr)
	template := regular("NAME\n")
	etc.Link("hostname", template)
	usr.Link("hard", template)
	etc.Link("link", &image.Inode{Mode: image.TypeSymlink | 0o777, Target: "../usr/hard"})
	etc.Link("dangling", &image.Inode{Mode: image.TypeSymlink | 0o777, Target: "/gone"})
	etc.Link("dir", directory())
	usr.Link("other", regular("NAME"))
	t.Sort()
	return t
}

func content(t *testing.T, tree *image.Tree, path string) string {
	t.Helper()
	n := tree.Lookup(path)
	if n == nil {
		t.Fatalf("there is no /%s", path)
	}
	data, err := n.Read(t.Context(), nil, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// input returns the tree with a manifest and a configuration.
func input(t *testing.T, tree *image.Tree, manifest, config string) configure.Input {
	t.Helper()
	m, err := cloudlet.ParseManifest([]byte(manifest))
	if err != nil {
		t.Fatal(err)
	}
	c, err := m.Configure([]byte(config))
	if err != nil {
		t.Fatal(err)
	}
	return configure.Input{Tree: tree, Manifest: m, Configuration: c}
}

func TestTemplatesAreRenderedAndNothingElseChanges(t *testing.T) {
	tree := rootfs()
	before := maps.Collect(tree.Walk())
	in := input(t, tree, `{"templates": ["/etc/hostname", "/etc/link"], "args": {"a": {"type": "string"}}}`, `{"args": {"a": "x"}, "dns": {"nameservers": ["192.0.2.1"]}}`)
	in.Env = map[string]string{"HOME": "/root"}
	p := new(printer)
	got, report, err := configure.Apply(t.Context(), in, p)
	if err != nil {
		t.Fatal(err)
	}
	rendered := got.Lookup("etc/hostname")
	if rendered != got.Lookup("usr/hard") || rendered.Links != 2 {
		t.Errorf("the names of the template lead to %+v and %+v", rendered, got.Lookup("usr/hard"))
	}
	want := before["etc/hostname"]
	if rendered.Mode != want.Mode || rendered.UID != 7 || rendered.GID != 8 || rendered.ModTime != want.ModTime || len(rendered.Xattrs) != 1 {
		t.Errorf("rendered it is %+v, want all but the content of %+v", rendered, want)
	}
	if text := content(t, got, "etc/hostname"); text != "web\n" {
		t.Errorf("it is %q", text)
	}
	if got.Lookup("usr/other") != before["usr/other"] || got.Lookup("etc/dir") != before["etc/dir"] {
		t.Error("files that are no templates are not shared")
	}
	for path, n := range tree.Walk() {
		if before[path] != n {
			t.Errorf("/%s of the tree that was given changed", path)
		}
	}
	if text := content(t, tree, "etc/hostname"); text != "NAME\n" || tree.Lookup(".cloudlet") != nil {
		t.Errorf("the tree that was given changed: %q", text)
	}
	if string(p.scope.Args) != `{"a":"x"}` || string(p.scope.Env) != `{"HOME":"/root"}` || !json.Valid(p.scope.Manifest) || !strings.Contains(string(p.scope.DNS), "192.0.2.1") {
		t.Errorf("the templates saw %s", p.scope)
	}
	if unused := report.Unused([]byte(`{"dns": {}, "args": {}, "hostname": "x"}`)); strings.Join(unused, " ") != "dns args" {
		t.Errorf("unused are %v", unused)
	}
}

func TestTheHostNameIsSet(t *testing.T) {
	for name, change := range map[string]func(etc *image.Inode){
		"over a template": func(*image.Inode) {},
		"new":             func(etc *image.Inode) { etc.Unlink("hostname") },
		"over a link": func(etc *image.Inode) {
			etc.Link("hostname", &image.Inode{Mode: image.TypeSymlink | 0o777, Target: "/proc/x"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			tree := rootfs()
			change(tree.Lookup("etc"))
			in := input(t, tree, `{}`, `{"hostname": "node-1.example.org"}`)
			if name == "over a template" {
				in = input(t, tree, `{"templates": ["/etc/hostname"]}`, `{"hostname": "node-1.example.org"}`)
			}
			got, _, err := configure.Apply(t.Context(), in, new(printer))
			if err != nil {
				t.Fatal(err)
			}
			if text := content(t, got, "etc/hostname"); text != "node-1.example.org\n" {
				t.Errorf("it is %q", text)
			}
		})
	}
}

func TestTheConfigurationIsRecordedOnceWithoutSecrets(t *testing.T) {
	in := input(t, rootfs(), `{"templates": ["/etc/hostname"], "args": {"pw": {"type": "string", "writeOnly": true}}}`, `{"args": {"pw": "hunter2 is it"}}`)
	p := new(printer)
	got, _, err := configure.Apply(t.Context(), in, p)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.scope.Secrets) != 1 || p.scope.Secrets[0] != "hunter2 is it" || !strings.Contains(string(p.scope.Args), "hunter2") {
		t.Errorf("the templates saw %s", p.scope)
	}
	if text := content(t, got, configure.RecordPath); !strings.Contains(text, "(secret)") || strings.Contains(text, "hunter2") {
		t.Errorf("recorded is %s", text)
	}
	in.Tree = got
	if _, _, err := configure.Apply(t.Context(), in, p); !errors.Is(err, configure.ErrConfigured) {
		t.Errorf("the second time: %v", err)
	}
}

// All else stays where it is on a disk, so that an instance differs little from
// its image.
func TestNewFilesArePlacedLast(t *testing.T) {
	in := input(t, rootfs(), `{}`, `{"hostname": "web-1"}`)
	got, _, err := configure.Apply(t.Context(), in, nil)
	if err != nil {
		t.Fatal(err)
	}
	if record := got.Lookup(configure.RecordPath); record.Order != math.MaxInt64 {
		t.Errorf("the record has the order %d", record.Order)
	}
}

func TestWhatCannotBeConfiguredIsRefused(t *testing.T) {
	for manifest, want := range map[string]string{
		`{"templates": ["/etc/gone"]}`:     "template /etc/gone: expected a file in the image",
		`{"templates": ["/etc/dangling"]}`: "template /etc/dangling",
		`{"templates": ["/etc/dir"]}`:      "not a regular file",
	} {
		_, _, err := configure.Apply(t.Context(), input(t, rootfs(), manifest, `{}`), new(printer))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: want an error with %q, got %v", manifest, want, err)
		}
	}
	failure := errors.New("thrown")
	_, _, err := configure.Apply(t.Context(), input(t, rootfs(), `{"templates": ["/etc/hostname"]}`, `{}`), &printer{err: failure})
	if !errors.Is(err, failure) {
		t.Errorf("got %v", err)
	}
	tree := rootfs()
	tree.Root.Link(".cloudlet", regular("x"))
	if _, _, err := configure.Apply(t.Context(), input(t, tree, `{}`, `{"hostname": "x"}`), new(printer)); err == nil {
		t.Error("a record was made in a file")
	}
}

func TestVolatileTemplatesMayBeMissing(t *testing.T) {
	in := input(t, rootfs(), `{"templates": ["/tmp/x"], "volatile": ["/tmp/.+"]}`, `{}`)
	if _, _, err := configure.Apply(t.Context(), in, new(printer)); err != nil {
		t.Error(err)
	}
}
