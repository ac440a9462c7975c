package kind_test

import (
	"bytes"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cloudlets/cloudlets/image/kind"
)

// debianPackages says which Debian package has a tool.
var debianPackages = map[string]string{
	"bzip2": "bzip2", "cpio": "cpio", "genisoimage": "genisoimage", "grub-mkrescue": "grub-common", "gzip": "gzip", "mkfs.ext4": "e2fsprogs", "mkfs.vfat": "dosfstools",
	"mksquashfs": "squashfs-tools", "qemu-img": "qemu-utils", "sfdisk": "fdisk", "sgdisk": "gdisk", "tar": "tar",
	"xorriso": "xorriso", "xz": "xz-utils", "zstd": "zstd",
}

// tool runs a tool that must succeed in a directory.
func tool(t testing.TB, dir, stdin, name string, args ...string) string {
	t.Helper()
	path := name
	for _, candidate := range []string{name, "/usr/sbin/" + name, "/sbin/" + name} {
		if found, err := exec.LookPath(candidate); err == nil {
			path = found
		}
	}
	if path == name {
		t.Fatalf("this test needs %s: install the Debian package %s", name, debianPackages[name])
	}
	cmd := exec.Command(path, args...)
	cmd.Dir = dir
	cmd.Stdin = strings.NewReader(stdin)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, stderr.String())
	}
	return string(out)
}

// detect looks at a file.
func detect(t testing.TB, path string) kind.Finding {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	found, err := kind.Detect(f, info.Size())
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return found
}

// blank makes a file of zeros.
func blank(t testing.TB, dir, name string, size int64) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
	return path
}

func write(t testing.TB, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestContainersThatQEMUMakes(t *testing.T) {
	dir := t.TempDir()
	disk := blank(t, dir, "disk", 64<<20)
	tool(t, dir, "label: dos\n,,L,*\n", "sfdisk", "-q", disk)
	for name, c := range map[string]struct {
		args []string
		want kind.Container
	}{
		"raw":                {[]string{"raw"}, kind.Raw},
		"qcow":               {[]string{"qcow"}, kind.Qcow},
		"qcow2":              {[]string{"qcow2"}, kind.Qcow2},
		"qcow2 of version 2": {[]string{"qcow2", "-o", "compat=0.10"}, kind.Qcow2},
		"qcow2, tiny":        {[]string{"qcow2", "-o", "cluster_size=512"}, kind.Qcow2},
		"qcow2, compressed":  {[]string{"qcow2", "-c", "-o", "compression_type=zstd"}, kind.Qcow2},
		"qed":                {[]string{"qed"}, kind.QED},
		"vdi":                {[]string{"vdi"}, kind.VDI},
		"vhdx":               {[]string{"vhdx"}, kind.VHDX},
		"parallels":          {[]string{"parallels"}, kind.Parallels},
		"vhd, dynamic":       {[]string{"vpc"}, kind.VHD},
		"vhd, fixed":         {[]string{"vpc", "-o", "subformat=fixed,force_size"}, kind.VHD},
		"vhd, fixed by CHS":  {[]string{"vpc", "-o", "subformat=fixed"}, kind.VHD},
		"vmdk":               {[]string{"vmdk"}, kind.VMDK},
		"vmdk, stream":       {[]string{"vmdk", "-o", "subformat=streamOptimized"}, kind.VMDK},
	} {
		t.Run(name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "out")
			tool(t, dir, "", "qemu-img", append(append([]string{"convert", "-f", "raw", "-O"}, c.args...), disk, out)...)
			f := detect(t, out)
			k, err := f.Decide(kind.Kind{Type: kind.Disk, Container: c.want})
			if err != nil || k != (kind.Kind{Type: kind.Disk, Container: c.want}) {
				t.Errorf("got %+v, %v", f, err)
			}
			if c.want != kind.Raw {
				if _, err := f.Decide(kind.Kind{Type: kind.Disk, Container: kind.Raw}); err == nil || !strings.Contains(err.Error(), string(c.want)) {
					t.Errorf("declared as raw: %v", err)
				}
			}
			if strings.HasPrefix(name, "vhd, fixed") || c.want == kind.Raw {
				if k, err := f.Decide(kind.Kind{}); err != nil || k.Type != kind.Disk {
					t.Errorf("its content is in the open: got %s, %v", k, err)
				}
			} else if _, err := f.Decide(kind.Kind{}); err == nil || !strings.Contains(err.Error(), "--type") {
				t.Errorf("without a type: %v", err)
			}
		})
	}
}

