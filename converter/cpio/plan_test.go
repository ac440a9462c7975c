package cpio

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/converter/inventory"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

var trees = convertertest.Trees{Files: 20, FileSize: 256 << 10, Seconds: true}

func mustPlan(t convertertest.TB, tree *image.Tree) *extent.Map {
	t.Helper()
	m, err := Plan(context.Background(), tree, Options{})
	if err != nil {
		t.Fatalf("plan: %v", err)
	}
	return m
}

func file(mode uint32, content string) *image.Inode {
	n := &image.Inode{Mode: image.TypeRegular | mode}
	n.SetContent([]byte(content))
	return n
}

func TestGNUCpioExtractsEveryTree(t *testing.T) {
	convertertest.Need(t, "cpio", "cpio")
	if os.Geteuid() != 0 {
		t.Skip("extracting what root owns takes root")
	}
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		blobs := convertertest.Blobs{}
		tree := convertertest.DrawTree(t, blobs, trees)
		tree.Root.Mode = image.TypeDir | 0o700 // what is there already, cpio leaves as it is
		path, out := filepath.Join(dir, "archive"), makeDir(t, filepath.Join(dir, "out"))
		defer os.RemoveAll(out)
		convertertest.WriteFile(t, mustPlan(t, tree), blobs, path)
		convertertest.Run(t, "cpio", "--extract", "--make-directories", "--preserve-modification-time", "--quiet", "-D", out, "-F", path)
		got, want := convertertest.ListDir(t, out), convertertest.ListTree(t, tree, blobs)
		convertertest.SameListing(t, asExtracted(got), asExtracted(want))
	})
}

// asExtracted returns a listing without what GNU cpio does not set: the times of
// symbolic links, and of directories into which it puts hard links later. It makes
// a symbolic link with several names several links.
func asExtracted(lines []string) []string {
	time := regexp.MustCompile(`( (?:12|04)\d{4} \d+:\d+) \d+\.\d{9}`)
	names := regexp.MustCompile(`( -> t+) \d+ names of .*$`)
	for i, line := range lines {
		lines[i] = names.ReplaceAllString(time.ReplaceAllString(line, "$1"), "$1")
	}
	return lines
}

func makeDir(t *rapid.T, dir string) string {
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestGNUCpioListsTheNames(t *testing.T) {
	convertertest.Need(t, "cpio", "cpio")
	tree := image.NewTree()
	bin := &image.Inode{Mode: image.TypeDir | 0o755}
	tree.Root.Link("bin", bin)
	shell := file(0o755, "#!")
	bin.Link("sh", shell)
	bin.Link("ash", shell)
	tree.Root.Link("init", &image.Inode{Mode: image.TypeSymlink | 0o777, Target: "bin/sh"})
	path := filepath.Join(t.TempDir(), "archive")
	convertertest.WriteFile(t, mustPlan(t, tree), nil, path)
	if out := convertertest.Run(t, "cpio", "-t", "--quiet", "-F", path); out != ".\nbin\nbin/ash\nbin/sh\ninit\n" {
		t.Fatalf("cpio lists %q", out)
	}
	info, err := os.Stat(path)
	if err != nil || info.Size()%recordSize != 0 {
		t.Fatalf("%v, %v", info.Size(), err)
	}
}

// busybox in an archive is all that the kernel needs to say what it unpacked.
func TestKernelUnpacksTheArchive(t *testing.T) {
	if testing.Short() {
		t.Skip("boots a kernel")
	}
	const tool, rootfs = "qemu-system-x86_64", "../../.cache/debian.tar"
	convertertest.Need(t, tool, "qemu-system-x86")
	program, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Fatalf("this test needs the Debian package busybox-static: %v", err)
	}
	if _, err := os.Stat(rootfs); err != nil {
		t.Fatalf("this test needs the Debian root filesystem: make debian: %v", err)
	}
	dir := t.TempDir()
	kernel, archive := filepath.Join(dir, "vmlinuz"), filepath.Join(dir, "initramfs")
	vmlinuz := convertertest.Run(t, "tar", "-xOf", rootfs, "--wildcards", "./boot/vmlinuz-*")
	if err := os.WriteFile(kernel, []byte(vmlinuz), 0o600); err != nil {
		t.Fatal(err)
	}
	blobs := convertertest.Blobs{}
	convertertest.WriteFile(t, mustPlan(t, initramfs(blobs, program)), blobs, archive)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, tool, "-accel", "tcg", "-cpu", "max", "-m", "256", "-nodefaults", "-display", "none", "-no-reboot", "-serial", "stdio",
		"-kernel", kernel, "-initrd", archive, "-append", "console=ttyS0 quiet panic=-1").CombinedOutput()
	const want = "unpacked: 2 names of busybox, content of late, 7:8 750 owner, 5,1 console, 1970-01-02"
	if err != nil || !strings.Contains(string(out), want) {
		t.Fatalf("%v: %q is not on the serial console; this is:\n%s", err, want, out)
	}
}

