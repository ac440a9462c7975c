package image

import (
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/cloudlets/cloudlets/extent"
)

// digestBlobs opens blobs whose digest is their content.
type digestBlobs struct{}

type stringBlob struct{ *strings.Reader }

func (stringBlob) Close() error { return nil }

func (digestBlobs) OpenBlob(_ context.Context, d extent.Digest) (extent.Blob, error) {
	return stringBlob{strings.NewReader(string(d))}, nil
}

var _ io.ReaderAt = stringBlob{}

func mustMerge(t *testing.T, layers ...Layer) *Tree {
	t.Helper()
	tree, err := Merge(layers)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

const sample = `{"name": "wiki", "arch": "x86_64", "args": {"hostname": {"type": "string"}},
	"templates": ["/etc/hostname"], "persistent": ["/var/lib"], "volatile": ["/tmp/.*", "/var/run"],
	"entrypoints": {"init": {}}, "x-ours": [1, 2]}`

func TestCloudletManifestIsReadFromTheRootfs(t *testing.T) {
	tree := mustMerge(t, layer(t, "f .cloudlet/manifest "+sample))
	m, err := ReadCloudletManifest(t.Context(), tree, digestBlobs{})
	if err != nil {
		t.Fatal(err)
	}
	if m.Name != "wiki" || m.Templates[0] != "/etc/hostname" || string(m.Unknown["x-ours"]) != "[1, 2]" || len(m.Unknown) != 1 {
		t.Errorf("got %+v", m)
	}
	data, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseCloudletManifest(data)
	if err != nil || again.Arch != m.Arch || string(again.Unknown["x-ours"]) != "[1,2]" {
		t.Errorf("%s became %+v, %v", data, again, err)
	}
}

func TestImageWithoutCloudletManifestHasTheEmptyOne(t *testing.T) {
	m, err := ReadCloudletManifest(t.Context(), mustMerge(t, layer(t, "d .cloudlet")), nil)
	if err != nil || m.Name != "" || len(m.Volatile) != 0 {
		t.Errorf("got %+v, %v", m, err)
	}
}

func TestBadCloudletManifestsAreRefused(t *testing.T) {
	for spec, want := range map[string]string{
		"f .cloudlet/manifest []":                                        "JSON object",
		"f .cloudlet/manifest {":                                         "not valid",
		"f .cloudlet/manifest":                                           "not valid",
		`f .cloudlet/manifest {"name": 5}`:                               "name",
		`f .cloudlet/manifest {"args": 5}`:                               "args",
		`f .cloudlet/manifest {"templates": ["etc/x"]}`:                  "slash",
		`f .cloudlet/manifest {"templates": ["/etc/../x"]}`:              `..`,
		`f .cloudlet/manifest {"volatile": ["(?!/tmp)"]}`:                "look-ahead",
		"f .cloudlet/manifest " + strings.Repeat(" ", MaxManifestSize+1): "limit",
		"d .cloudlet/manifest":                                           "not a regular file",
		"l .cloudlet/manifest manifest":                                  "symbolic links",
	} {
		_, err := ReadCloudletManifest(t.Context(), mustMerge(t, layer(t, spec)), digestBlobs{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: want an error with %q, got %v", spec, want, err)
		}
	}
}

func TestVolatileFilesAreDropped(t *testing.T) {
	tree := mustMerge(t, layer(t, "f tmp/a 1", "f tmp/d/b 1", "f var/run/c 1", "h var/keep var/run/c", "f var/running 1", "f etc/tmp/x 1"))
	before := strings.Join(list(tree), " ")
	m, err := ParseCloudletManifest([]byte(`{"volatile": ["/tmp/.*", "/var/run$"]}`))
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(list(DropVolatile(tree, m)), " ")
	if want := "etc/ etc/tmp/ etc/tmp/x=1 tmp/ var/ var/keep=1 var/running=1"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if after := strings.Join(list(tree), " "); after != before {
		t.Errorf("the tree that was given changed to %s", after)
	}
	if DropVolatile(tree, &CloudletManifest{}) != tree {
		t.Error("nothing is volatile, and the tree was copied")
	}
}

func TestTreesAreReadByManyAtOnce(t *testing.T) {
	tree := mustMerge(t, layer(t, "f a/b 1", "f a/c 1", "f d 1"))
	tree.Root.Link("unsorted", &Inode{Mode: TypeRegular})
	done := make(chan int)
	for range 4 {
		go func() {
			n := 0
			for range tree.Walk() {
				n++
			}
			done <- n
		}()
	}
	for range 4 {
		if n := <-done; n != 6 {
			t.Errorf("%d files, want 6", n)
		}
	}
}

func FuzzParseCloudletManifest(f *testing.F) {
	f.Add([]byte(sample))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := ParseCloudletManifest(data)
		if err != nil {
			return
		}
		again, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseCloudletManifest(again); err != nil {
			t.Fatalf("%s: %v", again, err)
		}
	})
}
