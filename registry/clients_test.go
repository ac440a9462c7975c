package registry_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	memorystore "oras.land/oras-go/v2/content/memory"
	"oras.land/oras-go/v2/registry/remote"
)

// tool runs a program that Debian has in the named package.
func tool(t *testing.T, debian, name string, args ...string) []byte {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is missing: apt-get install %s", name, debian)
	}
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out.Bytes(), errs.Bytes())
	}
	return out.Bytes()
}

func skopeo(t *testing.T, args ...string) []byte {
	t.Helper()
	return tool(t, "skopeo", "skopeo", append([]string{"--insecure-policy"}, args...)...)
}

func TestSkopeoCopiesBothWays(t *testing.T) {
	f := start(t, nil)
	layout := filepath.Join(t.TempDir(), "layout")
	want := writeLayout(t, layout)
	skopeo(t, "copy", "--dest-tls-verify=false", "--preserve-digests", "oci:"+layout+":v1", "docker://"+f.host+"/golden/debian:12")
	out := t.TempDir()
	skopeo(t, "copy", "--src-tls-verify=false", "--preserve-digests", "docker://"+f.host+"/golden/debian:12", "dir:"+out)
	got, err := os.ReadFile(filepath.Join(out, "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the manifest came back as\n%s\nwant\n%s", got, want)
	}
}

// TestSkopeoListsAndDeletes covers what skopeo does besides copying.
func TestSkopeoListsAndDeletes(t *testing.T) {
	f := start(t, nil)
	pushImage(t, f.url, "golden/debian", "12", newImage(t, "12"))
	pushImage(t, f.url, "golden/debian", "13", newImage(t, "13"))
	image := "docker://" + f.host + "/golden/debian"
	list := string(skopeo(t, "list-tags", "--tls-verify=false", image))
	if !strings.Contains(list, `"12"`) || !strings.Contains(list, `"13"`) {
		t.Errorf("the tags are listed as %s", list)
	}
	skopeo(t, "copy", "--src-tls-verify=false", "--dest-tls-verify=false", image+":12", "docker://"+f.host+"/mounted:12")
	skopeo(t, "copy", "--src-tls-verify=false", "--dest-tls-verify=false", "--format=v2s2", image+":12", "docker://"+f.host+"/docker:12")
	skopeo(t, "delete", "--tls-verify=false", image+":12")
	do(t, f.url, "HEAD", "/v2/golden/debian/manifests/12", nil).want(t, 404)
	do(t, f.url, "HEAD", "/v2/golden/debian/manifests/13", nil).want(t, 200)
	skopeo(t, "inspect", "--tls-verify=false", "docker://"+f.host+"/docker:12")
}

