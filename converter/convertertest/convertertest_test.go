package convertertest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cloudlets/cloudlets/extent"
)

// failure records what a test would have said.
type failure struct{ message string }

func (*failure) Helper() {}

func (f *failure) Fatalf(format string, args ...any) { f.message = fmt.Sprintf(format, args...) }

func TestNeedNamesThePackage(t *testing.T) {
	var f failure
	Need(&f, "no-such-tool", "its-package")
	if !strings.Contains(f.message, "apt-get install its-package") {
		t.Fatalf("message %q does not name the package", f.message)
	}
}

func TestRunShowsWhyAToolFailed(t *testing.T) {
	var f failure
	Run(&f, "sh", "-c", "echo the reason >&2; exit 3")
	for _, want := range []string{"exit status 3", "the reason"} {
		if !strings.Contains(f.message, want) {
			t.Errorf("message %q lacks %q", f.message, want)
		}
	}
}

func TestWriteFileKeepsContent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "map")
	rapid.Check(t, func(t *rapid.T) {
		blobs := Blobs{}
		m := DrawMap(t, blobs, 1<<20)
		WriteFile(t, m, blobs, path)
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, Bytes(t, m, blobs)) {
			t.Fatal("the file differs from the map")
		}
	})
}

func TestWriteFileLeavesHoles(t *testing.T) {
	var b extent.Builder
	b.Zero(1 << 40)
	b.Inline([]byte("end"))
	m, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "map")
	WriteFile(t, m, nil, path)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() != m.Size() {
		t.Fatalf("the file has %d bytes, want %d", info.Size(), m.Size())
	}
}
