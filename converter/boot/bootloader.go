package boot

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/cloudlets/cloudlets/converter/grub"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// ErrNoBootloader is returned where neither the image nor a boot kit holds the
// files of a bootloader.
var ErrNoBootloader = errors.New("neither the image nor a boot kit holds a bootloader: " +
	"either install one in the image's root filesystem and push it again " +
	"(on Debian grub-efi-amd64-bin or systemd-boot-efi for UEFI, grub-pc-bin for BIOS), " +
	"or make a boot kit with `cloudlets bootkit` and render with --bootkit")

// uefiLoader says where the files of a bootloader for 64-bit UEFI are found and
// how it is set up.
type uefiLoader struct {
	name  string // in reports
	files []bootFile
	grub  string // which of the files is a GRUB; empty: it is a systemd-boot
	// unified says that it starts unified kernel images: that which lies beside it
	// under this name, or any if the name is anyKernel.
	unified string
}

// anyKernel is the name of no file: systemd-boot looks for images by itself.
const anyKernel = "*"

// bootFile is a file copied by reference to EFI/BOOT on the ESP.
type bootFile struct {
	from, to string
	optional bool
}

const (
	shim          = "usr/lib/shim/shimx64.efi.signed"
	mokManager    = "usr/lib/shim/mmx64.efi.signed"
	signedGRUB    = "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed"
	unsignedGRUB  = "usr/lib/grub/x86_64-efi/monolithic/grubx64.efi"
	systemdBoot   = "usr/lib/systemd/boot/efi/systemd-bootx64.efi"
	fallbackName  = "BOOTX64.EFI" // UEFI 2.10, section 3.5.1.1
	shimsNextName = "grubx64.efi" // what shim starts, from its own directory
)

// uefiLoaders are the bootloaders that are known, the best first: one that
// firmware with Secure Boot starts, then those with the same menu as a BIOS.
var uefiLoaders = []uefiLoader{
	{
		name: "shim and signed GRUB",
		files: []bootFile{
			{from: shim, to: fallbackName},
			{from: signedGRUB, to: shimsNextName},
			{from: mokManager, to: "mmx64.efi", optional: true},
		},
		grub: signedGRUB,
	},
	{name: "GRUB", files: []bootFile{{from: unsignedGRUB, to: fallbackName}}, grub: unsignedGRUB},
	{name: "systemd-boot", files: []bootFile{{from: systemdBoot, to: fallbackName}}},
}

// unifiedLoaders start unified kernel images, the best first: one whose signature
// chain may end in that of the image, one with a menu, and the image by itself.
var unifiedLoaders = []uefiLoader{
	{
		name: "shim and unified kernel image",
		files: []bootFile{
			{from: shim, to: fallbackName},
			{from: mokManager, to: "mmx64.efi", optional: true},
		},
		unified: shimsNextName,
	},
	{name: "systemd-boot and unified kernel image", files: []bootFile{{from: systemdBoot, to: fallbackName}}, unified: anyKernel},
	{name: "unified kernel image", unified: fallbackName},
}

// Bootloaders are those chosen for an output.
type Bootloaders struct {
	// Prefix is the directory on the ESP where a GRUB for UEFI looks for
	// grub.cfg. Empty: there is no GRUB for UEFI.
	Prefix string
	// BIOS is the GRUB for BIOS; nil: the output does not boot with it.
	BIOS *grub.Kit
	// Unified are unified kernel images to put on the ESP, the default first.
	Unified []UnifiedKernel

	uefi     *uefiLoader // nil: the output does not boot with UEFI
	uefiTree *image.Tree // where its files are
}

// HasUEFI reports whether there is a bootloader for UEFI.
func (b Bootloaders) HasUEFI() bool { return b.uefi != nil }

// HoldsKernels reports whether the bootloader for UEFI reads no filesystem but
// the ESP, so that kernels have to stand there.
func (b Bootloaders) HoldsKernels() bool { return b.uefi != nil && b.uefi.grub == "" }

// Names returns the names of the bootloaders for both firmwares, empty where
// there is none.
func (b Bootloaders) Names() (uefi, bios string) {
	if b.uefi != nil {
		uefi = b.uefi.name
	}
	if b.BIOS != nil {
		bios = "GRUB"
	}
	return uefi, bios
}

// ChooseBootloaders looks for bootloaders in the trees, in order. A tree may be
// nil. It returns [ErrNoBootloader] where it finds none at all.
func ChooseBootloaders(ctx context.Context, open extent.Opener, trees ...*image.Tree) (Bootloaders, error) {
	chosen, err := FindBootloaders(ctx, open, trees...)
	if err == nil && chosen.uefi == nil && chosen.BIOS == nil {
		err = ErrNoBootloader
	}
	return chosen, err
}

// FindBootloaders is [ChooseBootloaders] where there may be none.
func FindBootloaders(ctx context.Context, open extent.Opener, trees ...*image.Tree) (Bootloaders, error) {
	var chosen Bootloaders
	for _, tree := range trees {
		if tree == nil {
			continue
		}
		if chosen.uefi == nil {
			chosen.uefi, chosen.uefiTree = findUEFI(tree), tree
		}
		if chosen.BIOS == nil {
			kit, err := grub.FindKit(tree, func(n *image.Inode) ([]byte, error) { return readInode(ctx, open, n) })
			if err == nil {
				chosen.BIOS = &kit
			}
		}
	}
	if chosen.uefi == nil || chosen.uefi.grub == "" {
		return chosen, nil
	}
	var err error
	chosen.Prefix, err = uefiPrefix(ctx, open, chosen.uefiTree, chosen.uefi.grub)
	return chosen, err
}

// HasGRUB reports whether the bootloader for UEFI is a GRUB.
func (b Bootloaders) HasGRUB() bool { return b.uefi != nil && b.uefi.grub != "" }

// StartUnified makes UEFI start the unified kernel images, with what the trees have
// for that. Images that are not signed gain nothing from a shim. A tree may be nil.
func (b *Bootloaders) StartUnified(signed bool, trees ...*image.Tree) {
	for i := range unifiedLoaders {
		l := &unifiedLoaders[i]
		if l.unified == shimsNextName && !signed {
			continue
		}
		for _, tree := range trees {
			if tree != nil && l.isIn(tree) {
				b.uefi, b.uefiTree, b.Prefix = l, tree, ""
				return
			}
		}
	}
}

// findUEFI returns the first of the known bootloaders that is whole in the
// tree, or nil.
func findUEFI(tree *image.Tree) *uefiLoader {
	for i := range uefiLoaders {
		if uefiLoaders[i].isIn(tree) {
			return &uefiLoaders[i]
		}
	}
	return nil
}

func (l *uefiLoader) isIn(tree *image.Tree) bool {
	for _, f := range l.files {
		if !f.optional && regular(tree, f.from) == nil {
			return false
		}
	}
	return true
}

// uefiPrefix reads from a GRUB where it looks for its configuration.
func uefiPrefix(ctx context.Context, open extent.Opener, tree *image.Tree, path string) (string, error) {
	efi, err := readInode(ctx, open, regular(tree, path))
	if err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	prefix, err := grub.EFIPrefix(efi)
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	if !strings.HasPrefix(prefix, "/") {
		return "", fmt.Errorf("%s looks for its configuration in %q, expected a directory beside it, such as /EFI/debian",
			path, prefix)
	}
	return prefix, nil
}
