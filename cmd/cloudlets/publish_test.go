package main

import (
	"encoding/json"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cloudlets/cloudlets/api"
)

// skopeoRaw returns the manifest or index that skopeo gets for a reference.
func skopeoRaw[T ocispec.Manifest | ocispec.Index](t *testing.T, ref string) (m T, d string) {
	t.Helper()
	raw := tool(t, "skopeo", "inspect", "--raw", "--tls-verify=false", "docker://"+ref)
	if err := json.Unmarshal([]byte(raw), &m); err != nil {
		t.Fatal(err)
	}
	return m, digest.FromString(raw).String()
}

// pushPlatforms pushes small images for two architectures, each with its name in
// /etc/arch, and returns their digests.
func pushPlatforms(t *testing.T, s *server) (amd64, arm64 string) {
	t.Helper()
	push := func(arch string) string {
		rootfs := writeTar(t, []entry{dir(".", 0o755), dir("./etc", 0o755), regular("./etc/arch", arch)})
		return ok(t, "push", rootfs, s.ref("golden/small:1-"+arch), "--arch", arch)
	}
	return push("amd64"), push("arm64")
}

func TestAnnotationsAreSeenByOthers(t *testing.T) {
	s := newServer(t)
	rootfs := writeTar(t, smallRootfs())
	base := ok(t, "push", rootfs, s.ref("golden/base:1"))
	d := ok(t, "push", rootfs, s.ref("golden/small:1"), "--base", s.ref("golden/base:1"),
		"--annotation", "org.opencontainers.image.title=another", "--annotation", "org.opencontainers.image.version=1.2",
		"--annotation", "org.example.empty=", "--annotation", "org.example.equation=a=b")
	m, seen := skopeoRaw[ocispec.Manifest](t, s.ref("golden/small:1"))
	if seen != d {
		t.Errorf("skopeo gets %s, want %s", seen, d)
	}
	want := map[string]string{
		ocispec.AnnotationTitle:       "another", // not what the cloudlet manifest says
		ocispec.AnnotationDescription: "files of all kinds",
		ocispec.AnnotationVersion:     "1.2",
		// That of the newest file.
		ocispec.AnnotationCreated:         "2025-03-01T12:00:00Z",
		ocispec.AnnotationBaseImageName:   s.ref("golden/base:1"),
		ocispec.AnnotationBaseImageDigest: base,
		"org.example.empty":               "",
		"org.example.equation":            "a=b",
	}
	maps.DeleteFunc(m.Annotations, func(key, _ string) bool { return key == api.AnnotationManifest })
	if !maps.Equal(m.Annotations, want) {
		t.Errorf("skopeo sees the annotations\n%q, want\n%q", m.Annotations, want)
	}
	var summary struct{ Created string }
	out := tool(t, "skopeo", "inspect", "--tls-verify=false", "docker://"+s.ref("golden/small:1"))
	if err := json.Unmarshal([]byte(out), &summary); err != nil {
		t.Fatal(err)
	}
	if summary.Created != want[ocispec.AnnotationCreated] {
		t.Errorf("skopeo sees the date %s, want that of the annotation", summary.Created)
	}
	words := ok(t, "inspect", s.ref("golden/small:1"))
	for _, text := range []string{"org.opencontainers.image.version=1.2", base, "2025-03-01 12:00:00 UTC"} {
		if !strings.Contains(words, text) {
			t.Errorf("%q is not in\n%s", text, words)
		}
	}
}

func TestBadAnnotationsAreRefused(t *testing.T) {
	s := newServer(t)
	rootfs := writeTar(t, smallRootfs())
	for name, c := range map[string]struct {
		code  int
		texts []string
		args  []string
	}{
		"no value":       {exitUsage, []string{`"title"`, "KEY=VALUE"}, []string{"--annotation", "title"}},
		"no key":         {exitUsage, []string{"KEY=VALUE"}, []string{"--annotation", "=value"}},
		"twice":          {exitUsage, []string{"a is given twice"}, []string{"--annotation", "a=1", "--annotation", "a=2"}},
		"a missing base": {exitNotFound, []string{"base image", "nowhere"}, []string{"--base", s.ref("nowhere:1")}},
	} {
		t.Run(name, func(t *testing.T) {
			fails(t, c.code, c.texts, append([]string{"push", rootfs, s.ref("golden/small:1")}, c.args...)...)
		})
	}
}

