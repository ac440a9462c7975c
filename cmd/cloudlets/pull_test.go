package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

func TestPullGivesBackTheTar(t *testing.T) {
	s := newServer(t)
	rootfs := writeTar(t, smallRootfs())
	digest := ok(t, "push", rootfs, s.ref("golden/small:1"))
	out := filepath.Join(t.TempDir(), "out.tar")
	for _, ref := range []string{"golden/small:1", "golden/small@" + digest} {
		if got := ok(t, "pull", s.ref(ref), "-o", out); got != digest {
			t.Errorf("%s: got %s, want %s", ref, got, digest)
		}
		same(t, out, rootfs)
	}
}

func TestPullToStandardOutputIsTheTarAlone(t *testing.T) {
	s := newServer(t)
	rootfs := writeTar(t, smallRootfs())
	ok(t, "push", rootfs, s.ref("golden/small:latest"))
	r := cloudlets(t, "pull", s.ref("golden/small"), "-o", "-")
	if r.code != 0 || r.stdout != mustRead(t, rootfs) {
		t.Errorf("exit code %d and %d bytes: got something else than the tar\n%s", r.code, len(r.stdout), r.stderr)
	}
}

func TestPulledLayoutIsOneForSkopeo(t *testing.T) {
	s := newServer(t)
	digest := ok(t, "push", writeTar(t, smallRootfs()), s.ref("golden/small:1"))
	layout := filepath.Join(t.TempDir(), "layout")
	ok(t, "pull", s.ref("golden/small:1"), "--layout", layout)
	var got struct{ Digest string }
	if err := json.Unmarshal([]byte(tool(t, "skopeo", "inspect", "oci:"+layout+":1")), &got); err != nil || got.Digest != digest {
		t.Errorf("skopeo found %q, %v, want %s", got.Digest, err, digest)
	}
	tool(t, "skopeo", "--insecure-policy", "copy", "oci:"+layout+":1", "dir:"+t.TempDir())
}

// TestPullLeavesNothingHalf breaks a pull: a file of that name stays as it was.
func TestPullLeavesNothingHalf(t *testing.T) {
	s := newServer(t)
	ok(t, "push", writeTar(t, smallRootfs()), s.ref("golden/small:1"))
	into := t.TempDir()
	out := mustWrite(t, filepath.Join(into, "out"), "precious")
	fails(t, exitNotFound, nil, "pull", s.ref("golden/small:2"), "-o", out)
	if got := mustRead(t, out); got != "precious" {
		t.Errorf("the file is now %q", got)
	}
	entries, err := os.ReadDir(into)
	if err != nil || len(entries) != 1 {
		t.Errorf("there are now the files %v, %v", entries, err)
	}
}
