package disk_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/converter/grub"
)

// seed is what a caller would give: the digest of an image.
const seed = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

const unsignedGRUB = "usr/lib/grub/x86_64-efi/monolithic/grubx64.efi"

type files = convertertest.Files

const linkTo = convertertest.LinkTo

// rootfs is the least that has something to boot, but no bootloader.
func rootfs() files {
	return files{
		"etc/hostname":       "image\n",
		"boot/vmlinuz-6.1.0": "kernel 6.1.0", "boot/initrd.img-6.1.0": "initrd 6.1.0",
	}
}

// efiStub stands for a GRUB for UEFI: all that is read of one is its prefix.
func efiStub(prefix string) string {
	object := prefix + "\x00"
	area := "mimg\x00\x00\x00\x00" + le64(24) + le64(uint64(24+8+len(object)))
	return "MZ" + area + "\x03\x00\x00\x00" + le64(uint64(8 + len(object)))[:4] + object
}

func le64(n uint64) string {
	var p [8]byte
	for i := range p {
		p[i] = byte(n >> (8 * i))
	}
	return string(p[:])
}

// biosGRUB returns the files of the Debian package grub-pc-bin.
func biosGRUB(t testing.TB) files {
	t.Helper()
	return convertertest.Installed(t, grub.KitPath, "grub-pc-bin", func(name string) bool {
		return strings.HasSuffix(name, ".mod") || strings.HasSuffix(name, ".img") || name == "moddep.lst"
	})
}

// uefiGRUB returns the GRUB of the Debian package grub-efi-amd64-bin.
func uefiGRUB(t testing.TB) files {
	t.Helper()
	return convertertest.Installed(t, filepath.Dir(unsignedGRUB), "grub-efi-amd64-bin", func(name string) bool {
		return name == filepath.Base(unsignedGRUB)
	})
}