// TestDatesFollowSourceDateEpoch pushes equal files at the dates that the
// variable names.
func TestDatesFollowSourceDateEpoch(t *testing.T) {
	s := newServer(t)
	rootfs := writeTar(t, smallRootfs())
	digests := make(map[string][]string)
	for _, epoch := range []string{"", "", "1700000000", "1700000000"} {
		t.Setenv("SOURCE_DATE_EPOCH", epoch)
		image := ok(t, "push", rootfs, s.ref("golden/small:1"))
		index := ok(t, "index", "create", s.ref("golden/small:all"), s.ref("golden/small:1"))
		if before := digests[epoch]; before != nil && !slices.Equal(before, []string{image, index}) {
			t.Errorf("SOURCE_DATE_EPOCH=%s makes %s and %s, and before it made %s", epoch, image, index, before)
		}
		digests[epoch] = []string{image, index}
		want := map[string]string{"": "2025-03-01T12:00:00Z", "1700000000": "2023-11-14T22:13:20Z"}[epoch]
		m, _ := skopeoRaw[ocispec.Manifest](t, s.ref("golden/small:1"))
		x, _ := skopeoRaw[ocispec.Index](t, s.ref("golden/small:all"))
		for what, annotations := range map[string]map[string]string{"image": m.Annotations, "index": x.Annotations} {
			if got := annotations[ocispec.AnnotationCreated]; got != want {
				t.Errorf("SOURCE_DATE_EPOCH=%s: the %s is of %s, want %s", epoch, what, got, want)
			}
		}
	}
	if slices.Equal(digests[""], digests["1700000000"]) {
		t.Error("the date makes no difference")
	}
	for _, epoch := range []string{"yesterday", "-1", "253402300800"} {
		t.Setenv("SOURCE_DATE_EPOCH", epoch)
		for _, args := range [][]string{{"push", rootfs, s.ref("golden/small:2")}, {"index", "create", s.ref("golden/small:2"), s.ref("golden/small:1")}} {
			fails(t, exitFailed, []string{"SOURCE_DATE_EPOCH", epoch, "seconds since 1970"}, args...)
		}
	}
}

func TestIndexIsTakenByOthers(t *testing.T) {
	s := newServer(t)
	amd64, arm64 := pushPlatforms(t, s)
	ref := s.ref("golden/small:1")
	d := ok(t, "index", "create", ref, s.ref("golden/small:1-arm64"), s.ref("golden/small:1-amd64"), "--annotation", "org.opencontainers.image.version=1")
	x, seen := skopeoRaw[ocispec.Index](t, ref)
	if seen != d || x.Annotations[ocispec.AnnotationVersion] != "1" || len(x.Manifests) != 2 {
		t.Fatalf("skopeo gets %s, %+v, want %s with two images", seen, x, d)
	}

	layout := filepath.Join(t.TempDir(), "layout")
	tool(t, "skopeo", "--insecure-policy", "copy", "--all", "--preserve-digests", "--src-tls-verify=false", "docker://"+ref, "oci:"+layout+":1")
	other := newServer(t)
	tool(t, "skopeo", "--insecure-policy", "copy", "--all", "--preserve-digests", "--dest-tls-verify=false", "oci:"+layout+":1", "docker://"+other.ref("copied:1"))
	if _, got := skopeoRaw[ocispec.Index](t, other.ref("copied:1")); got != d {
		t.Errorf("skopeo's copy is %s, want %s", got, d)
	}

	c := newContainers(t)
	for arch, want := range map[string]string{"amd64": amd64, "arm64": arm64} {
		c.podman("pull", "-q", "--tls-verify=false", "--arch", arch, ref)
		if got := c.podman("image", "inspect", ref, "--format", "{{.Architecture}} {{.RepoDigests}}"); !strings.HasPrefix(got, arch+" ") || !strings.Contains(got, want) {
			t.Errorf("podman has got %q, want the image %s for %s", got, want, arch)
		}
	}
}

func TestInspectShowsPlatformsOfIndex(t *testing.T) {
	s := newServer(t)
	amd64, arm64 := pushPlatforms(t, s)
	d := ok(t, "index", "create", s.ref("golden/small:1"), s.ref("golden/small:1-amd64"), s.ref("golden/small:1-arm64"))
	words := ok(t, "inspect", s.ref("golden/small:1"))
	for _, want := range []string{d, ocispec.MediaTypeImageIndex, amd64 + "  linux/amd64", arm64 + "  linux/arm64"} {
		if !strings.Contains(words, want) {
			t.Errorf("%q is not in\n%s", want, words)
		}
	}
	var summary struct {
		Digest    string
		Created   string
		Manifests []ocispec.Descriptor
	}
	if err := json.Unmarshal([]byte(ok(t, "inspect", "--json", s.ref("golden/small:1"))), &summary); err != nil {
		t.Fatal(err)
	}
	if m := summary.Manifests; summary.Digest != d || summary.Created != "2025-03-01T12:00:00Z" || len(m) != 2 ||
		m[0].Digest.String() != amd64 || m[0].Platform.Architecture != "amd64" || m[1].Digest.String() != arm64 || m[1].Platform.Architecture != "arm64" {
		t.Errorf("got %+v", summary)
	}
}

