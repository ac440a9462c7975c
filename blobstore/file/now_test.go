package file

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestFilesAreAtHandOnceTheyWereRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	want := bytes.Repeat([]byte("content "), 1536)
	if err := os.WriteFile(path, want, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 5000)
	if _, err := unix.Preadv2(int(f.Fd()), [][]byte{p}, 0, unix.RWF_NOWAIT); errors.Is(err, unix.EOPNOTSUPP) {
		t.Skip("the filesystem of temporary files cannot tell what is in memory")
	}
	if !ReadNow(f, p, 100) || !bytes.Equal(p, want[100:5100]) {
		t.Error("what was just written is not in the kernel's memory")
	}
	if ReadNow(f, p, int64(len(want))-1) {
		t.Error("what is beyond the end is at hand")
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if ReadNow(f, p, 0) {
		t.Error("a closed file has content at hand")
	}
}
