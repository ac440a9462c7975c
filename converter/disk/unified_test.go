package disk_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/converter/disk"
	"github.com/cloudlets/cloudlets/converter/uki"
	"github.com/cloudlets/cloudlets/extent"
)

const systemdDir = "usr/lib/systemd/boot/efi"

// wantsUKI is an image that says that it wants unified kernel images, and has
// what they are made of.
func wantsUKI(t *testing.T) files {
	return convertertest.Installed(t, systemdDir, "systemd-boot-efi", func(name string) bool { return name == "linuxx64.efi.stub" }).
		With(files{"etc/kernel/install.conf": "# kernel-install(8)\nlayout=uki\n", "etc/os-release": "ID=test\nPRETTY_NAME=Test\nVERSION_ID=1\n"})
}

// efiKernel stands for a kernel with an EFI stub: it is an EFI program.
func efiKernel(t *testing.T) string {
	return wantsUKI(t)[systemdDir+"/linuxx64.efi.stub"]
}

// madeUKI returns a unified kernel image.
func madeUKI(t *testing.T, linux string) string {
	t.Helper()
	var b extent.Builder
	b.Inline([]byte(linux))
	m, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	made, err := uki.Write(uki.Options{Stub: []byte(efiKernel(t)), Linux: m, CommandLine: "quiet"})
	if err != nil {
		t.Fatal(err)
	}
	return string(convertertest.Bytes(t, made, nil))
}

func TestUnifiedKernelImagesAreMadeWhereTheImageWantsThem(t *testing.T) {
	convertertest.Need(t, "objcopy", "binutils")
	root := files{
		"boot/vmlinuz-6.1.0": efiKernel(t), "boot/initrd.img-6.1.0": "initrd 6.1.0", "boot/vmlinuz-6.2.0": efiKernel(t),
		"vmlinuz": linkTo + "boot/vmlinuz-6.1.0", "initrd.img": linkTo + "boot/initrd.img-6.1.0",
	}.With(wantsUKI(t))
	for name, c := range map[string]struct {
		more      files
		want      string
		isLoader  string // what EFI/BOOT/BOOTX64.EFI is; empty is the image itself
		loaderCfg string
	}{
		"alone":            {nil, "unified kernel image", "", ""},
		"with GRUB":        {plainGRUB, "unified kernel image", "", ""},
		"with a shim":      {shimAndGRUB, "unified kernel image", "", ""},
		"with a menu":      {systemdBoot, "systemd-boot and unified kernel image", "systemd-boot", "timeout 1\ndefault 6.1.0.efi\n"},
		"with double menu": {systemdBoot.With(plainGRUB), "systemd-boot and unified kernel image", "systemd-boot", "timeout 1\ndefault 6.1.0.efi\n"},
	} {
		t.Run(name, func(t *testing.T) {
			p := mustPlan(t, c.more.With(root), nil, disk.Options{KernelArgs: []string{"quiet"}})
			if p.report.UEFI != c.want {
				t.Errorf("UEFI boots with %q, want %q", p.report.UEFI, c.want)
			}
			esp := p.partition(t, 2)
			convertertest.Run(t, "fsck.vfat", "-n", esp)
			unified := espFile(t, esp, "EFI/Linux/6.1.0.efi")
			loader := espFile(t, esp, "EFI/BOOT/BOOTX64.EFI")
			if want := cmpOr(c.isLoader, unified); loader != want {
				t.Errorf("BOOTX64.EFI has %d bytes, want %d others", len(loader), len(want))
			}
			if c.loaderCfg != "" {
				if got := espFile(t, esp, "loader/loader.conf"); got != c.loaderCfg {
					t.Errorf("loader.conf is %q", got)
				}
			}
			if other := espFile(t, esp, "EFI/Linux/6.2.0.efi"); other == unified {
				t.Error("both kernels have one image")
			}
			for section, want := range map[string]string{
				".cmdline": "root=UUID=" + p.report.RootUUID + " rw console=tty0 console=ttyS0,115200 quiet",
				".uname":   "6.1.0", ".initrd": "initrd 6.1.0", ".linux": strings.TrimRight(efiKernel(t), "\x00"), ".osrel": root["etc/os-release"],
			} {
				if got := dumpSection(t, unified, section); got != want {
					t.Errorf("%s is %.80q, want %.80q", section, got, want)
				}
			}
		})
	}
}

