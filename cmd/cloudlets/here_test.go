package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/cloudlets/cloudlets/converter"
)

// foreignRegistry starts Debian's docker-registry, which knows nothing of ours or of
// referrers and lets nobody delete,
// and returns where it is.
func foreignRegistry(t *testing.T) (host string) {
	t.Helper()
	host = freeAddress(t)
	dir := t.TempDir()
	config := mustWrite(t, filepath.Join(dir, "config.yml"), fmt.Sprintf(
		"version: 0.1\nlog: {level: error}\nstorage: {filesystem: {rootdirectory: %q}}\nhttp: {addr: %q}\n", dir, host))
	cmd := exec.Command(find(t, "docker-registry"), "serve", config)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	for range 200 {
		if resp, err := http.Get("http://" + host + "/v2/"); err == nil {
			_ = resp.Body.Close()
			return host
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatal("docker-registry does not answer")
	return ""
}

// theSame renders an image in its registry and here, in several formats, and
// compares.
func theSame(t *testing.T, ref string, formats []string, args ...string) {
	t.Helper()
	for _, format := range formats {
		if _, err := converter.FindFormat(format); err != nil {
			continue
		}
		there, local := filepath.Join(t.TempDir(), "there"), filepath.Join(t.TempDir(), "here")
		options := append([]string{"--format", format}, args...)
		ok(t, append([]string{"render", ref, "-o", there}, options...)...)
		ok(t, append([]string{"render", ref, "-o", local, "--here"}, options...)...)
		tool(t, "diff", "-r", there, local)
	}
}

func TestWhatIsRenderedHereIsTheSame(t *testing.T) {
	s := newServer(t)
	dir := t.TempDir()
	raw, packed := filepath.Join(dir, "disk.raw"), filepath.Join(dir, "packed.qcow2")
	diskWithData(t, raw)
	tool(t, "qemu-img", "convert", "-c", "-O", "qcow2", raw, packed)
	ok(t, "push", raw, s.ref("disks:framed"))
	ok(t, "push", packed, s.ref("disks:verbatim"), "--type", "disk", "--verbatim")
	ok(t, "push", writeTar(t, bootableRootfs(t)), s.ref("image:1"))
	theSame(t, s.ref("disks:framed"), []string{"qcow2", "vhd", "vdi", "ironic"}, "--size", "64M")
	theSame(t, s.ref("disks:verbatim"), []string{"raw", "vmdk", "vhdx"})
	theSame(t, s.ref("image:1"), []string{"vhd"}, "--free-space", "16M")
}

func TestARegistryThatDoesNotRenderHasItDoneHere(t *testing.T) {
	host := foreignRegistry(t)
	s := newServer(t)
	dir := t.TempDir()
	raw := filepath.Join(dir, "disk.raw")
	diskWithData(t, raw)
	rootfs := writeTar(t, bootableRootfs(t))
	for _, registry := range []string{host, s.host} {
		ok(t, "push", raw, registry+"/disk:1", "--plain-http")
		ok(t, "push", rootfs, registry+"/image:1", "--plain-http")
	}
	for _, name := range []string{"disk:1", "image:1"} {
		out := filepath.Join(dir, "out")
		ok(t, "render", host+"/"+name, "--format", "vhd", "-o", out)
		want := filepath.Join(dir, "want")
		ok(t, "render", s.ref(name), "--format", "vhd", "-o", want)
		same(t, out, want)
	}
	fails(t, exitFailed, []string{"name a file with -o"}, "render", host+"/disk:1")
}

func TestAFileOfADiskIsRenderedHere(t *testing.T) {
	dir := t.TempDir()
	raw, vmdk := filepath.Join(dir, "disk.raw"), filepath.Join(dir, "disk.vmdk")
	diskWithData(t, raw)
	tool(t, "qemu-img", "convert", "-O", "vmdk", raw, vmdk)
	out := filepath.Join(dir, "out")
	ok(t, "render", vmdk, "--format", "qcow2", "--compress", "-o", out)
	sameDisk(t, raw, out, "qcow2")
	ok(t, "render", raw, "--format", "vhd", "-o", out)
	sameDisk(t, raw, out, "vpc")
	several := filepath.Join(dir, "several")
	ok(t, "render", raw, "--format", "ironic", "-o", several)
	files, err := os.ReadDir(several)
	if err != nil || len(files) != 2 {
		t.Errorf("there are %d files (%v), want 2", len(files), err)
	}
	fails(t, exitUsage, []string{"-o"}, "render", raw, "--format", "qcow2")
	fails(t, exitUsage, []string{"expected a directory"}, "render", raw, "--format", "ironic", "-o", "-")
	fails(t, exitFailed, []string{"import --files"}, "render", raw, "--format", "raw", "-o", out, "--config", `{"hostname": "web"}`)
	rootfs := writeTar(t, bootableRootfs(t))
	fails(t, exitFailed, []string{"boot kit " + raw + " is a disk"}, "raw", rootfs, "--bootkit", raw, "-o", out)
}

func TestAContainerWithoutKnownContentHoldsADisk(t *testing.T) {
	s := newServer(t)
	dir := t.TempDir()
	for name, write := range map[string]string{"empty": "", "data": "write -P 7 0 1M", "boot sector": "write -P 0x55 510 1"} {
		disk, want, got := filepath.Join(dir, name+".vmdk"), filepath.Join(dir, name+".raw"), filepath.Join(dir, "got")
		tool(t, "qemu-img", "create", "-q", "-f", "vmdk", disk, "3M")
		if write != "" {
			tool(t, "qemu-io", "-f", "vmdk", "-c", write, disk)
		}
		tool(t, "qemu-img", "convert", "-O", "raw", disk, want)
		ok(t, "render", disk, "--format", "raw", "-o", got)
		same(t, got, want)
		ok(t, "push", disk, s.ref("disks/unknown:1"))
		ok(t, "render", s.ref("disks/unknown:1"), "--format", "raw", "-o", got)
		same(t, got, want)
	}
}

func TestALargeDiskIsRenderedHereWhenThatIsSaid(t *testing.T) {
	dir := t.TempDir()
	disk, out := filepath.Join(dir, "disk.qcow2"), filepath.Join(dir, "out")
	tool(t, "qemu-img", "create", "-q", "-f", "qcow2", disk, "2T")
	fails(t, exitFailed, []string{"--max-size"}, "render", disk, "--format", "raw", "-o", out)
	ok(t, "render", disk, "--max-size", "2T", "--format", "raw", "-o", out)
	if info, err := os.Stat(out); err != nil || info.Size() != 2<<40 {
		t.Errorf("%v, %v", info, err)
	}
	ok(t, "raw", disk, "--type", "disk", "--max-size", "2T", "-o", out)
	fails(t, exitUsage, []string{"--max-size"}, "render", "localhost:1/disk:1", "--max-size", "2T")
}

func TestAPathIsNoReference(t *testing.T) {
	dir := t.TempDir()
	for _, command := range []string{"render", "inspect"} {
		fails(t, exitNotFound, []string{"no such file"}, command, filepath.Join(dir, "missing.vmdk"))
		fails(t, exitNotFound, []string{"no such file"}, command, "./missing.vmdk")
	}
	fails(t, exitUsage, []string{"found a path"}, "inspect", dir)
}

func TestADirectoryForTheOutputIsMade(t *testing.T) {
	dir := t.TempDir()
	raw := filepath.Join(dir, "disk.raw")
	diskWithData(t, raw)
	ok(t, "render", raw, "--format", "qcow2", "-o", filepath.Join(dir, "new")+"/")
	sameDisk(t, raw, filepath.Join(dir, "new", "disk.qcow2"), "qcow2")
	fails(t, exitNotFound, []string{"create " + filepath.Join(dir, "none", "x") + ": no such file"},
		"render", raw, "--format", "qcow2", "-o", filepath.Join(dir, "none", "x"))
}

// TestFilesOfAnOutputAppearTogether has no name for the second file.
func TestFilesOfAnOutputAppearTogether(t *testing.T) {
	dir := t.TempDir()
	failed := errors.New("the disk is full")
	err := saveFiles(dir, []string{"first", "second"}, func(i int, w io.Writer) error {
		if i == 1 {
			return failed
		}
		_, err := io.WriteString(w, "content")
		return err
	})
	left, _ := os.ReadDir(dir)
	if !errors.Is(err, failed) || len(left) > 0 {
		t.Errorf("%v; left: %v", err, left)
	}
	if err := saveFiles(dir, []string{"first", "second"}, func(_ int, w io.Writer) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 2 {
		t.Errorf("%v, %v", left, err)
	}
}
