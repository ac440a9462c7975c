package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestAnImageIsTheSameWhereverItIs opens a rootfs in all the ways that there
// are.
func TestAnImageIsTheSameWhereverItIs(t *testing.T) {
	s := newServer(t)
	rootfs := writeTar(t, smallRootfs())
	digest := ok(t, "push", rootfs, s.ref("golden/small:1"))
	packed := filepath.Join(t.TempDir(), "rootfs.tar.zst")
	tool(t, "zstd", "-q", "-o", packed, rootfs)

	want := cloudlets(t, "tar", rootfs)
	if want.code != 0 || strings.Contains(want.stdout, "left out") || !strings.Contains(want.stdout, "golden\n") {
		t.Fatalf("exit code %d, %d bytes\n%s", want.code, len(want.stdout), want.stderr)
	}
	for name, got := range map[string]result{
		"a compressed tar":       cloudlets(t, "tar", packed),
		"the standard input":     cloudletsFrom(t, mustRead(t, packed), "tar", "-"),
		"a tag":                  cloudlets(t, "tar", s.ref("golden/small:1")),
		"a digest":               cloudlets(t, "tar", s.ref("golden/small@"+digest)),
		"what the command wrote": cloudletsFrom(t, want.stdout, "tar", "-"),
	} {
		if got.code != 0 || got.stdout != want.stdout {
			t.Errorf("%s: exit code %d, %d bytes that are not the %d of the tar\n%s", name, got.code, len(got.stdout), len(want.stdout), got.stderr)
		}
	}
}

func TestADirectoryIsTheImageThatIsPushedOfIt(t *testing.T) {
	s := newServer(t)
	dir := t.TempDir()
	// What tar makes of times before 1970 and of attributes is its own matter.
	tool(t, "tar", "-x", "-p", "--numeric-owner", "--xattrs", "--xattrs-include=*", "--acls", "-C", dir, "-f", writeTar(t, smallRootfs()))
	ok(t, "push", dir, s.ref("golden/small:1"))
	local, pushed := ok(t, "tar", dir), ok(t, "tar", s.ref("golden/small:1"))
	if local != pushed || !strings.Contains(local, "golden\n") {
		t.Errorf("%d bytes from the directory, %d from the registry, or they differ", len(local), len(pushed))
	}
}

func TestWhatIsNoImageIsSaid(t *testing.T) {
	s := newServer(t)
	text := mustWrite(t, filepath.Join(t.TempDir(), "text"), strings.Repeat("not a tar ", 100))
	for name, want := range map[string]struct {
		code int
		says string
	}{
		filepath.Join(t.TempDir(), "missing"): {exitNotFound, "expected a directory, a tar, or"},
		text:                                  {exitFailed, "not a tar"},
		s.ref("golden/missing:1"):             {exitNotFound, ""},
	} {
		r := cloudlets(t, "tar", name, "-o", os.DevNull)
		if r.code != want.code || !strings.Contains(r.stderr, want.says) {
			t.Errorf("%s: exit code %d, want %d and %q\n%s", name, r.code, want.code, want.says, r.stderr)
		}
	}
}