func cmpOr(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// dumpSection returns what objcopy finds in a section, without padding.
func dumpSection(t *testing.T, program, section string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, []byte(program), 0o600); err != nil {
		t.Fatal(err)
	}
	convertertest.Run(t, "objcopy", "-O", "binary", "--dump-section", section+"="+path+".out", path, "/dev/null")
	content, err := os.ReadFile(path + ".out")
	if err != nil {
		t.Fatal(err)
	}
	return string(bytes.TrimRight(content, "\x00"))
}

func TestUnifiedKernelImagesOfTheImageStayAsTheyAre(t *testing.T) {
	image := madeUKI(t, "of the image")
	for name, c := range map[string]struct {
		root       files
		uefi       string
		name, copy string // of the image on the ESP, and what the loader starts
		kernels    string
	}{
		"with modules": {files{"usr/lib/modules/6.3.0/linux.efi": image, "lib": linkTo + "usr/lib"},
			"unified kernel image", "6.3.0", "BOOTX64.EFI", "6.3.0"},
		"on the ESP": {files{"boot/efi/EFI/Linux/6.3.0.efi": image, "boot/efi/EFI/Linux/6.2.0.efi": madeUKI(t, "old")},
			"unified kernel image", "6.3.0", "BOOTX64.EFI", "6.3.0 6.2.0"},
		"with shim": {files{"usr/lib/modules/6.3.0/x.efi": image}.With(shimAndGRUB).With(files{"usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed": linkTo + "none"}),
			"shim and unified kernel image", "6.3.0", "grubx64.efi", "6.3.0"},
		"with a menu": {files{"usr/lib/modules/6.3.0/x.efi": image}.With(systemdBoot),
			"systemd-boot and unified kernel image", "6.3.0", "", "6.3.0"},
		"beside GRUB": {rootfs().With(plainGRUB).With(files{"usr/lib/modules/6.3.0/x.efi": image}),
			"GRUB", "6.3.0", "", "6.1.0"},
		"beside what the image wants": {rootfs().With(wantsUKI(t)).With(files{"usr/lib/modules/6.3.0/x.efi": image}),
			"unified kernel image", "6.3.0", "BOOTX64.EFI", "6.1.0"},
	} {
		t.Run(name, func(t *testing.T) {
			p := mustPlan(t, c.root, nil, disk.Options{})
			esp := p.partition(t, 2)
			if got := espFile(t, esp, "EFI/Linux/"+c.name+".efi"); got != image {
				t.Errorf("the image has become one of %d bytes, it had %d", len(got), len(image))
			}
			if c.copy != "" && espFile(t, esp, "EFI/BOOT/"+c.copy) != image {
				t.Errorf("%s is not the image", c.copy)
			}
			if got := strings.Join(p.report.Kernels, " "); p.report.UEFI != c.uefi || got != c.kernels {
				t.Errorf("UEFI boots with %q the kernels %q, want %q with %q", p.report.UEFI, got, c.uefi, c.kernels)
			}
		})
	}
}

func TestWhatIsNoUnifiedKernelImageIsPassedOver(t *testing.T) {
	root := rootfs().With(systemdBoot).With(files{
		"usr/lib/modules/6.1.0/text.efi": "text", "usr/lib/modules/6.1.0/dir.efi/x": "x", "boot/efi/EFI/Linux/empty.efi": "",
		"boot/efi/EFI/Linux/addon.efi": efiKernel(t), "boot/efi/EFI/Linux/bad name.efi": madeUKI(t, "kernel"),
		"etc/kernel/install.conf": "layout=bls\n", systemdDir + "/linuxx64.efi.stub": efiKernel(t),
	})
	p := mustPlan(t, root, nil, disk.Options{})
	if p.report.UEFI != "systemd-boot" {
		t.Errorf("UEFI boots with %q", p.report.UEFI)
	}
	_, err := plan(t, rootfs().With(wantsUKI(t)), nil, disk.Options{})
	if err == nil || !strings.Contains(err.Error(), "needs a kernel with an EFI stub") {
		t.Errorf("a kernel that is no EFI program: %v", err)
	}
}

