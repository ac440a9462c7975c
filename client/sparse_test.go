package client

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"pgregory.net/rapid"
)

func TestSparseFileHoldsWhatWasWritten(t *testing.T) {
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		path := filepath.Join(dir, "file")
		f, err := CreateSparse(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		var want []byte
		for range rapid.IntRange(0, 8).Draw(t, "writes") {
			p := make([]byte, rapid.IntRange(0, 3*hole).Draw(t, "length"))
			if rapid.Bool().Draw(t, "by number") {
				if n, err := f.WriteZeros(int64(len(p))); err != nil || n != int64(len(p)) {
					t.Fatal(n, err)
				}
				want = append(want, p...)
				continue
			}
			if rapid.Bool().Draw(t, "data") {
				for i := range p {
					p[i] = byte(i) | 1
				}
			}
			if n, err := f.Write(p); err != nil || n != len(p) {
				t.Fatal(n, err)
			}
			want = append(want, p...)
		}
		if err := f.Commit(); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("the file has %d bytes, want %d", len(got), len(want))
		}
	})
}

func TestSparseFileHasHoles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	f, err := CreateSparse(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range [][]byte{make([]byte, 32<<20), []byte("data"), make([]byte, 32<<20)} {
		if _, err := f.Write(p); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if used := info.Sys().(*syscall.Stat_t).Blocks * 512; used > 1<<20 || info.Size() != 64<<20+4 {
		t.Errorf("%d bytes occupy %d", info.Size(), used)
	}
}

func TestAFileThatIsNotCommittedLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "file")
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := CreateSparse(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(bytes.Repeat([]byte("new"), hole)); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if !slices.Equal(names, []string{"file"}) {
		t.Errorf("%v are left", names)
	}
	if got, _ := os.ReadFile(path); string(got) != "old" {
		t.Errorf("the file holds %q", got)
	}
}
