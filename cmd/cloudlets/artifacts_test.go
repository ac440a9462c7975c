package main

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content"

	"github.com/opencontainers/go-digest"
)

// goTool runs a client that make tools installs.
func goTool(t *testing.T, name string, args ...string) string {
	t.Helper()
	return goToolFrom(t, "", name, args...)
}

// goToolFrom runs one with a standard input.
func goToolFrom(t *testing.T, stdin, name string, args ...string) string {
	t.Helper()
	path, err := filepath.Abs("../../.cache/bin/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("this test needs %s: run make tools (%v)", name, err)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func regctl(t *testing.T, host string, args ...string) string {
	t.Helper()
	return regctlFrom(t, "", host, args...)
}

func regctlFrom(t *testing.T, stdin, host string, args ...string) string {
	t.Helper()
	flags := []string{"--host", "reg=" + host + ",tls=disabled,blob-chunk=1048576,blob-max=1048576"}
	return goToolFrom(t, stdin, "regctl", append(flags, args...)...)
}

func crane(t *testing.T, args ...string) string {
	t.Helper()
	return goTool(t, "crane", append([]string{"--insecure"}, args...)...)
}

// wantStatus checks what the registry answers to HEAD.
func wantStatus(t *testing.T, s *server, path string, want int) {
	t.Helper()
	if resp, _ := s.do(t, http.MethodHead, path, "Accept", "*/*", nil); resp.StatusCode != want {
		t.Errorf("HEAD %s: got %d, want %d", path, resp.StatusCode, want)
	}
}

// TestClientsCopyReferAndDelete has each client do on the bucket's server what it
// has words for.
func TestClientsCopyReferAndDelete(t *testing.T) {
	s := newNode(t, newBucket(t, "256m")).server
	d := ok(t, "push", writeTar(t, smallRootfs()), s.ref("golden/small:1"))

	crane(t, "copy", s.ref("golden/small:1"), s.ref("crane:1"))
	crane(t, "tag", s.ref("crane:1"), "2")
	crane(t, "delete", s.ref("crane@"+d))
	wantStatus(t, s, "/v2/crane/manifests/2", http.StatusNotFound)

	tool(t, "skopeo", "--insecure-policy", "copy", "--src-tls-verify=false", "--dest-tls-verify=false",
		"docker://"+s.ref("golden/small:1"), "docker://"+s.ref("skopeo:1"))
	tool(t, "skopeo", "delete", "--tls-verify=false", "docker://"+s.ref("skopeo:1"))
	wantStatus(t, s, "/v2/skopeo/manifests/1", http.StatusNotFound)

	note := mustWrite(t, filepath.Join(t.TempDir(), "note"), "from regctl")
	regctl(t, s.host, "artifact", "put", "--subject", s.ref("golden/small:1"), "--artifact-type", "application/vnd.example.note", "-f", note)
	regctl(t, s.host, "image", "copy", "--referrers", s.ref("golden/small:1"), s.ref("regctl:1"))
	if got := regctl(t, s.host, "artifact", "list", s.ref("regctl:1")); !strings.Contains(got, "application/vnd.example.note") {
		t.Errorf("the referrers are %s", got)
	}
	if got := regctl(t, s.host, "artifact", "get", "--subject", s.ref("regctl:1"), "--filter-artifact-type", "application/vnd.example.note"); got != "from regctl" {
		t.Errorf("the referrer is %q", got)
	}
	regctl(t, s.host, "tag", "delete", s.ref("regctl:1"))
	wantStatus(t, s, "/v2/regctl/manifests/1", http.StatusNotFound)
	regctl(t, s.host, "manifest", "delete", s.ref("regctl@"+d))
	wantStatus(t, s, "/v2/regctl/manifests/"+d, http.StatusNotFound)
	wantStatus(t, s, "/v2/golden/small/manifests/"+d, http.StatusOK)
}

// TestBuildahPushesAndPulls builds an image, pushes it, and builds on it.
func TestBuildahPushesAndPulls(t *testing.T) {
	s := newServer(t)
	c := newContainers(t)
	file := mustWrite(t, filepath.Join(t.TempDir(), "golden"), "from buildah\n")
	build := func(from, to string) {
		t.Helper()
		container := c.buildah("from", "--pull-always", "--tls-verify=false", from)
		c.buildah("copy", container, file, "/etc/"+strings.ReplaceAll(to, ":", "-"))
		c.buildah("commit", "--rm", container, s.ref(to))
		c.buildah("push", "--tls-verify=false", s.ref(to))
	}
	container := c.buildah("from", "scratch")
	c.buildah("copy", container, file, "/etc/first")
	c.buildah("commit", "--rm", container, s.ref("built:1"))
	c.buildah("push", "--tls-verify=false", s.ref("built:1"))
	c.buildah("rmi", "--all", "--force")
	build(s.ref("built:1"), "built:2")
	exported := filepath.Join(t.TempDir(), "rootfs.tar")
	crane(t, "export", s.ref("built:2"), exported)
	files := readTar(t, exported)
	if files["/etc/first"] == nil || files["/etc/built-2"] == nil {
		t.Error("the image lacks a file of its layers")
	}
}

// breaking is a proxy to a registry that cuts off a request in the middle now and
// then.
func breaking(t *testing.T, s *server, cut func(*http.Request) bool) (host string, cuts *atomic.Int64) {
	t.Helper()
	cuts = new(atomic.Int64)
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: s.host})
	proxy.ErrorHandler = func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if cut(r) {
			cuts.Add(1)
			r.Body = io.NopCloser(io.MultiReader(io.LimitReader(r.Body, 1000), failingReader{}))
		}
		proxy.ServeHTTP(w, r)
	}))
	server.Config.ErrorLog = nil
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://"), cuts
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, errors.New("cut off") }