// spokenByInitrd is what the initrd of bootableKernel says.
const spokenByInitrd = "the initrd runs with:"

// bootableKernel returns Debian's kernel with an initrd that shows the command
// line and what the kernel says of Secure Boot.
func bootableKernel(t *testing.T) files {
	t.Helper()
	for tool, debianPackage := range map[string]string{"tar": "tar", "cpio": "cpio", "busybox": "busybox-static"} {
		convertertest.Need(t, tool, debianPackage)
	}
	const rootfs = "../../.cache/debian.tar"
	if _, err := os.Stat(rootfs); err != nil {
		t.Fatalf("%v: make debian", err)
	}
	dir := t.TempDir()
	script := "#!/bin/sh\nmount -t proc proc /proc\nmount -t devtmpfs dev /dev\ndmesg | grep -i 'secure boot\\|locked down' >/dev/ttyS0\n" +
		"echo " + spokenByInitrd + " $(cat /proc/cmdline) >/dev/ttyS0\nsleep 1000\n"
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(busybox)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"init": script, "busybox": string(content)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	initrd := convertertest.Run(t, "sh", "-c", `cd "$1" && mkdir proc dev bin && mv busybox bin && for c in sh mount dmesg grep echo cat sleep; do ln -s busybox bin/$c; done &&
		find . | cpio -o -H newc --quiet`, "sh", dir)
	return files{
		"boot/vmlinuz-6.1":    convertertest.Run(t, "tar", "-xOf", rootfs, "--wildcards", "./boot/vmlinuz-*"),
		"boot/initrd.img-6.1": initrd,
	}
}

func TestUnifiedKernelImageBoots(t *testing.T) {
	if testing.Short() {
		t.Skip("the firmware alone takes seconds")
	}
	p := mustPlan(t, bootableKernel(t).With(wantsUKI(t)), nil, disk.Options{})
	seen := convertertest.Boot(t, spokenByInitrd, append(firmware(t, "OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd"),
		"-m", "512", "-drive", "file="+p.write(t)+",format=raw,if=virtio,snapshot=on")...)
	if !strings.Contains(seen, spokenByInitrd+" root=UUID="+p.report.RootUUID) {
		t.Errorf("the kernel has another command line:\n%s", seen)
	}
}

// TestSignedChainBootsWithSecureBoot boots Debian's shim, GRUB and kernel where the
// firmware has Microsoft's keys and no others.
func TestSignedChainBootsWithSecureBoot(t *testing.T) {
	if testing.Short() {
		t.Skip("the firmware alone takes seconds")
	}
	chain := convertertest.Installed(t, "usr/lib/shim", "shim-signed", func(name string) bool { return strings.HasSuffix(name, "x64.efi.signed") }).
		With(convertertest.Installed(t, "usr/lib/grub/x86_64-efi-signed", "grub-efi-amd64-signed", func(name string) bool { return name == "grubx64.efi.signed" }))
	p := mustPlan(t, bootableKernel(t).With(chain), nil, disk.Options{})
	esp := p.partition(t, 2)
	for name, from := range map[string]string{
		"BOOTX64.EFI": "usr/lib/shim/shimx64.efi.signed", "mmx64.efi": "usr/lib/shim/mmx64.efi.signed",
		"grubx64.efi": "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed",
	} {
		if espFile(t, esp, "EFI/BOOT/"+name) != chain[from] {
			t.Errorf("%s is not %s, byte for byte", name, from)
		}
	}
	seen := convertertest.Boot(t, spokenByInitrd, append(firmware(t, "OVMF_CODE_4M.ms.fd", "OVMF_VARS_4M.ms.fd"),
		"-machine", "q35,smm=on", "-global", "driver=cfi.pflash01,property=secure,value=on", "-m", "512",
		"-drive", "file="+p.write(t)+",format=raw,if=virtio,snapshot=on")...)
	if !strings.Contains(seen, "Secure boot enabled") {
		t.Errorf("the kernel knows of no Secure Boot:\n%s", seen)
	}
}
