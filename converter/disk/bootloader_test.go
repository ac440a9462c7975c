package disk_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/converter/disk"
)

var (
	shimAndGRUB = files{
		"usr/lib/shim/shimx64.efi.signed":                       "shim",
		"usr/lib/shim/mmx64.efi.signed":                         "MOK manager",
		"usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed":     efiStub("/EFI/debian"),
		"usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed":  "not this",
		"usr/lib/grub/x86_64-efi/monolithic/grubnetx64.efi":     "not this",
		"usr/lib/grub/x86_64-efi/monolithic/gcdx64.efi":         "not this",
		"usr/lib/systemd/boot/efi/linuxx64.efi.stub":            "not this",
		"usr/lib/grub/x86_64-efi-signed/gcdx64.efi.signed":      "not this",
		"usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed.bak": "not this",
	}
	plainGRUB   = files{unsignedGRUB: efiStub("/EFI/ubuntu")}
	systemdBoot = files{"usr/lib/systemd/boot/efi/systemd-bootx64.efi": "systemd-boot"}
)

func TestBestBootloaderIsChosen(t *testing.T) {
	bios := biosGRUB(t)
	cases := []struct {
		name       string
		image, kit files
		uefi, bios string
		fallback   string // EFI/BOOT/BOOTX64.EFI
	}{
		{"all", shimAndGRUB.With(plainGRUB).With(systemdBoot).With(bios), nil, "shim and signed GRUB", "GRUB", "shim"},
		{"GRUB without shim", plainGRUB.With(systemdBoot), nil, "GRUB", "", efiStub("/EFI/ubuntu")},
		{"shim without GRUB", files{"usr/lib/shim/shimx64.efi.signed": "shim"}.With(systemdBoot), nil,
			"systemd-boot", "", "systemd-boot"},
		{"BIOS alone", bios, nil, "", "GRUB", ""},
		{"kit for UEFI, image for BIOS", bios, systemdBoot, "systemd-boot", "GRUB", "systemd-boot"},
		{"kit before the image", shimAndGRUB, plainGRUB.With(bios), "GRUB", "GRUB", efiStub("/EFI/ubuntu")},
		{"through a link", files{
			"usr/lib/systemd/boot/efi/systemd-bootx64.efi": linkTo + "/opt/boot.efi", "opt/boot.efi": "linked",
		}, nil, "systemd-boot", "", "linked"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			p := mustPlan(t, rootfs().With(c.image), c.kit, disk.Options{})
			if p.report.UEFI != c.uefi || p.report.BIOS != c.bios {
				t.Errorf("UEFI %q and BIOS %q, want %q and %q", p.report.UEFI, p.report.BIOS, c.uefi, c.bios)
			}
			if c.fallback == "" {
				return
			}
			if got := espFile(t, p.partition(t, 2), "EFI/BOOT/BOOTX64.EFI"); got != c.fallback {
				t.Errorf("BOOTX64.EFI is %q, want %q", got, c.fallback)
			}
		})
	}
}

