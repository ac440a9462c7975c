package disk

import (
	"errors"
	"fmt"
	"math"

	"github.com/cloudlets/cloudlets/converter/boot"
	"github.com/cloudlets/cloudlets/converter/grub"
	"github.com/cloudlets/cloudlets/image"
)

// Sizes, in bytes.
const (
	// Alignment of partitions, and what disk sizes are multiples of.
	Alignment = 1 << 20
	// DefaultFreeSpace is left free in the root filesystem where neither a
	// size nor the free space is asked for.
	DefaultFreeSpace = 512 << 20

	biosBootSize   = 1 << 20  // a core image has less than half of it
	defaultESPSize = 64 << 20 // GRUB needs 6 MB of it, FAT32 itself 33 MB
)

// Options are the parameters of a disk. Only Seed must be set.
type Options struct {
	// Size of the disk in bytes, a multiple of [Alignment]. 0 means what the
	// content and FreeSpace need.
	Size int64
	// FreeSpace is how many bytes are free in the root filesystem at least. 0
	// means [DefaultFreeSpace] where Size is 0 as well, else nothing.
	FreeSpace int64
	// Seed is what all UUIDs and serial numbers are made of: the digest of
	// the image, or anything else to have a disk that differs in them.
	Seed string
	// KernelArgs are added to the kernel's arguments, where they override what
	// comes before, such as root= and console=.
	KernelArgs []string
	// Kit is the tree of a boot kit, or nil. Bootloaders are taken from it
	// before the image's own, firmware by firmware.
	Kit *image.Tree
	// Packer remembers what several disks share of their bootloaders, or is nil.
	Packer *grub.Packer
}

func (o Options) check() error {
	if o.Size < 0 || o.Size%Alignment != 0 {
		return fmt.Errorf("disk size %d: expected a multiple of 1 MiB, such as %d", o.Size,
			(min(max(o.Size, 0), math.MaxInt64-Alignment)+Alignment)/Alignment*Alignment)
	}
	if o.FreeSpace < 0 {
		return fmt.Errorf("free space %d: expected 0 bytes or more", o.FreeSpace)
	}
	if o.Seed == "" {
		return errors.New("no seed for the disk's UUIDs: expected the image's digest")
	}
	return boot.CheckArgs(o.KernelArgs)
}

// freeSpace returns how much the root filesystem has free at least.
func (o Options) freeSpace() int64 {
	if o.FreeSpace == 0 && o.Size == 0 {
		return DefaultFreeSpace
	}
	return o.FreeSpace
}

// Report says what a planned disk is.
type Report struct {
	// UEFI and BIOS name the bootloader for each firmware. Empty: the disk does
	// not boot with it, for want of files in the image and the boot kit.
	UEFI string `json:"uefi,omitempty"`
	BIOS string `json:"bios,omitempty"`
	// Kernels are the versions in the menu, the newest first.
	Kernels []string `json:"kernels"`
	// RootUUID is the UUID of the root filesystem.
	RootUUID string `json:"rootUUID"`
	// CommandLine is what the kernel is started with, of what has no bootloader
	// to do it.
	CommandLine string `json:"commandLine,omitempty"`
}
