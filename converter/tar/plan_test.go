package tar

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
	"github.com/cloudlets/cloudlets/image/tarball"
)

// opener opens one blob, whatever the digest.
type opener struct{ blob extent.Blob }

func (o opener) OpenBlob(context.Context, extent.Digest) (extent.Blob, error) { return o.blob, nil }

// planned returns the tar that is planned of the tree in another tar.
func planned(t *testing.T, data []byte) []byte {
	t.Helper()
	blob := convertertest.Blob(data)
	tree, err := image.Merge([]image.Layer{{Digest: "layer", Tar: blob, Size: int64(len(data))}})
	if err != nil {
		t.Fatal(err)
	}
	m, err := Plan(t.Context(), tree)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	r := extent.NewReader(t.Context(), m, opener{blob})
	defer r.Close()
	if _, err := r.WriteTo(&out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// sample makes a directory with one of everything that a tar can hold.
func sample(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	steps := []error{
		os.Mkdir(filepath.Join(dir, "d"), 0o1777),
		os.WriteFile(filepath.Join(dir, "d", "file"), bytes.Repeat([]byte("content"), 1000), 0o4755),
		os.WriteFile(filepath.Join(dir, "d", "empty"), nil, 0o400),
		os.Link(filepath.Join(dir, "d", "file"), filepath.Join(dir, "hard")),
		os.Symlink("d/file", filepath.Join(dir, "soft")),
		unix.Mkfifo(filepath.Join(dir, "fifo"), 0o600),
		unix.Setxattr(filepath.Join(dir, "d", "file"), "user.note", []byte("value"), 0),
		os.WriteFile(filepath.Join(dir, "sparse"), []byte("start"), 0o644),
		os.Truncate(filepath.Join(dir, "sparse"), 1<<20),
	}
	for i, err := range steps {
		if err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
	}
	return dir
}

func TestTheTarOfATreeIsTheTarItCameFrom(t *testing.T) {
	var data bytes.Buffer
	if err := tarball.FromDir(t.Context(), sample(t), &data, nil); err != nil {
		t.Fatal(err)
	}
	if got := planned(t, data.Bytes()); !bytes.Equal(got, data.Bytes()) {
		t.Errorf("planned %d bytes that differ from the %d of the directory's tar", len(got), data.Len())
	}
}

func TestGNUTarFindsNoDifference(t *testing.T) {
	dir := sample(t)
	made := exec.Command("tar", "--sparse", "--xattrs", "--format=pax", "-C", dir, "-c", ".")
	data, err := made.Output()
	if err != nil {
		t.Fatalf("GNU tar (Debian package tar): %v", err)
	}
	compare := exec.Command("tar", "-d", "-C", dir)
	compare.Stdin = bytes.NewReader(planned(t, data))
	if out, err := compare.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("tar -d: %v\n%s", err, out)
	}
}

func TestATreeWithoutEntriesIsATar(t *testing.T) {
	m, err := Plan(t.Context(), image.NewTree())
	if err != nil {
		t.Fatal(err)
	}
	if m.Size() != 3*tarball.BlockSize {
		t.Errorf("%d bytes, want those of a root directory and an end", m.Size())
	}
}