func TestShimFindsGRUBAndGRUBItsMenu(t *testing.T) {
	p := mustPlan(t, rootfs(), shimAndGRUB, disk.Options{})
	esp := p.partition(t, 2)
	for path, want := range map[string]string{
		"EFI/BOOT/grubx64.efi": efiStub("/EFI/debian"),
		"EFI/BOOT/mmx64.efi":   "MOK manager",
		"EFI/debian/grub.cfg":  "set prefix=($root)/grub\nconfigfile /grub/grub.cfg\n",
	} {
		if got := espFile(t, esp, path); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
}

func TestMenuListsKernelsNewestFirst(t *testing.T) {
	convertertest.Need(t, "grub-script-check", "grub-common")
	root := rootfs().With(files{
		"boot/vmlinuz-6.1.0-9": "k", "boot/initramfs-6.1.0-9.img": "i",
		"boot/vmlinuz-6.1.0-10": "k", "boot/initrd-6.1.0-10": "i",
		"boot/vmlinuz-6.12-bare":   "k",
		"boot/vmlinuz-6.1 ;reboot": "k", "boot/vmlinuz-": "k", "boot/vmlinuz-dir/x": "k",
		"vmlinuz": linkTo + "boot/vmlinuz-6.1.0-9", "initrd.img": linkTo + "boot/initramfs-6.1.0-9.img",
	})
	p := mustPlan(t, root, plainGRUB, disk.Options{KernelArgs: []string{"quiet", "x=$y"}})
	if want := []string{"6.12-bare", "6.1.0-10", "6.1.0-9", "6.1.0"}; !slices.Equal(p.report.Kernels, want) {
		t.Errorf("kernels %q, want %q", p.report.Kernels, want)
	}
	menu := espFile(t, p.partition(t, 2), "grub/grub.cfg")
	var got []string
	for line := range strings.Lines(menu) {
		line = strings.TrimSpace(line)
		line = strings.ReplaceAll(line, "'root=UUID="+p.report.RootUUID+"' 'rw' 'console=tty0' 'console=ttyS0,115200' 'quiet' 'x=$y'", "ARGS")
		for _, word := range []string{"menuentry", "linux", "initrd"} {
			if strings.HasPrefix(line, word+" ") {
				got = append(got, line)
			}
		}
	}
	want := []string{
		"menuentry 'Linux' {", "linux /vmlinuz ARGS", "initrd /initrd.img",
		"menuentry 'Linux 6.12-bare' {", "", // checked below: it has another root=
		"menuentry 'Linux 6.1.0-10' {", "linux /boot/vmlinuz-6.1.0-10 ARGS", "initrd /boot/initrd-6.1.0-10",
		"menuentry 'Linux 6.1.0-9' {", "linux /boot/vmlinuz-6.1.0-9 ARGS", "initrd /boot/initramfs-6.1.0-9.img",
		"menuentry 'Linux 6.1.0' {", "linux /boot/vmlinuz-6.1.0 ARGS", "initrd /boot/initrd.img-6.1.0",
	}
	if len(got) != len(want) || !strings.HasPrefix(got[4], "linux /boot/vmlinuz-6.12-bare 'root=PARTUUID=") {
		t.Fatalf("menu:\n%s", menu)
	}
	got[4] = ""
	if !slices.Equal(got, want) {
		t.Errorf("menu:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	checkGRUBScript(t, menu)
}

func TestSystemdBootGetsKernelsOnTheESP(t *testing.T) {
	root := rootfs().With(files{
		"boot/vmlinuz-6.2": strings.Repeat("large ", 10*mib),
		"vmlinuz":          linkTo + "boot/vmlinuz-6.1.0", "initrd.img": linkTo + "boot/initrd.img-6.1.0",
	})
	p := mustPlan(t, root, systemdBoot, disk.Options{KernelArgs: []string{"quiet"}})
	esp := p.partition(t, 2)
	convertertest.Run(t, "fsck.vfat", "-n", esp)
	entry := "title Linux 6.1.0\nversion 6.1.0\nlinux /EFI/Linux/6.1.0/linux\ninitrd /EFI/Linux/6.1.0/initrd\n" +
		"options root=UUID=" + p.report.RootUUID + " rw console=tty0 console=ttyS0,115200 quiet\n"
	for path, want := range map[string]string{
		"loader/loader.conf":        "timeout 1\ndefault 6.1.0.conf\n",
		"loader/entries/6.1.0.conf": entry,
		"EFI/Linux/6.1.0/linux":     "kernel 6.1.0",
		"EFI/Linux/6.1.0/initrd":    "initrd 6.1.0",
	} {
		if got := espFile(t, esp, path); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
	newest := mustPlan(t, rootfs().With(files{"boot/vmlinuz-6.2": "k"}), systemdBoot, disk.Options{})
	if got := espFile(t, newest.partition(t, 2), "loader/loader.conf"); !strings.Contains(got, "default 6.2.conf") {
		t.Errorf("where the image links to no kernel, the newest is not the default:\n%s", got)
	}
	if got := espFile(t, esp, "loader/entries/6.2.conf"); !strings.Contains(got, "options root=PARTUUID=") {
		t.Errorf("an entry without an initrd:\n%s", got)
	}
}
