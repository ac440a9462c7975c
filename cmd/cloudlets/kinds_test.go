package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// images makes a file of each image type, and containers of a disk.
func images(t testing.TB) (dir string) {
	t.Helper()
	dir = t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	tree := in("tree")
	if err := os.Mkdir(tree, 0o755); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, filepath.Join(tree, "hostname"), "golden\n")
	for name, size := range map[string]int64{"disk": 16 << 20, "filesystem": 8 << 20, "kernel": 4 << 10} {
		mustWrite(t, in(name), "")
		if err := os.Truncate(in(name), size); err != nil {
			t.Fatal(err)
		}
	}
	tool(t, "sgdisk", "-n", "1:0:0", in("disk"))
	tool(t, "mkfs.ext4", "-q", in("filesystem"))
	tool(t, "xorriso", "-as", "mkisofs", "-quiet", "-R", "-o", in("iso"), tree)
	content := []byte(mustRead(t, in("kernel")))
	copy(content[0x1fe:], "\x55\xaa\x00\x00HdrS")
	mustWrite(t, in("kernel"), string(content))
	mustWrite(t, in("ramdisk"), "070701"+strings.Repeat("0", 506))
	for container, format := range map[string]string{"qcow": "qcow", "qcow2": "qcow2", "vhd": "vpc", "vhdx": "vhdx", "vmdk": "vmdk", "vdi": "vdi", "qed": "qed"} {
		tool(t, "qemu-img", "convert", "-O", format, in("disk"), in("disk."+container))
	}
	tool(t, "qemu-img", "convert", "-O", "vmdk", in("filesystem"), in("filesystem.vmdk"))
	twice := []byte(mustRead(t, in("filesystem")))
	copy(twice[446:], "\x00\x00\x02\x00\x83\x00\x00\x00\x01\x00\x00\x00\x00\x10\x00\x00") // a partition
	copy(twice[510:], "\x55\xaa")
	mustWrite(t, in("twice"), string(twice))
	tool(t, "qemu-img", "convert", "-O", "qcow2", in("twice"), in("twice.qcow2"))
	return dir
}

func TestEveryKindIsPushedAndPulled(t *testing.T) {
	s := newServer(t)
	dir := images(t)
	for _, c := range []struct {
		file                        string
		args                        []string
		wantType, wantContainer, to string
	}{
		{"disk", nil, "disk", "raw", "a"},
		{"iso", nil, "iso9660", "raw", "b"},
		{"filesystem", nil, "filesystem", "raw", "c"},
		{"kernel", nil, "kernel", "raw", "d"},
		{"ramdisk", nil, "ramdisk", "raw", "e"},
		{"filesystem", []string{"--container-format", "ami"}, "filesystem", "raw", "f"},
		{"kernel", []string{"--container-format", "aki", "--type", "kernel"}, "kernel", "raw", "g"},
		{"ramdisk", []string{"--container-format", "ari"}, "ramdisk", "raw", "h"},
		{"disk.qcow", []string{"--type", "disk", "--verbatim", "--container-format", "qcow"}, "disk", "qcow", "i"},
		{"disk.qcow2", []string{"--type", "disk", "--verbatim"}, "disk", "qcow2", "j"},
		{"disk.vhd", []string{"--type", "disk", "--verbatim", "--container-format", "vhd"}, "disk", "vhd", "k"},
		{"disk.vhdx", []string{"--type", "disk", "--verbatim", "--container-format", "vhdx"}, "disk", "vhdx", "l"},
		{"disk.vmdk", []string{"--type", "disk", "--verbatim", "--container-format", "vmdk"}, "disk", "vmdk", "m"},
		{"disk.vdi", []string{"--type", "disk", "--verbatim", "--container-format", "vdi"}, "disk", "vdi", "n"},
		{"disk.qed", []string{"--type", "disk", "--verbatim", "--container-format", "qed"}, "disk", "qed", "o"},
		{"tree/hostname", []string{"--type", "other"}, "other", "raw", "p"},
	} {
		path, ref := filepath.Join(dir, c.file), s.ref("kinds/"+c.to+":1")
		ok(t, append([]string{"push", path, ref}, c.args...)...)
		var got struct{ ImageType, ContainerFormat, ArtifactType string }
		if err := json.Unmarshal([]byte(ok(t, "inspect", "--json", ref)), &got); err != nil {
			t.Fatal(err)
		}
		if got.ImageType != c.wantType || got.ContainerFormat != c.wantContainer ||
			got.ArtifactType != "application/vnd.cloudlets."+c.wantType+"."+c.wantContainer {
			t.Errorf("%s: got %+v", c.file, got)
		}
		out := filepath.Join(t.TempDir(), "out")
		ok(t, "pull", ref, "-o", out)
		same(t, out, path)
		if c.wantType == "iso9660" || c.wantType == "other" {
			fails(t, exitFailed, []string{"is not rendered"}, "render", ref, "--format", "raw")
		}
	}
	r := cloudletsFrom(t, mustRead(t, filepath.Join(dir, "disk")), "push", "-", s.ref("kinds/stdin:1"), "--type", "disk")
	if r.code != 0 {
		t.Errorf("from the standard input: %s", r.stderr)
	}
}

