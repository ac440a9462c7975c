package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/content/memory"
	"oras.land/oras-go/v2/content/oci"
	"oras.land/oras-go/v2/registry/remote"
)

// orasRepository returns a repository as a program with oras-go has it.
func orasRepository(t testing.TB, s *server, name string) *remote.Repository {
	t.Helper()
	repository, err := remote.NewRepository(s.ref(name))
	if err != nil {
		t.Fatal(err)
	}
	repository.PlainHTTP = true
	return repository
}

func TestSkopeoCopiesImages(t *testing.T) {
	s := newServer(t)
	rootfs := writeTar(t, smallRootfs())
	d := ok(t, "push", rootfs, s.ref("golden/small:1"))
	var seen struct {
		Digest, Architecture, Os string
		Layers                   []string
	}
	out := tool(t, "skopeo", "inspect", "--tls-verify=false", "docker://"+s.ref("golden/small:1"))
	if err := json.Unmarshal([]byte(out), &seen); err != nil {
		t.Fatal(err)
	}
	if seen.Digest != d || seen.Architecture != "amd64" || seen.Os != "linux" || len(seen.Layers) != 1 {
		t.Errorf("skopeo sees %+v", seen)
	}
	for _, kind := range []string{"oci:", "dir:"} {
		place := kind + filepath.Join(t.TempDir(), "copy")
		tool(t, "skopeo", "--insecure-policy", "copy", "--preserve-digests", "--src-tls-verify=false", "docker://"+s.ref("golden/small:1"), place)
		other := newServer(t)
		tool(t, "skopeo", "--insecure-policy", "copy", "--preserve-digests", "--dest-tls-verify=false", place, "docker://"+other.ref("copied:1"))
		back := filepath.Join(t.TempDir(), "back.tar")
		if got := ok(t, "pull", other.ref("copied:1"), "-o", back); got != d {
			t.Errorf("%s: the copy is %s, want %s", kind, got, d)
		}
		same(t, back, rootfs)
	}
}

func TestCraneReadsImages(t *testing.T) {
	run := func(args ...string) string { return crane(t, args...) }
	s := newServer(t)
	d := ok(t, "push", writeTar(t, bootableRootfs(t)), s.ref("golden/small:1"))
	if got := digest.FromString(run("manifest", s.ref("golden/small:1"))).String(); got != d {
		t.Errorf("crane sees a manifest with the digest %s, want %s", got, d)
	}
	// Without --fast, crane's validate takes every layer for gzip.
	run("validate", "--fast", "--remote", s.ref("golden/small:1"))
	exported := filepath.Join(t.TempDir(), "rootfs.tar")
	run("export", s.ref("golden/small:1"), exported)
	if readTar(t, exported)["/etc/hostname"] == nil {
		t.Error("crane has not found the files")
	}
	layout := filepath.Join(t.TempDir(), "layout")
	run("pull", "--format=oci", s.ref("golden/small:1"), layout)
	run("push", layout, s.ref("pushed:1"))
	renderRaw(t, s.ref("pushed:1"))
}

func TestPodmanRunsImage(t *testing.T) {
	if testing.Short() {
		t.Skip("podman copies the image several times")
	}
	find(t, "runc")
	busybox := find(t, "busybox")
	rootfs := []entry{
		dir(".", 0o755), dir("./bin", 0o755), dir("./proc", 0o755), dir("./sys", 0o755), dir("./dev", 0o755),
		dir("./etc", 0o755), dir("./run", 0o755), dir("./tmp", 0o1777),
		regular("./bin/busybox", mustRead(t, busybox)).with(func(h *tar.Header) { h.Mode = 0o755 }),
		link(tar.TypeSymlink, "./bin/sh", "busybox"), link(tar.TypeSymlink, "./bin/cat", "busybox"),
		regular("./etc/golden", "from the image\n"),
	}
	s := newServer(t)
	ok(t, "push", writeTar(t, rootfs), s.ref("golden/busybox:1"))
	store := t.TempDir()
	podman := func(args ...string) string {
		t.Helper()
		return tool(t, "podman", append([]string{
			"--root", filepath.Join(store, "root"), "--runroot", filepath.Join(store, "run"), "--storage-driver", "vfs",
			"--runtime", "runc", "--cgroup-manager", "cgroupfs", "--events-backend", "none",
		}, args...)...)
	}
	podman("pull", "--tls-verify=false", s.ref("golden/busybox:1"))
	out := podman("run", "--rm", "--network", "none", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024",
		s.ref("golden/busybox:1"), "cat", "/etc/golden")
	if out != "from the image\n" {
		t.Errorf("the container says %q", out)
	}
}