// TestIndexStandsForItsImages makes indexes of images elsewhere and of indexes,
// and uses them as images.
func TestIndexStandsForItsImages(t *testing.T) {
	s, other := newServer(t), newServer(t)
	amd64, _ := pushPlatforms(t, s)
	want := ok(t, "index", "create", s.ref("golden/small:1"), s.ref("golden/small:1-amd64"), s.ref("golden/small:1-arm64"))
	for name, images := range map[string][]string{
		"in another order":      {s.ref("golden/small:1-arm64"), s.ref("golden/small:1-amd64")},
		"an index":              {s.ref("golden/small@" + want)},
		"by digest and by name": {s.ref("golden/small:1-arm64"), s.ref("golden/small@" + amd64)},
	} {
		for _, to := range []string{s.ref("golden/small:2"), s.ref("mine/small:1"), other.ref("small:1")} {
			if got := ok(t, slices.Concat([]string{"index", "create", to}, images)...); got != want {
				t.Errorf("%s: %s is %s, want %s", name, to, got, want)
			}
		}
	}
	s.stop(t) // what was copied is whole
	if got := ok(t, "tar", other.ref("small:1"), "--out", "-"); !strings.Contains(got, "amd64") {
		t.Error("the tar of the index is not that of its amd64 image")
	}
}

func TestImagesThatMakeNoIndexAreRefused(t *testing.T) {
	s := newServer(t)
	amd64, _ := pushPlatforms(t, s)
	ok(t, "push", writeTar(t, smallRootfs()), s.ref("golden/small:also-amd64"))
	ok(t, "push", mustWrite(t, filepath.Join(t.TempDir(), "file"), "just a text\n"), s.ref("golden/file:1"), "--type", "other", "--container-format", "raw")
	for name, c := range map[string]struct {
		code  int
		texts []string
		args  []string
	}{
		"no image":           {exitUsage, []string{"IMAGE"}, []string{s.ref("golden/small:all")}},
		"a missing image":    {exitNotFound, []string{"golden/small:2"}, []string{s.ref("golden/small:all"), s.ref("golden/small:2")}},
		"a platform twice":   {exitFailed, []string{amd64, "linux/amd64", "--arch"}, []string{s.ref("golden/small:all"), s.ref("golden/small:1-amd64"), s.ref("golden/small:also-amd64")}},
		"an artifact":        {exitFailed, []string{"golden/file:1", "artifact", "expected an image"}, []string{s.ref("golden/small:all"), s.ref("golden/file:1")}},
		"a digest as target": {exitUsage, []string{"expected a tag"}, []string{s.ref("golden/small@" + amd64), s.ref("golden/small:1-amd64")}},
		"a bad annotation":   {exitUsage, []string{"KEY=VALUE"}, []string{s.ref("golden/small:all"), s.ref("golden/small:1-amd64"), "--annotation", "x"}},
	} {
		t.Run(name, func(t *testing.T) {
			fails(t, c.code, c.texts, append([]string{"index", "create"}, c.args...)...)
		})
	}
	if tags := ok(t, "ls", s.ref("golden/small")); strings.Contains(tags, "all") {
		t.Errorf("an index was pushed all the same:\n%s", tags)
	}
}

// TestInspectShowsWhatIsTaggedAfterADigest tags an image as cosign tags the
// signatures of another.
func TestInspectShowsWhatIsTaggedAfterADigest(t *testing.T) {
	s := newServer(t)
	d := ok(t, "push", writeTar(t, smallRootfs()), s.ref("golden/small:1"))
	signature := strings.Replace(d, ":", "-", 1) + ".sig"
	if words := ok(t, "inspect", s.ref("golden/small:1")); strings.Contains(words, "Attached") {
		t.Errorf("something is attached:\n%s", words)
	}
	other := ok(t, "push", writeTar(t, smallRootfs()[:3]), s.ref("golden/small:"+signature))
	words := ok(t, "inspect", s.ref("golden/small:1"))
	if !strings.Contains(words, other+"  "+signature) {
		t.Errorf("%s is not in\n%s", signature, words)
	}
}
