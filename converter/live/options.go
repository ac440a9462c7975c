package live

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

	"github.com/cloudlets/cloudlets/converter/boot"
	"github.com/cloudlets/cloudlets/converter/grub"
	"github.com/cloudlets/cloudlets/converter/squashfs"
	"github.com/cloudlets/cloudlets/image"
)

// Options are the parameters of a volume. Only Seed must be set.
type Options struct {
	// Seed is what all that names the volume is made of: the digest of the
	// image, or anything else to have one that differs in them.
	Seed string
	// Label is the volume's label, at most 32 capital letters, digits and "_".
	// Empty means one made of the seed, such as LIVE_1F0D3A77.
	Label string
	// KernelArgs are added to the kernel's arguments, where they override what
	// comes before.
	KernelArgs []string
	// Kit is the tree of a boot kit, or nil. Bootloaders are taken from it
	// before the image's own, firmware by firmware.
	Kit *image.Tree
	// Packer remembers what several outputs share of their bootloaders, or is nil.
	Packer *grub.Packer
	// Compress says how the root filesystem is really compressed. nil means that
	// it refers to the content of the image, as it is.
	Compress *squashfs.Packing
}

// Report says what a planned volume is.
type Report struct {
	// System is the live system that boots.
	System string `json:"system"`
	// UEFI and BIOS name the bootloader for each firmware. Empty: the volume
	// does not boot with it, for want of files in the image and the boot kit.
	UEFI string `json:"uefi,omitempty"`
	BIOS string `json:"bios,omitempty"`
	// Kernels are the versions in the menu, the default first.
	Kernels []string `json:"kernels"`
	// Label of the volume.
	Label string `json:"label"`
	// Dropped are extended attributes that a squashfs has no form for, as
	// "path: attribute".
	Dropped []string `json:"dropped,omitempty"`
}

func (o Options) check() error {
	if o.Seed == "" {
		return errors.New("no seed for what names the volume: expected the image's digest")
	}
	return boot.CheckArgs(o.KernelArgs)
}

// label returns the label of the volume, which starts with a word.
func (o Options) label(word string) string {
	if o.Label != "" {
		return o.Label
	}
	id := boot.DeriveUUID(o.Seed, "volume label")
	return fmt.Sprintf("%s_%s", word, strings.ToUpper(hex.EncodeToString(id[:4])))
}