func TestWhatIsInAContainerSaysItsType(t *testing.T) {
	s := newServer(t)
	dir := images(t)
	push := func(name string) string {
		ref := s.ref("kinds/" + name + ":1")
		ok(t, "push", filepath.Join(dir, name), ref)
		return ref
	}
	// Not a VHD: qemu-img makes its disk larger.
	for name, content := range map[string]string{
		"disk.qcow": "disk", "disk.qcow2": "disk", "disk.qed": "disk", "disk.vdi": "disk",
		"disk.vhdx": "disk", "disk.vmdk": "disk", "filesystem.vmdk": "filesystem",
	} {
		want := layerOf(t, push(content))
		if got := layerOf(t, push(name)); got.Digest != want.Digest || got.MediaType != want.MediaType {
			t.Errorf("%s is pushed as %s, a %s; want %s, a %s", name, got.Digest, got.MediaType, want.Digest, want.MediaType)
		}
	}
}

func TestWhatIsNotAsDeclaredIsRefused(t *testing.T) {
	s := newServer(t)
	dir := images(t)
	rootfs := writeTar(t, smallRootfs())
	for _, c := range []struct {
		file string
		args []string
		code int
		says []string
	}{
		{"twice.qcow2", nil, exitFailed, []string{"inside the qcow2", "--type filesystem or disk"}},
		{"disk.qcow2", []string{"--verbatim"}, exitFailed, []string{"qcow2", "--type"}},
		{"disk.qcow2", []string{"--type", "disk", "--container-format", "raw"}, exitFailed, []string{"declared as raw", "qcow2"}},
		{"disk.vhd", []string{"--type", "disk", "--container-format", "vmdk"}, exitFailed, []string{"declared as vmdk", "vhd"}},
		{"iso", []string{"--type", "kernel"}, exitFailed, []string{"declared as kernel", "iso9660"}},
		{"iso", []string{"--type", "disk"}, exitFailed, []string{"declared as disk", "iso9660"}},
		{"kernel", []string{"--type", "filesystem"}, exitFailed, []string{"declared as filesystem", "kernel"}},
		{"kernel", []string{"--container-format", "ami"}, exitFailed, []string{"declared as filesystem", "kernel"}},
		{"disk", []string{"--type", "filesystem"}, exitFailed, []string{"declared as filesystem", "disk"}},
		{"disk", []string{"--type", "vm"}, exitUsage, []string{"expected one of kernel"}},
		{rootfs, []string{"--type", "disk"}, exitFailed, []string{"declared as disk", "a tar"}},
		{"tree", []string{"--type", "disk"}, exitFailed, []string{"expected a file"}},
	} {
		path := c.file
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		fails(t, c.code, c.says, append([]string{"push", path, s.ref("bad/bad:1")}, c.args...)...)
	}
}

