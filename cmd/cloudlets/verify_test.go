package main

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

func TestDerivedArtifactsAreVerified(t *testing.T) {
	s := newServer(t)
	dir := t.TempDir()
	raw := filepath.Join(dir, "disk.raw")
	diskWithData(t, raw)
	ok(t, "push", raw, s.ref("disks:1"))
	rootfs := writeTar(t, templatesRootfs(t))
	ok(t, "push", rootfs, s.ref("image:1"))
	ok(t, "bootkit", rootfs, s.ref("image:kit"))
	for _, args := range [][]string{
		{s.ref("disks:1"), "--format", "vhd", "--size", "64M"},
		{s.ref("disks:1"), "--format", "ironic"},
		{s.ref("disks:1"), "--format", "qcow2", "--compress"},
		{s.ref("image:1"), "--format", "qcow2", "--free-space", "16M", "--config", `{"args": {"hostname": "web-1"}}`, "--bootkit", s.ref("image:kit")},
		{s.ref("image:1"), "--type", "filesystem", "--append", "quiet  splash", "--format", "raw"},
	} {
		ref, _, _ := strings.Cut(args[0], ":1")
		got := ok(t, "render", "--verify", ref+"@"+ok(t, append([]string{"render"}, args...)...))
		if !strings.HasSuffix(got, ": the same") {
			t.Errorf("%q: got %s", args, got)
		}
	}
	if got := ok(t, "render", "--verify", s.ref("disks:1")); strings.Count(got, ": the same") != 3 {
		t.Errorf("all of an image: got %s", got)
	}
}

func TestADerivedArtifactThatLiesIsTold(t *testing.T) {
	s := newServer(t)
	raw := filepath.Join(t.TempDir(), "disk.raw")
	diskWithData(t, raw)
	ok(t, "push", raw, s.ref("disks:1"))
	honest := ok(t, "render", s.ref("disks:1"), "--format", "raw")
	other := ok(t, "render", s.ref("disks:1"), "--format", "raw", "--size", "64M")
	manifest := func(digest string) string {
		_, body := s.get(t, "/v2/disks/manifests/"+digest, "Accept", "application/vnd.oci.image.manifest.v1+json")
		return body
	}
	blob := func(digest string) string { return layerOf(t, s.ref("disks@"+digest)).Digest }
	lie := strings.Replace(manifest(honest), blob(honest), blob(other), 1)
	lie = strings.Replace(lie, `"size":50331648`, `"size":67108864`, 1)
	resp, body := s.do(t, http.MethodPut, "/v2/disks/manifests/lie", "Content-Type", "application/vnd.oci.image.manifest.v1+json", strings.NewReader(lie))
	if resp.StatusCode != http.StatusCreated {
		t.Fatal(resp.Status, body)
	}
	r := cloudlets(t, "render", "--verify", s.ref("disks:lie"))
	if r.code != exitFailed || !strings.Contains(r.stdout, "disk.raw: it is "+blob(other)+", and should be "+blob(honest)) {
		t.Errorf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
	}
	old := strings.Replace(manifest(honest), `{\"converter\":`, `{\"converter\":9`, 1)
	if resp, body := s.do(t, http.MethodPut, "/v2/disks/manifests/old", "Content-Type", "application/vnd.oci.image.manifest.v1+json", strings.NewReader(old)); resp.StatusCode != http.StatusCreated {
		t.Fatal(resp.Status, body)
	}
	if got := ok(t, "render", "--verify", s.ref("disks:old")); !strings.Contains(got, "made by version 9") {
		t.Errorf("got %s", got)
	}
	fails(t, exitFailed, []string{"no derived artifact"}, "render", "--verify", s.ref("disks@"+strings.Fields(ok(t, "push", writeTar(t, smallRootfs()), s.ref("disks:2")))[0]))
}

// An artifact that was pushed to another repository, or registry, names an image that
// is not there.
func TestAnArtifactElsewhereIsVerifiedAgainstItsImage(t *testing.T) {
	s, other := newServer(t), newServer(t)
	raw := filepath.Join(t.TempDir(), "disk.raw")
	diskWithData(t, raw)
	ok(t, "push", raw, s.ref("disks:1"))
	for _, to := range []string{s.ref("derived:1"), other.ref("derived:1")} {
		ok(t, "render", s.ref("disks:1"), "--format", "vhdx", "--push="+to)
		fails(t, exitNotFound, []string{"--subject"}, "render", "--verify", to)
		if got := ok(t, "render", "--verify", to, "--subject", s.ref("disks")); !strings.HasSuffix(got, ": the same") {
			t.Errorf("%s: got %s", to, got)
		}
	}
	fails(t, exitUsage, []string{"--verify"}, "render", s.ref("disks:1"), "--subject", s.ref("disks"))
}

// What starts a kernel is not in a file: a command line that another has written is
// a lie like any.
func TestAManifestThatLiesOfItsFilesIsTold(t *testing.T) {
	s := newServer(t)
	ok(t, "push", writeTar(t, bootableRootfs(t)), s.ref("image:1"))
	honest := ok(t, "render", s.ref("image:1"), "--type", "kernel", "--format", "raw", "--append", "quiet")
	_, manifest := s.get(t, "/v2/image/manifests/"+honest, "Accept", "application/vnd.oci.image.manifest.v1+json")
	for name, lie := range map[string][2]string{
		"command line": {"ttyS0,115200 quiet", "ttyS0,115200 init=/tmp/x"},
		"file name":    {`"kernel.raw"`, `"../kernel"`},
		"key":          {`"org.cloudlets.render.derivation":"sha256:`, `"org.cloudlets.render.derivation":"sha256:00`},
	} {
		t.Run(name, func(t *testing.T) {
			told := strings.Replace(manifest, lie[0], lie[1], 1)
			resp, body := s.do(t, http.MethodPut, "/v2/image/manifests/lie", "Content-Type", "application/vnd.oci.image.manifest.v1+json", strings.NewReader(told))
			if told == manifest || resp.StatusCode != http.StatusCreated {
				t.Fatal(resp.Status, body)
			}
			r := cloudlets(t, "render", "--verify", s.ref("image:lie"))
			if r.code != exitFailed || !strings.Contains(r.stdout, "it should be "+honest) {
				t.Errorf("exit code %d: %s%s", r.code, r.stdout, r.stderr)
			}
		})
	}
}
