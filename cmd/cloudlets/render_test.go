package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cloudlets/cloudlets/api"
)

// tight keeps disks small, so that reading them whole takes less time.
const tight = "--free-space=1M"

// renderRaw renders an image with options and returns the path of the raw disk.
func renderRaw(t testing.TB, image string, options ...string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "disk.raw")
	ok(t, append([]string{"render", image, "--format", "raw", "-o", out, tight}, options...)...)
	return out
}

// without returns what of a tar is in a disk that does not keep volatile paths.
func without(nodes map[string]*node, paths ...string) map[string]*node {
	for _, at := range paths {
		delete(nodes, at)
	}
	return nodes
}

func TestRenderedDiskHoldsTheRootfs(t *testing.T) {
	s := newServer(t)
	rootfs := writeTar(t, bootableRootfs(t))
	ok(t, "push", rootfs, s.ref("golden/small:1"))
	disk := renderRaw(t, s.ref("golden/small:1"))
	checkDisk(t, disk)
	checkRootfs(t, disk, without(readTar(t, rootfs), "/var/cache/volatile"))

	qcow2 := filepath.Join(t.TempDir(), "disk.qcow2")
	ok(t, "render", s.ref("golden/small:1"), "--format", "qcow2", "-o", qcow2, tight)
	tool(t, "qemu-img", "check", qcow2)
	tool(t, "qemu-img", "compare", qcow2, disk)
}

func TestRenderedDebianHoldsTheRootfs(t *testing.T) {
	s, d := debianServer(t)
	disk := renderRaw(t, s.ref("golden/debian@"+d))
	checkDisk(t, disk)
	checkRootfs(t, disk, readTar(t, debianTar(t)))
	qcow2 := filepath.Join(t.TempDir(), "disk.qcow2")
	ok(t, "render", s.ref("golden/debian@"+d), "-o", qcow2, tight)
	tool(t, "qemu-img", "check", qcow2)
	tool(t, "qemu-img", "compare", qcow2, disk)
}

func TestRenderIsTheSameOnEveryRegistry(t *testing.T) {
	rootfs := writeTar(t, bootableRootfs(t))
	var seen []string
	for range 2 {
		s := newServer(t)
		pushed := ok(t, "push", rootfs, s.ref("golden/small:1"))
		var render api.Render
		if err := json.Unmarshal([]byte(ok(t, "render", "--json", s.ref("golden/small:1"))), &render); err != nil {
			t.Fatal(err)
		}
		raw := cloudlets(t, "inspect", "--raw", s.ref("golden/small:1")).stdout
		seen = append(seen, strings.Join([]string{pushed, raw, render.Key.String(), render.Blob.String(), render.Artifact.String()}, "\n"))
	}
	if seen[0] != seen[1] {
		t.Errorf("one registry has\n%s\nanother\n%s", seen[0], seen[1])
	}
}

func TestRenderOptions(t *testing.T) {
	s := newServer(t)
	ok(t, "push", writeTar(t, bootableRootfs(t)), s.ref("golden/small:1"))
	image := s.ref("golden/small:1")
	config := mustWrite(t, filepath.Join(t.TempDir(), "config.json"), `{"hostname": "web-1.example.org"}`)
	t.Run("size", func(t *testing.T) {
		disk := renderRaw(t, image, "--size", "1G")
		checkDisk(t, disk)
		if info, err := os.Stat(disk); err != nil || info.Size() != 1<<30 {
			t.Errorf("the disk has %d bytes, %v, want 1 GiB", info.Size(), err)
		}
	})
	t.Run("config", func(t *testing.T) {
		disk := renderRaw(t, image, "--config", config)
		checkDisk(t, disk)
		if got := tool(t, "debugfs", "-R", "cat /etc/hostname", rootOf(t, disk)); got != "web-1.example.org\n" {
			t.Errorf("/etc/hostname is %q", got)
		}
	})
	t.Run("append", func(t *testing.T) {
		disk := renderRaw(t, image, "--append", "quiet net.ifnames=0")
		checkDisk(t, disk)
		if content := mustRead(t, cutOut(t, disk, partition(t, disk, espNumber))); !strings.Contains(content, "'quiet' 'net.ifnames=0'") {
			t.Error("the arguments are not in the menu")
		}
	})
	t.Run("volatile", func(t *testing.T) {
		disk := renderRaw(t, image, "--volatile")
		checkDisk(t, disk)
		if got := tool(t, "debugfs", "-R", "cat /var/cache/volatile", rootOf(t, disk)); got != "left out\n" {
			t.Errorf("the volatile file is %q", got)
		}
	})
}