// TestRegctlGoesOnWithABrokenUpload cuts off one chunk of an upload.
func TestRegctlGoesOnWithABrokenUpload(t *testing.T) {
	s := newServer(t)
	var chunks atomic.Int64
	host, cuts := breaking(t, s, func(r *http.Request) bool { return r.Method == http.MethodPatch && chunks.Add(1) == 3 })
	blob := text(11, 5<<20)
	regctlFrom(t, blob, host, "blob", "put", host+"/resumed")
	if cuts.Load() != 1 {
		t.Errorf("%d requests were cut off, want 1", cuts.Load())
	}
	resp, body := s.get(t, "/v2/resumed/blobs/"+string(digest.FromString(blob)), "", "")
	if resp.StatusCode != http.StatusOK || body != blob {
		t.Errorf("got %d with %d bytes", resp.StatusCode, len(body))
	}
}

// TestOrasProgramSignsImage puts a signature beside an image, as signing tools do,
// and finds it again.
func TestOrasProgramSignsImage(t *testing.T) {
	const signatureType = "application/vnd.dev.cosign.artifact.sig.v1+json"
	s := newServer(t)
	ok(t, "push", writeTar(t, smallRootfs()), s.ref("golden/small:1"))
	repository := orasRepository(t, s, "golden/small")
	image, err := repository.Resolve(t.Context(), "1")
	if err != nil {
		t.Fatal(err)
	}
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	payload := []byte(`{"critical":{"image":{"docker-manifest-digest":"` + image.Digest.String() + `"}}}`)
	layer := content.NewDescriptorFromBytes("application/vnd.dev.cosign.simplesigning.v1+json", payload)
	signature := ed25519.Sign(private, payload)
	signed := content.NewDescriptorFromBytes("application/octet-stream", signature)
	for d, b := range map[*ocispec.Descriptor][]byte{&layer: payload, &signed: signature} {
		if err := repository.Push(t.Context(), *d, bytes.NewReader(b)); err != nil {
			t.Fatal(err)
		}
	}
	_, err = oras.PackManifest(t.Context(), repository, oras.PackManifestVersion1_1, signatureType,
		oras.PackManifestOptions{Subject: &image, Layers: []ocispec.Descriptor{layer, signed}})
	if err != nil {
		t.Fatal(err)
	}
	var found []ocispec.Descriptor
	err = repository.Referrers(t.Context(), image, signatureType, func(page []ocispec.Descriptor) error {
		found = append(found, page...)
		return nil
	})
	if err != nil || len(found) != 1 {
		t.Fatalf("the signatures are %+v, %v", found, err)
	}
	parts, err := content.Successors(t.Context(), repository, found[0])
	if err != nil {
		t.Fatal(err)
	}
	var read [][]byte
	for _, p := range parts {
		if p.MediaType == layer.MediaType || p.MediaType == signed.MediaType {
			b, err := content.FetchAll(t.Context(), repository, p)
			if err != nil {
				t.Fatal(err)
			}
			read = append(read, b)
		}
	}
	if len(read) != 2 || !ed25519.Verify(public, read[0], read[1]) {
		t.Errorf("the signature does not verify: %q", read)
	}
}
