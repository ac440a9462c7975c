package image

import (
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image/cloudlet"
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
	again, err := cloudlet.ParseManifest(data)
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
		"f .cloudlet/manifest []":                                                 "JSON object",
		"f .cloudlet/manifest {":                                                  "not valid",
		"f .cloudlet/manifest":                                                    "not valid",
		`f .cloudlet/manifest {"name": 5}`:                                        "name",
		`f .cloudlet/manifest {"args": 5}`:                                        "args",
		`f .cloudlet/manifest {"templates": ["etc/x"]}`:                           "^/",
		`f .cloudlet/manifest {"templates": ["/etc/../x"]}`:                       `..`,
		`f .cloudlet/manifest {"volatile": ["(?!/tmp"]}`:                          "missing )",
		"f .cloudlet/manifest " + strings.Repeat(" ", cloudlet.MaxManifestSize+1): "limit",
		"d .cloudlet/manifest":                                                    "not a regular file",
		"l .cloudlet/manifest manifest":                                           "symbolic links",
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
	m, err := cloudlet.ParseManifest([]byte(`{"volatile": ["/tmp/.*", "/var/run$"]}`))
	if err != nil {
		t.Fatal(err)
	}
	dropped, err := DropVolatile(tree, m)
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(list(dropped), " ")
	if want := "etc/ etc/tmp/ etc/tmp/x=1 tmp/ var/ var/keep=1 var/run/ var/run/c is var/keep var/running=1"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if after := strings.Join(list(tree), " "); after != before {
		t.Errorf("the tree that was given changed to %s", after)
	}
	if same, err := DropVolatile(tree, &CloudletManifest{}); same != tree || err != nil {
		t.Error("nothing is volatile, and the tree was copied")
	}
}

func TestFilesAreSelectedByClass(t *testing.T) {
	tree := mustMerge(t, layer(t, "f .cloudlet/manifest {}", "f etc/hostname 1", "f etc/hosts 1", "f tmp/a 1", "f var/log/apt/x 1", "f var/log/y 1", "f var/logs 1"))
	m, err := cloudlet.ParseManifest([]byte(`{"templates": ["/etc/hostname"], "persistent": ["/var/log"], "volatile": ["/var/log/(?!apt).+", "/tmp/.+"]}`))
	if err != nil {
		t.Fatal(err)
	}
	for only, want := range map[string][2]string{
		"templates":                  {"/etc/hostname", "etc/ etc/hostname=1"},
		"persistent":                 {"/var/log /var/log/apt /var/log/apt/x /var/log/y", "var/ var/log/ var/log/apt/ var/log/apt/x=1 var/log/y=1"},
		"volatile":                   {"/tmp/a /var/log/y", "tmp/ tmp/a=1 var/ var/log/ var/log/y=1"},
		"other":                      {"/.cloudlet /.cloudlet/manifest /etc /etc/hosts /tmp /var /var/logs", ".cloudlet/ .cloudlet/manifest={} etc/ etc/hosts=1 tmp/ var/ var/logs=1"},
		"templates,persistent,other": {"/.cloudlet /.cloudlet/manifest /etc /etc/hostname /etc/hosts /tmp /var /var/log /var/log/apt /var/log/apt/x /var/logs", ""},
	} {
		selection, err := cloudlet.ParseOnly(only)
		if err != nil {
			t.Fatal(err)
		}
		var paths []string
		for s, err := range Select(tree, m, selection) {
			if err != nil {
				t.Fatal(err)
			}
			paths = append(paths, s.Path)
		}
		if got := strings.Join(paths, " "); got != want[0] {
			t.Errorf("%s: got  %s\nwant %s", only, got, want[0])
		}
		filtered, err := Filter(tree, m, selection)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(list(filtered), " "); want[1] != "" && got != want[1] {
			t.Errorf("%s: the tree is %s\nwant %s", only, got, want[1])
		}
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
