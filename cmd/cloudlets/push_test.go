package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestPushTakesAnyCompression pushes one tar in all its forms: they are one
// image.
func TestPushTakesAnyCompression(t *testing.T) {
	s := newServer(t)
	rootfs := writeTar(t, smallRootfs())
	want := ok(t, "push", rootfs, s.ref("golden/small:tar"))
	for suffix, compress := range map[string][]string{
		".gz": {"gzip", "-k"}, ".zst": {"zstd", "-q", "-k"}, ".xz": {"xz", "-1", "-k"}, ".bz2": {"bzip2", "-1", "-k"},
	} {
		tool(t, compress[0], append(compress[1:], rootfs)...)
		if got := ok(t, "push", rootfs+suffix, s.ref("golden/small:latest")); got != want {
			t.Errorf("%s: got the image %s, want %s", suffix, got, want)
		}
	}
	for name, content := range map[string]string{"tar": mustRead(t, rootfs), "zstd": mustRead(t, rootfs+".zst")} {
		r := cloudletsFrom(t, content, "push", "-", s.ref("elsewhere/"+name))
		if got := strings.TrimSpace(r.stdout); got != want {
			t.Errorf("%s on the standard input: got the image %s, want %s\n%s", name, got, want, r.stderr)
		}
	}
}

func TestPushOfDirectoryIsThatOfItsFiles(t *testing.T) {
	s := newServer(t)
	rootfs := t.TempDir()
	for name, content := range map[string]string{"etc/hostname": "golden\n", "usr/bin/program": text(1, 200_000), "empty": ""} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(rootfs, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		mustWrite(t, filepath.Join(rootfs, name), content)
	}
	if err := os.Symlink("usr/bin", filepath.Join(rootfs, "bin")); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(filepath.Join(rootfs, "etc/hostname"), filepath.Join(rootfs, "etc/mailname")); err != nil {
		t.Fatal(err)
	}
	want := ok(t, "push", rootfs, s.ref("a:1"))
	if got := ok(t, "push", rootfs+"/", s.ref("b:1")); got != want {
		t.Errorf("pushed twice it is %s and %s", want, got)
	}
	out := filepath.Join(t.TempDir(), "rootfs.tar")
	ok(t, "pull", s.ref("a:1"), "-o", out)
	again := t.TempDir()
	tool(t, "tar", "-xf", out, "-C", again)
	tool(t, "diff", "-r", "--no-dereference", rootfs, again)
}

func TestPushPrintsDescriptorAsJSON(t *testing.T) {
	s := newServer(t)
	var got struct{ Reference, MediaType, Digest string }
	if err := json.Unmarshal([]byte(ok(t, "push", "--json", writeTar(t, smallRootfs()), s.ref("a:1"))), &got); err != nil {
		t.Fatal(err)
	}
	if got.Reference != s.ref("a:1") || got.Digest != ok(t, "push", writeTar(t, smallRootfs()), s.ref("a:1")) {
		t.Errorf("got %+v", got)
	}
}

// TestPushOfNewVersionStoresTheChange pushes a tar with a few files changed and
// one inserted early.
func TestPushOfNewVersionStoresTheChange(t *testing.T) {
	s := newServer(t)
	old := smallRootfs()
	for i := range 20 {
		old = append(old, regular("./var/lib/large-"+string(rune('a'+i)), text(uint64(5000+i), 1<<20)))
	}
	changed := append([]entry{old[0], regular("./aaa-inserted", text(7, 100_000))}, old[1:]...)
	for i, e := range changed {
		if e.Name == "./usr/bin/program-150" || e.Name == "./var/lib/size-4096" {
			changed[i].content = text(8, len(e.content)+100)
		}
	}
	oldTar, newTar := writeTar(t, old), writeTar(t, changed)
	ok(t, "push", oldTar, s.ref("golden/small:1"))
	before := s.stored(t)
	r := cloudlets(t, "push", newTar, s.ref("golden/small:2"))
	if r.code != 0 {
		t.Fatal(r.stderr)
	}
	// The inserted file takes 40 kB and the index of frames about as much again;
	// SQLite grows in pages.
	const most = 600_000
	if grown := s.stored(t) - before; grown > most {
		t.Errorf("the registry stored %d bytes for the change, of %d before: at most %d were expected", grown, before, most)
	}
	out := filepath.Join(t.TempDir(), "out.tar")
	for tag, want := range map[string]string{"1": oldTar, "2": newTar} {
		ok(t, "pull", s.ref("golden/small:"+tag), "-o", out)
		same(t, out, want)
	}
}