// initramfs is a tree whose init says what it finds in it, and switches off.
func initramfs(blobs convertertest.Blobs, program []byte) *image.Tree {
	const script = `#!/bin/busybox sh
b=/bin/busybox
set -- $($b stat -c '%h %u:%g' $b) $($b stat -c '%u:%g %a' /owned) $($b stat -c '%t,%T' /dev/console) $($b stat -c %y /owned)
$b echo "unpacked: $1 names of busybox, content of $($b cat /late), $3 $4 owner, $5 console, $6"
$b poweroff -f
`
	tree := image.NewTree()
	bin, dev := &image.Inode{Mode: image.TypeDir | 0o755}, &image.Inode{Mode: image.TypeDir | 0o755}
	tree.Root.Link("bin", bin)
	tree.Root.Link("dev", dev)
	dev.Link("console", &image.Inode{Mode: image.TypeChar | 0o600, Major: 5, Minor: 1})
	busybox := file(0o755, "")
	busybox.Content = []extent.Extent{{Kind: extent.Source, Digest: blobs.Add(program), Length: int64(len(program))}}
	bin.Link("busybox", busybox)
	bin.Link("sh", busybox)
	tree.Root.Link("init", file(0o755, script))
	tree.Root.Link("late", file(0o644, "late"))
	owned := file(0o750, "")
	owned.UID, owned.GID, owned.ModTime.Sec = 7, 8, 100_000
	tree.Root.Link("owned", owned)
	return tree
}

func TestContentIsReferenced(t *testing.T) {
	tree := image.NewTree()
	for i := range 50 {
		n := file(0o644, "")
		n.Content = []extent.Extent{{Kind: extent.Source, Digest: "sha256:layer", Offset: int64(i) << 20, Length: 300_001}}
		tree.Root.Link(fmt.Sprint(i), n)
	}
	m := mustPlan(t, tree)
	var total int64
	for _, e := range m.All() {
		if e.Kind == extent.Source {
			total += e.Length
		}
	}
	if total != 50*300_001 || m.InlineSize() > 8<<10 {
		t.Fatalf("%d bytes of content are referenced and %d are inline", total, m.InlineSize())
	}
}

func TestEqualInputGivesEqualBytes(t *testing.T) {
	tree := convertertest.DrawExample(trees, convertertest.Blobs{})
	if !bytes.Equal(mustPlan(t, tree).Encode(), mustPlan(t, tree).Encode()) {
		t.Fatal("two plans of one tree differ")
	}
}

func TestAttributesAreRefusedOrReported(t *testing.T) {
	tree := image.NewTree()
	n := file(0o644, "x")
	n.Xattrs = []image.Xattr{{Name: "security.capability", Value: []byte{1}}}
	tree.Root.Link("ping", n)
	tree.Root.Link("ping6", n)
	if _, err := Plan(t.Context(), tree, Options{}); !errors.Is(err, inventory.ErrTree) || !strings.Contains(err.Error(), `/ping: extended attribute "security.capability"`) {
		t.Fatalf("error %v", err)
	}
	var dropped []string
	if _, err := Plan(t.Context(), tree, Options{Dropped: func(path, name string) { dropped = append(dropped, path+" "+name) }}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(dropped, []string{"/ping security.capability"}) {
		t.Fatalf("dropped %q", dropped)
	}
}

func TestPlanRefusesWhatCpioCannotHold(t *testing.T) {
	large := file(0o644, "")
	large.Content = []extent.Extent{{Length: 1 << 32}}
	deep := &image.Inode{Mode: image.TypeDir | 0o755}
	at := deep
	for range 20 {
		next := &image.Inode{Mode: image.TypeDir | 0o755}
		at.Link(strings.Repeat("d", 250), next)
		at = next
	}
	for name, files := range map[string]map[string]*image.Inode{
		"4 GiB":         {"a": large},
		"a long path":   {"a": deep},
		"the trailer":   {trailer: file(0, "")},
		"a long target": {"a": {Mode: image.TypeSymlink, Target: strings.Repeat("t", 4096)}},
	} {
		t.Run(name, func(t *testing.T) {
			tree := image.NewTree()
			for name, n := range files {
				tree.Root.Link(name, n)
			}
			if _, err := Plan(t.Context(), tree, Options{}); !errors.Is(err, inventory.ErrTree) || !strings.HasPrefix(err.Error(), "plan cpio: /") {
				t.Fatalf("error %v, want one that names the path and wraps ErrTree", err)
			}
		})
	}
}