func TestFilesThatNeedOthersAreRefused(t *testing.T) {
	dir := t.TempDir()
	create := func(name string, args ...string) string {
		tool(t, dir, "", "qemu-img", append([]string{"create", "-q"}, args...)...)
		return filepath.Join(dir, name)
	}
	blank(t, dir, "base.raw", 16<<20)
	tool(t, dir, "", "qemu-img", "create", "-q", "-f", "vmdk", "base.vmdk", "16M")
	for path, missing := range map[string]string{
		create("over.qcow2", "-f", "qcow2", "-b", "base.raw", "-F", "raw", "over.qcow2"):                "a parent",
		create("over.qed", "-f", "qed", "-b", "base.raw", "-F", "raw", "over.qed"):                      "a backing file",
		create("over.qcow", "-f", "qcow", "-b", "base.raw", "-F", "raw", "over.qcow"):                   "a backing file",
		create("data.qcow2", "-f", "qcow2", "-o", "data_file=data.raw", "data.qcow2", "16M"):            "an external data file",
		create("over.vmdk", "-f", "vmdk", "-b", "base.vmdk", "-F", "vmdk", "over.vmdk"):                 "a parent",
		create("flat.vmdk", "-f", "vmdk", "-o", "subformat=monolithicFlat", "flat.vmdk", "16M"):         "the files that it names",
		create("split.vmdk", "-f", "vmdk", "-o", "subformat=twoGbMaxExtentSparse", "split.vmdk", "16M"): "the files that it names",
	} {
		f := detect(t, path)
		_, err := f.Decide(kind.Kind{Type: kind.Disk, Container: f.Container})
		if f.Missing != missing && !f.Parent || err == nil || !strings.Contains(err.Error(), missing) {
			t.Errorf("%s: got %+v, %v, want %q missing", filepath.Base(path), f, err, missing)
		}
	}
}