func TestRenderRefuses(t *testing.T) {
	s := newServer(t)
	ok(t, "push", writeTar(t, bootableRootfs(t)), s.ref("golden/small:1"))
	ok(t, "push", writeTar(t, smallRootfs()), s.ref("golden/nokernel:1"))
	ok(t, "push", writeTar(t, append(smallRootfs(), kernel()...)), s.ref("golden/noloader:1"))
	temp := t.TempDir()
	broken := mustWrite(t, filepath.Join(temp, "broken.json"), `{"hostname": `)
	hostname := mustWrite(t, filepath.Join(temp, "hostname.json"), `{"hostname": "a b", "args": {"x": 1}}`)
	image := s.ref("golden/small:1")
	for name, c := range map[string]struct {
		code  int
		texts []string
		args  []string
	}{
		"unknown format":       {exitFailed, []string{"vhd5", "qcow2", "raw"}, []string{image, "--format", "vhd5"}},
		"too small":            {exitFailed, []string{"too small", "at least"}, []string{image, "--size", "70M"}},
		"odd size":             {exitFailed, []string{"1 MiB"}, []string{image, "--size", "1000000001"}},
		"not a size":           {exitUsage, []string{"20G"}, []string{image, "--size", "big"}},
		"unknown reference":    {exitNotFound, []string{"golden/small:9"}, []string{s.ref("golden/small:9")}},
		"unknown digest":       {exitNotFound, []string{"not found"}, []string{s.ref("golden/small@" + digest.FromString("x").String())}},
		"no kernel":            {exitFailed, []string{"/boot/vmlinuz-*", "linux-image"}, []string{s.ref("golden/nokernel:1")}},
		"no bootloader":        {exitFailed, []string{"grub-efi-amd64-bin", "cloudlets bootkit", "--bootkit"}, []string{s.ref("golden/noloader:1")}},
		"no configuration":     {exitNotFound, []string{"/nonexistent"}, []string{image, "--config", "/nonexistent"}},
		"broken configuration": {exitFailed, []string{"JSON"}, []string{image, "--config", broken}},
		"hostname":             {exitFailed, []string{`/hostname: found "a b"`, "/args/x", "takes no arguments"}, []string{image, "--config", hostname}},
		"kit elsewhere":        {exitUsage, []string{"copy it there first"}, []string{image, "--bootkit", "localhost:1/kit:1"}},
		"unknown kit":          {exitNotFound, []string{"boot kit"}, []string{image, "--bootkit", s.ref("kit:1")}},
	} {
		t.Run(name, func(t *testing.T) { fails(t, c.code, c.texts, append([]string{"render"}, c.args...)...) })
	}
	if got := ok(t, "inspect", image); strings.Contains(got, "Derived") {
		t.Errorf("a refused render has left something:\n%s", got)
	}
}

// TestRenderWithBootkit takes the bootloader from elsewhere: this machine, and
// a rootfs that has one.
func TestRenderWithBootkit(t *testing.T) {
	s := newServer(t)
	ok(t, "push", writeTar(t, append(smallRootfs(), kernel()...)), s.ref("golden/noloader:1"))
	bootable := writeTar(t, bootableRootfs(t))
	for name, from := range map[string]string{"machine": "/", "tar": bootable} {
		kit := s.ref("kits/" + name + ":1")
		first := ok(t, "bootkit", from, kit)
		if second := ok(t, "bootkit", from, kit); second != first {
			t.Errorf("%s: the kit is %s, then %s", name, first, second)
		}
		disk := renderRaw(t, s.ref("golden/noloader:1"), "--bootkit", kit)
		checkDisk(t, disk)
	}
	fails(t, exitFailed, []string{"grub-pc-bin", "systemd-boot-efi"}, "bootkit", writeTar(t, smallRootfs()), s.ref("kits/none:1"))
}

