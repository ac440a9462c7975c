package disk

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

// biosLoader is the name of the only bootloader for BIOS, in reports.
const biosLoader = "GRUB"

// biosModules are built into GRUB's core image: all that its menu needs, as the
// disk has no other place to load modules from, and some to repair a boot by
// hand on the console.
var biosModules = []string{
	"biosdisk", "part_gpt", "fat", "ext2", "search", "search_fs_uuid",
	"normal", "configfile", "test", "linux", "gzio",
	"serial", "terminal", "echo",
	"ls", "cat", "halt", "reboot", "minicmd",
}

// uefiLoader says where the files of a bootloader for 64-bit UEFI are found and
// how it is set up.
type uefiLoader struct {
	name  string // in reports
	files []bootFile
	grub  string // which of the files is a GRUB; empty: it is a systemd-boot
}

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

// bootloaders are those chosen for a disk.
type bootloaders struct {
	uefi     *uefiLoader // nil: the disk does not boot with UEFI
	uefiTree *image.Tree // where its files are
	// uefiPrefix is the directory on the ESP where a GRUB looks for grub.cfg.
	uefiPrefix string

	bios *grub.Kit // nil: the disk does not boot with a BIOS
}

// chooseBootloaders looks for bootloaders in the trees, in order.
func chooseBootloaders(ctx context.Context, open extent.Opener, trees ...*image.Tree) (bootloaders, error) {
	var chosen bootloaders
	for _, tree := range trees {
		if tree == nil {
			continue
		}
		if chosen.uefi == nil {
			chosen.uefi, chosen.uefiTree = findUEFI(tree), tree
		}
		if chosen.bios == nil {
			kit, err := grub.FindKit(tree, func(n *image.Inode) ([]byte, error) { return readInode(ctx, open, n) })
			if err == nil {
				chosen.bios = &kit
			}
		}
	}
	if chosen.uefi == nil && chosen.bios == nil {
		return bootloaders{}, ErrNoBootloader
	}
	if chosen.uefi == nil || chosen.uefi.grub == "" {
		return chosen, nil
	}
	var err error
	chosen.uefiPrefix, err = uefiPrefix(ctx, open, chosen.uefiTree, chosen.uefi.grub)
	return chosen, err
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