// TestBootKeepsToTheRules boots with a QEMU that only says how it was started.
func TestBootKeepsToTheRules(t *testing.T) {
	s := newServer(t)
	dir := images(t)
	for _, name := range []string{"disk", "iso", "filesystem", "kernel", "ramdisk"} {
		ok(t, "push", filepath.Join(dir, name), s.ref(name+":1"))
	}
	ok(t, "push", filepath.Join(dir, "disk.vhd"), s.ref("vhd:1"), "--type", "disk", "--verbatim")
	ok(t, "push", filepath.Join(dir, "tree/hostname"), s.ref("other:1"), "--type", "other")
	ok(t, "push", writeTar(t, bootableRootfs(t)), s.ref("image:1"))
	fake := t.TempDir()
	script := mustWrite(t, filepath.Join(fake, "qemu-system-x86_64"), "#!/bin/sh\necho \"$@\"\necho login:\nexec sleep 60\n")
	if err := os.Chmod(script, 0o755); err != nil {
		t.Fatal(err)
	}
	boot := func(args ...string) result {
		cmd := command(t.Context(), append([]string{"boot", "-q", "--accel", "tcg", "--until", "login:"}, args...)...)
		cmd.Env = append(cmd.Env, "PATH="+fake+":"+os.Getenv("PATH"))
		cmd.WaitDelay = time.Second
		return finish(t, cmd)
	}
	const byBootloader = "nbd.sock\nlogin:" // the disk below the overlay is the last argument
	kernel, ramdisk := []string{"--kernel", s.ref("kernel:1")}, []string{"--ramdisk", s.ref("ramdisk:1")}
	for _, c := range []struct {
		ref  string
		args []string
		says string // of the machine; of the error where fails
		fail bool
	}{
		{"disk", nil, "if=virtio,file=", false},
		{"disk", nil, "-smp 2", false},
		{"disk", []string{"--cpus", "1"}, "-smp 1", false},
		{"vhd", nil, "format=vpc", false},
		{"iso", nil, "media=cdrom,readonly=on,file=", false},
		{"filesystem", append(kernel, "--append", "single"), "-append root=/dev/vda rw console=ttyS0 single", false},
		{"filesystem", append(kernel, ramdisk...), "-initrd", false},
		{"filesystem", nil, "requires a kernel", true},
		{"filesystem", ramdisk, "requires a kernel", true},
		{"filesystem", []string{"--kernel", s.ref("iso:1")}, "iso9660/raw image cannot be used so: expected a kernel", true},
		{"kernel", nil, "a kernel is not a filesystem", true},
		{"ramdisk", nil, "a ramdisk is not a filesystem", true},
		{"other", nil, "nobody can tell", true},
		{"disk", kernel, "boots alone", true},
		{"iso", kernel, "boots alone", true},
		{"image", kernel, "boots alone", true},
		{"disk", []string{"--lazy"}, byBootloader, false},
		{"image", []string{"--lazy"}, "/kernel -append", false},
		{"image", []string{"--lazy", "--direct", "--firmware", "bios"}, "/kernel -append", false},
		{"image", []string{"--lazy", "--direct=false"}, byBootloader, false},
		{"image", []string{"--lazy", "--firmware", "bios"}, byBootloader, false},
		{"image", []string{"--lazy", "--overlay", filepath.Join(dir, "kept.qcow2")}, byBootloader, false},
		{"disk", []string{"--lazy", "--direct"}, "leave it out", true},
		{"filesystem", []string{"--lazy"}, "does not boot by itself", true},
	} {
		r := boot(append([]string{s.ref(c.ref + ":1")}, c.args...)...)
		if c.fail {
			r.mustFail(t, exitFailed, c.says)
		} else if r.code != 0 || !strings.Contains(r.stdout, c.says) {
			t.Errorf("%s %q: exit code %d\n%s%s", c.ref, c.args, r.code, r.stdout, r.stderr)
		}
	}
	// What a guest has made of its disk names no other files.
	kept := filepath.Join(t.TempDir(), "kept")
	if r := boot(s.ref("disk:1"), "--disk", kept); r.code != 0 {
		t.Fatal(r.stderr)
	}
	if r := boot(s.ref("disk:1"), "--disk", kept); r.code != 0 || !strings.Contains(r.stdout, "format=raw") {
		t.Errorf("the kept disk: exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
	tool(t, "qemu-img", "create", "-q", "-f", "qcow2", "-b", "/etc/passwd", "-F", "raw", kept)
	boot(s.ref("disk:1"), "--disk", kept).mustFail(t, exitFailed, "leaves content to a parent")
}

// TestFilesystemOfDebianBootsWithItsKernel takes a Debian apart and boots it
// from the parts.
func TestFilesystemOfDebianBootsWithItsKernel(t *testing.T) {
	if testing.Short() {
		t.Skip("boots Debian in an emulator")
	}
	s := newServer(t)
	dir := t.TempDir()
	tool(t, "tar", "-xf", debianTar(t), "-C", dir, "--wildcards", "./boot/vmlinuz-*", "./boot/initrd.img-*")
	for name, pattern := range map[string]string{"kernels": "vmlinuz-*", "ramdisks": "initrd.img-*"} {
		files, err := filepath.Glob(filepath.Join(dir, "boot", pattern))
		if err != nil || len(files) == 0 {
			t.Fatalf("Debian has no %s: %v", pattern, err)
		}
		ok(t, "push", files[0], s.ref(name+"/debian:1"))
	}
	root := filepath.Join(dir, "root")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	tool(t, "tar", "-xpf", debianTar(t), "-C", root, "--exclude=./etc/fstab")
	image := mustWrite(t, filepath.Join(dir, "ext4"), "")
	if err := os.Truncate(image, 1<<30); err != nil {
		t.Fatal(err)
	}
	tool(t, "mkfs.ext4", "-q", "-d", root, image)
	ok(t, "push", image, s.ref("fs/debian:1"))
	ok(t, "boot", "-q", s.ref("fs/debian:1"), "--kernel", s.ref("kernels/debian:1"), "--ramdisk", s.ref("ramdisks/debian:1"),
		"--accel", "tcg", "--until", "login:", "--timeout", bootTimeout.String())
}