// memory pushes an artifact and one that refers to it to a store in memory.
func memory(t *testing.T) (store *memorystore.Store, subject, referrer ocispec.Descriptor) {
	t.Helper()
	store = memorystore.New()
	layer, err := oras.PushBytes(t.Context(), store, "application/vnd.example.layer", []byte("layer"))
	if err != nil {
		t.Fatal(err)
	}
	pack := func(artifactType string, o oras.PackManifestOptions) ocispec.Descriptor {
		d, err := oras.PackManifest(t.Context(), store, oras.PackManifestVersion1_1, artifactType, o)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	subject = pack("application/vnd.example", oras.PackManifestOptions{Layers: []ocispec.Descriptor{layer}})
	referrer = pack("application/vnd.example.signature", oras.PackManifestOptions{Subject: &subject})
	if err := store.Tag(t.Context(), subject, "v1"); err != nil {
		t.Fatal(err)
	}
	return store, subject, referrer
}

func TestOrasCopiesWithReferrers(t *testing.T) {
	f := start(t, nil)
	store, subject, referrer := memory(t)
	repository, err := remote.NewRepository(f.host + "/golden/artifact")
	if err != nil {
		t.Fatal(err)
	}
	repository.PlainHTTP = true
	if _, err := oras.ExtendedCopy(t.Context(), store, "v1", repository, "v1", oras.ExtendedCopyOptions{}); err != nil {
		t.Fatal(err)
	}
	var found []ocispec.Descriptor
	err = repository.Referrers(t.Context(), subject, "application/vnd.example.signature", func(page []ocispec.Descriptor) error {
		found = append(found, page...)
		return nil
	})
	if err != nil || len(found) != 1 || found[0].Digest != referrer.Digest {
		t.Fatalf("the referrers are %+v, %v", found, err)
	}
	back := memorystore.New()
	if _, err := oras.ExtendedCopy(t.Context(), repository, "v1", back, "v1", oras.ExtendedCopyOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, d := range []ocispec.Descriptor{subject, referrer} {
		if ok, err := back.Exists(t.Context(), d); err != nil || !ok {
			t.Errorf("%s did not come back: %v", d.Digest, err)
		}
	}
	if err := repository.Manifests().Delete(t.Context(), referrer); err != nil {
		t.Error(err)
	}
	if err := repository.Tags(t.Context(), "", func(tags []string) error {
		if len(tags) != 1 || tags[0] != "v1" {
			t.Errorf("the tags are %q", tags)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

func TestOrasMountsBlob(t *testing.T) {
	f := start(t, nil)
	content := []byte("content")
	d := pushBlob(t, f.url, "from", content)
	repository, err := remote.NewRepository(f.host + "/to")
	if err != nil {
		t.Fatal(err)
	}
	repository.PlainHTTP = true
	want := ocispec.Descriptor{MediaType: "application/octet-stream", Digest: d, Size: int64(len(content))}
	err = repository.Mount(t.Context(), want, "from", func() (io.ReadCloser, error) {
		return nil, errors.New("the blob was not mounted")
	})
	if err != nil {
		t.Fatal(err)
	}
	wantBlob(t, f.url, "/v2/to/blobs/"+string(d), content, d)
}

// clientsVariable names a directory with clients that Debian does not package.
const clientsVariable = "CLOUDLETS_TEST_CLIENTS"

// goClient runs a client that is installed with go install.
func goClient(t *testing.T, module, name string, args ...string) string {
	t.Helper()
	dir := os.Getenv(clientsVariable)
	if dir == "" {
		t.Skipf("set %s to a directory and run GOBIN=that directory go install %s@latest", clientsVariable, module)
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%s is missing: GOBIN=%s go install %s@latest", name, dir, module)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Env = append(os.Environ(), "HOME="+t.TempDir())
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func TestCraneCopiesAndDeletes(t *testing.T) {
	crane := func(args ...string) string {
		return goClient(t, "github.com/google/go-containerregistry/cmd/crane", "crane", append([]string{"--insecure"}, args...)...)
	}
	f := start(t, nil)
	img := newImage(t, "crane")
	pushImage(t, f.url, "golden/debian", "12", img)
	image := f.host + "/golden/debian"
	if got := crane("manifest", image+":12"); got != string(img.manifest) {
		t.Errorf("got the manifest %s", got)
	}
	crane("validate", "--remote", image+":12")
	layout := filepath.Join(t.TempDir(), "layout")
	crane("pull", "--format=oci", image+":12", layout)
	crane("push", layout, f.host+"/pushed:12")
	crane("copy", image+":12", f.host+"/copied:12")
	crane("append", "-b", image+":12", "-f", writeTar(t), "-t", image+":13")
	crane("tag", image+":13", "14")
	if got := crane("ls", image); got != "12\n13\n14\n" {
		t.Errorf("got the tags %q", got)
	}
	if got := crane("catalog", f.host); !strings.Contains(got, "golden/debian\n") {
		t.Errorf("got the catalog %q", got)
	}
	crane("delete", image+"@"+string(img.digest))
	do(t, f.url, "HEAD", "/v2/golden/debian/manifests/12", nil).want(t, 404)
}

func TestRegctlCopiesReferrersAndChunks(t *testing.T) {
	f := start(t, nil)
	regctl := func(args ...string) string {
		return goClient(t, "github.com/regclient/regclient/cmd/regctl", "regctl",
			append([]string{"--host", "reg=" + f.host + ",tls=disabled,blob-chunk=1000,blob-max=1000"}, args...)...)
	}
	img := newImage(t, "regctl")
	pushImage(t, f.url, "golden/debian", "12", img)
	image := f.host + "/golden/debian"
	layout := "ocidir://" + filepath.Join(t.TempDir(), "layout")
	artifact := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(artifact, bytes.Repeat([]byte("0123456789"), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	regctl("artifact", "put", "--subject", image+":12", "--artifact-type", "application/vnd.example", "-f", artifact)
	regctl("image", "copy", "--referrers", image+":12", layout+":12")
	regctl("image", "copy", "--referrers", layout+":12", f.host+"/copied:12")
	if got := regctl("artifact", "list", f.host+"/copied:12"); !strings.Contains(got, "application/vnd.example") {
		t.Errorf("got the referrers %s", got)
	}
	if got := regctl("tag", "ls", f.host+"/copied"); got != "12\n" {
		t.Errorf("got the tags %q", got)
	}
	regctl("tag", "delete", f.host+"/copied:12")
	do(t, f.url, "HEAD", "/v2/copied/manifests/12", nil).want(t, 404)
	do(t, f.url, "HEAD", "/v2/copied/manifests/"+string(img.digest), nil).want(t, 200)
}

func writeTar(t *testing.T) string {
	t.Helper()
	gzipped, _ := newLayer(t, "appended")
	path := filepath.Join(t.TempDir(), "layer.tar.gz")
	if err := os.WriteFile(path, gzipped, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