func TestRenderToStandardOutputIsTheDiskAlone(t *testing.T) {
	s := newServer(t)
	ok(t, "push", writeTar(t, bootableRootfs(t)), s.ref("a:1"))
	out := filepath.Join(t.TempDir(), "disk")
	ok(t, "render", s.ref("a:1"), "-o", out)
	if r := cloudlets(t, "render", s.ref("a:1"), "-o", "-"); r.stdout != mustRead(t, out) {
		t.Errorf("%d bytes on the standard output are not the disk", len(r.stdout))
	}
}

// TestRenderIsReadableBeforeItsDigestIsKnown reads a range of an output that
// takes seconds to hash.
func TestRenderIsReadableBeforeItsDigestIsKnown(t *testing.T) {
	s := newServer(t)
	ok(t, "push", writeTar(t, bootableRootfs(t)), s.ref("a:1"))
	var render api.Render
	out := ok(t, "render", s.ref("a:1"), "--format", "raw", "--size", "8G", "--no-wait", "--json")
	if err := json.Unmarshal([]byte(out), &render); err != nil {
		t.Fatal(err)
	}
	// The second sector is the header of the partition table (UEFI 2.10, 5.3.2).
	resp, body := s.get(t, render.Content, "Range", "bytes=512-519")
	if resp.StatusCode != http.StatusPartialContent || body != "EFI PART" {
		t.Errorf("got status %d and %q", resp.StatusCode, body)
	}
	resp, body = s.get(t, render.Content, "Range", "bytes=-512")
	if resp.StatusCode != http.StatusPartialContent || !strings.HasPrefix(body, "EFI PART") {
		t.Errorf("got status %d and %q at the end", resp.StatusCode, body)
	}
	state, _ := s.get(t, strings.TrimSuffix(render.Content, "/content"), "", "")
	if render.State != api.RenderPlanned || state.StatusCode != http.StatusOK {
		t.Errorf("the render is %s, and has status %d", render.State, state.StatusCode)
	}
}

func TestDerivedArtifactIsListedAndPullable(t *testing.T) {
	s := newServer(t)
	image := ok(t, "push", writeTar(t, bootableRootfs(t)), s.ref("golden/small:1"))
	artifact := ok(t, "render", s.ref("golden/small:1"), "--format", "qcow2")
	if again := ok(t, "render", s.ref("golden/small@"+image), "--format", "qcow2"); again != artifact {
		t.Errorf("rendered twice it is %s and %s", artifact, again)
	}
	repository := orasRepository(t, s, "golden/small")
	subject, err := repository.Resolve(t.Context(), image)
	if err != nil {
		t.Fatal(err)
	}
	var found []ocispec.Descriptor
	err = repository.Referrers(t.Context(), subject, api.ArtifactKind("disk", "qcow2"), func(page []ocispec.Descriptor) error {
		found = append(found, page...)
		return nil
	})
	if err != nil || len(found) != 1 || found[0].Digest.String() != artifact {
		t.Fatalf("the referrers are %+v, %v, want %s", found, err, artifact)
	}
	pulled := filepath.Join(t.TempDir(), "pulled.qcow2")
	ok(t, "pull", s.ref("golden/small@"+artifact), "-o", pulled)
	tool(t, "qemu-img", "check", pulled)
	rendered := filepath.Join(t.TempDir(), "rendered.qcow2")
	ok(t, "render", s.ref("golden/small:1"), "-o", rendered)
	same(t, pulled, rendered)
}