func TestOrasProgramCopiesImage(t *testing.T) {
	s := newServer(t)
	d := ok(t, "push", writeTar(t, smallRootfs()), s.ref("golden/small:1"))
	store := memory.New()
	got, err := oras.Copy(t.Context(), orasRepository(t, s, "golden/small"), "1", store, "1", oras.DefaultCopyOptions)
	if err != nil || got.Digest.String() != d {
		t.Fatalf("copied %s, %v, want %s", got.Digest, err, d)
	}
	if _, err := oras.Copy(t.Context(), store, "1", orasRepository(t, s, "again"), "2", oras.DefaultCopyOptions); err != nil {
		t.Fatal(err)
	}
	if got := ok(t, "ls", s.ref("again")); !strings.HasPrefix(got, "2") || !strings.Contains(got, d) {
		t.Errorf("the tags are %q", got)
	}
}

// foreignImage writes an OCI layout as other tools do, with gzip layers.
func foreignImage(t testing.TB, layers ...string) (layout string) {
	t.Helper()
	layout = t.TempDir()
	store, err := oci.New(layout)
	if err != nil {
		t.Fatal(err)
	}
	push := func(mediaType string, b []byte) ocispec.Descriptor {
		d := content.NewDescriptorFromBytes(mediaType, b)
		if err := store.Push(t.Context(), d, bytes.NewReader(b)); err != nil {
			t.Fatal(err)
		}
		return d
	}
	config := ocispec.Image{Platform: ocispec.Platform{Architecture: "amd64", OS: "linux"}, RootFS: ocispec.RootFS{Type: "layers"}}
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest}
	for _, layer := range layers {
		var compressed bytes.Buffer
		z := gzip.NewWriter(&compressed)
		if _, err := z.Write([]byte(layer)); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, digest.FromString(layer))
		m.Layers = append(m.Layers, push(ocispec.MediaTypeImageLayerGzip, compressed.Bytes()))
	}
	m.Config = push(ocispec.MediaTypeImageConfig, mustJSON(t, config))
	d := push(ocispec.MediaTypeImageManifest, mustJSON(t, m))
	if err := store.Tag(t.Context(), d, "1"); err != nil {
		t.Fatal(err)
	}
	return layout
}

func mustJSON(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestForeignImageRenders(t *testing.T) {
	s := newServer(t)
	lower := bootableRootfs(t)
	upper := []entry{
		regular("./etc/hostname", "upper\n"), regular("./usr/bin/.wh.su", ""),
		dir("./tmp", 0o700), regular("./level-00/.wh..wh..opq", ""), regular("./level-00/only", "opaque\n"),
	}
	merged := []entry{}
	for _, e := range lower {
		if !strings.HasPrefix(e.Name, "./level-00/level") && e.Name != "./level-00/file" && e.Name != "./var/lib/hard2" {
			merged = append(merged, e)
		}
	}
	// Of a hard-linked file the upper layer takes one name away.
	for i, e := range merged {
		switch e.Name {
		case "./usr/bin/su":
			merged[i].Name = "./var/lib/hard"
		case "./var/lib/hard":
			merged[i] = link(tar.TypeLink, "./var/lib/hard2", "./var/lib/hard")
		}
	}
	merged = append(merged, upper[0], upper[2], upper[4])

	for name, c := range map[string]struct {
		layers []string
		want   []entry
	}{
		"one":       {[]string{tarOf(t, lower)}, lower},
		"whiteouts": {[]string{tarOf(t, lower), tarOf(t, upper)}, merged},
	} {
		layout := foreignImage(t, c.layers...)
		tool(t, "skopeo", "--insecure-policy", "copy", "--preserve-digests", "--dest-tls-verify=false",
			"oci:"+layout+":1", "docker://"+s.ref("foreign/"+name+":1"))
		disk := renderRaw(t, s.ref("foreign/"+name+":1"))
		checkDisk(t, disk)
		checkRootfs(t, disk, without(readTar(t, writeTar(t, c.want)), "/var/cache/volatile"))
	}
	out := filepath.Join(t.TempDir(), "out.tar")
	ok(t, "pull", s.ref("foreign/one:1"), "-o", out)
	if mustRead(t, out) != tarOf(t, lower) {
		t.Error("the tar of a foreign image was not pulled as it was")
	}
	fails(t, exitFailed, []string{"2 layers", "--layout"}, "pull", s.ref("foreign/whiteouts:1"), "-o", out)
}