func TestContentThatToolsMake(t *testing.T) {
	dir := t.TempDir()
	tree := filepath.Join(dir, "tree")
	if err := os.MkdirAll(filepath.Join(tree, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, tree, "etc/hostname", "golden\n")
	in := func(name string) string { return filepath.Join(dir, name) }

	tool(t, dir, "", "mkfs.ext4", "-q", blank(t, dir, "ext4", 16<<20))
	tool(t, dir, "", "mkfs.vfat", "-F", "32", blank(t, dir, "fat32", 64<<20))
	tool(t, dir, "", "mkfs.vfat", "-F", "12", blank(t, dir, "fat12", 1<<20))
	tool(t, dir, "", "mksquashfs", tree, "squashfs", "-quiet")
	tool(t, dir, "label: dos\n,,L,*\n", "sfdisk", "-q", blank(t, dir, "mbr", 16<<20))
	tool(t, dir, "", "sgdisk", "-n", "1:0:0", blank(t, dir, "gpt", 16<<20))
	tool(t, dir, "", "xorriso", "-as", "mkisofs", "-quiet", "-R", "-o", "iso", tree)
	tool(t, dir, "", "genisoimage", "-quiet", "-R", "-J", "-udf", "-o", "iso-udf", tree)
	tool(t, dir, "", "grub-mkrescue", "-o", "iso-hybrid", tree)
	cpio := tool(t, tree, "etc\netc/hostname\n", "cpio", "-o", "-H", "newc", "--quiet")
	write(t, dir, "cpio", cpio)
	for suffix, compress := range map[string][]string{"gz": {"gzip"}, "zst": {"zstd", "-q"}, "xz": {"xz", "--check=crc32"}} {
		write(t, dir, "cpio."+suffix, tool(t, dir, cpio, compress[0], append(compress[1:], "-c")...))
		write(t, dir, "text."+suffix, tool(t, dir, strings.Repeat("text\n", 1000), compress[0], append(compress[1:], "-c")...))
	}
	write(t, dir, "mbr.gz", tool(t, dir, string(mustRead(t, in("mbr"))), "gzip", "-c"))
	// Content that cannot be made shorter comes as one block.
	noise := make([]byte, 1<<20)
	rand.NewChaCha8([32]byte{}).Read(noise)
	full := slices.Concat(mustRead(t, in("gpt"))[:1024], noise)
	for suffix, compress := range map[string][]string{"gz": {"gzip"}, "zst": {"zstd", "-q"}, "xz": {"xz"}, "bz2": {"bzip2"}} {
		write(t, dir, "full."+suffix, tool(t, dir, string(full), compress[0], append(compress[1:], "-c")...))
	}
	tool(t, dir, "", "tar", "-cf", "tar", "tree")
	tool(t, dir, "", "tar", "-czf", "tar.gz", "tree")
	write(t, dir, "machine.ovf", "<Envelope/>")
	tool(t, dir, "", "tar", "--format=ustar", "-cf", "ova", "machine.ovf", "mbr")
	write(t, dir, "old-initrd", tool(t, dir, string(mustRead(t, in("ext4"))), "gzip", "-c"))
	write(t, dir, "text", "just a text\n")
	blank(t, dir, "blank", 1<<20)

	for name, want := range map[string]string{
		"ext4": "filesystem", "fat32": "filesystem", "fat12": "filesystem", "squashfs": "filesystem",
		"mbr": "disk", "gpt": "disk", "mbr.gz": "disk", "full.gz": "disk", "full.zst": "disk", "full.xz": "disk", "full.bz2": "disk",
		"iso": "iso9660", "iso-udf": "iso9660", "iso-hybrid": "iso9660",
		"cpio": "ramdisk", "cpio.gz": "ramdisk", "cpio.zst": "ramdisk", "cpio.xz": "ramdisk",
		"old-initrd": "ramdisk other", "text.gz": "ramdisk other", "text.zst": "ramdisk other", "text.xz": "ramdisk other",
		"tar": "other", "tar.gz": "other", "ova": "disk",
		"text": "other", "blank": "disk other",
	} {
		f := detect(t, in(name))
		var got []string
		for _, t := range f.Types {
			got = append(got, string(t))
		}
		if strings.Join(got, " ") != want || f.Missing != "" || f.Contradictory {
			t.Errorf("%s: got %+v, want %s", name, f, want)
		}
		if f.Tar != strings.HasPrefix(name, "tar") {
			t.Errorf("%s: taken for a tar: %v", name, f.Tar)
		}
	}
}

func mustRead(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestPartsOfDebianAreWhatTheyAre looks at the kernel of the Debian root
// filesystem, at its programs and bootloaders.
func TestPartsOfDebianAreWhatTheyAre(t *testing.T) {
	const debian = "../../.cache/debian.tar"
	if _, err := os.Stat(debian); err != nil {
		t.Fatalf("%v: run make debian", err)
	}
	dir := t.TempDir()
	tool(t, dir, "", "tar", "-xf", abs(t, debian), "--wildcards", "./boot/vmlinuz-*", "./boot/initrd.img-*", "./usr/bin/bash", "./usr/lib/x86_64-linux-gnu/libc.so.6")
	for pattern, want := range map[string]kind.Type{
		"boot/vmlinuz-*": kind.Kernel, "boot/initrd.img-*": kind.Ramdisk,
		"usr/bin/bash": kind.Other, "usr/lib/x86_64-linux-gnu/libc.so.6": kind.Other,
	} {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(files) == 0 {
			t.Errorf("%s: %v", pattern, err)
			continue
		}
		f := detect(t, files[0])
		if k, err := f.Decide(kind.Kind{}); err != nil || k != (kind.Kind{Type: want, Container: kind.Raw}) {
			t.Errorf("%s: got %s, %+v, %v", pattern, k, f, err)
		}
	}
}

func abs(t testing.TB, path string) string {
	t.Helper()
	a, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	return a
}
