package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// diskOf makes a disk of two partitions in a directory: the files of a tar on an
// ext4, and a /boot of its own, which the fstab in the tar names. It returns the
// directory with the files of the first, too.
func diskOf(t *testing.T, tarFile string) (disk, root string) {
	t.Helper()
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	root, disk = at("root"), at("disk.raw")
	for _, d := range []string{root, at("boot")} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	tool(t, "tar", "-xpf", tarFile, "-C", root, "--xattrs", "--xattrs-include=*", "--acls", "--numeric-owner", "--same-owner")
	mustWrite(t, at("boot/vmlinuz"), "a kernel")
	tool(t, "mke2fs", "-q", "-F", "-t", "ext4", "-d", root, at("1"), "32M")
	tool(t, "mke2fs", "-q", "-F", "-t", "ext2", "-L", "BOOT", "-d", at("boot"), at("2"), "8M")
	if err := os.WriteFile(disk, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(disk, 48<<20); err != nil {
		t.Fatal(err)
	}
	tool(t, "sgdisk", "-n", "1:2048:+32M", "-c", "1:root", "-n", "2:0:+8M", disk)
	tool(t, "dd", "if="+at("1"), "of="+disk, "bs=1M", "seek=1", "conv=notrunc", "status=none")
	tool(t, "dd", "if="+at("2"), "of="+disk, "bs=1M", "seek=33", "conv=notrunc", "status=none")
	return disk, root
}

// importable is the small root filesystem with a mount of its own.
func importable() []entry {
	entries := append(smallRootfs(), dir("./boot", 0o755))
	for i, e := range entries {
		if e.Name == "./etc/fstab" {
			entries[i] = regular("./etc/fstab", "LABEL=root / ext4 defaults 0 1\nLABEL=BOOT /boot ext2 defaults 0 2\n")
		}
	}
	return entries
}

func TestImportedDiskIsTheImageOfItsFiles(t *testing.T) {
	s := newServer(t)
	disk, root := diskOf(t, writeTar(t, importable()))
	qcow2 := filepath.Join(t.TempDir(), "disk.qcow2")
	tool(t, "qemu-img", "convert", "-O", "qcow2", "-c", disk, qcow2)
	ok(t, "push", root, s.ref("golden/small:dir"))
	d := ok(t, "import", "--files", disk, s.ref("golden/small:raw"))
	if got := ok(t, "import", "--files", qcow2, s.ref("golden/small:qcow2")); got != d {
		t.Errorf("the image of the raw disk is %s, that of the same disk as qcow2 %s", d, got)
	}
	var changed []string
	for line := range strings.Lines(ok(t, "diff", s.ref("golden/small:dir"), s.ref("golden/small:raw"))) {
		changed = append(changed, strings.TrimSpace(line))
	}
	want := []string{"A /boot/vmlinuz", "M /etc/fstab  content,size"}
	if strings.Join(changed, "\n") != strings.Join(want, "\n") {
		t.Errorf("the imported files differ by\n%s\nwant\n%s", strings.Join(changed, "\n"), strings.Join(want, "\n"))
	}
	out := filepath.Join(t.TempDir(), "out.tar")
	ok(t, "import", "--files", qcow2, "--partition", "1", "--root-only", "-o", out)
	if list := tool(t, "tar", "-tf", out); strings.Contains(list, "vmlinuz") || !strings.Contains(list, "usr/bin/ping") {
		t.Errorf("the tar of the first partition holds\n%s", list)
	}
}

func TestImportSaysWhatToDo(t *testing.T) {
	disk, _ := diskOf(t, writeTar(t, importable()))
	xfs := filepath.Join(t.TempDir(), "xfs")
	if err := os.WriteFile(xfs, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(xfs, 320<<20); err != nil {
		t.Fatal(err)
	}
	tool(t, "mkfs.xfs", "-q", xfs)
	reference := "localhost:1/x:1"
	fails(t, exitUsage, []string{"cloudlets push " + disk}, "import", disk, reference)
	fails(t, exitUsage, []string{"REFERENCE"}, "import", "--files", disk)
	fails(t, exitFailed, []string{"the files of xfs are not read", "push the disk as it is"}, "import", "--files", xfs, reference)
	fails(t, exitFailed, []string{"there is no partition 9", "partition 1 (ext4), partition 2 (ext2)"}, "import", "--files", disk, "--partition", "9", reference)
	fails(t, exitFailed, []string{"declared as vmdk"}, "import", "--files", disk, "--container-format", "vmdk", reference)
	fails(t, exitFailed, []string{"expected a disk, found"}, "import", "--files", mustWrite(t, filepath.Join(t.TempDir(), "text"), "hello"), reference)
}

func TestInspectShowsWhatIsOnADisk(t *testing.T) {
	disk, _ := diskOf(t, writeTar(t, importable()))
	words := ok(t, "inspect", disk)
	for _, want := range []string{"raw disk of 48.0 MiB", "gpt", "Linux filesystem", "root", "ext4", "ext2", "BOOT", "yes"} {
		if !strings.Contains(words, want) {
			t.Errorf("%q is not in\n%s", want, words)
		}
	}
	var found struct {
		Format, Table string
		Partitions    []struct {
			Number           int
			Filesystem, UUID string
			Start, Size      int64
			Files            bool
		}
	}
	if err := json.Unmarshal([]byte(ok(t, "inspect", "--json", disk)), &found); err != nil {
		t.Fatal(err)
	}
	if len(found.Partitions) != 2 || found.Format != "raw" || found.Table != "gpt" {
		t.Fatalf("got %+v", found)
	}
	if p := found.Partitions[1]; p.Number != 2 || p.Filesystem != "ext2" || p.Start != 33<<20 || p.Size != 8<<20 || !p.Files || p.UUID == "" {
		t.Errorf("got %+v", p)
	}
}
