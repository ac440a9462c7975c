package iso9660

import (
	"errors"
	"fmt"
	"strings"

	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// Options describe a volume. The zero Options are right for files alone.
type Options struct {
	// Label is the volume identifier, by which systems find the volume: at most
	// 32 capital letters, digits and "_".
	Label string
	// Time is when the volume counts as made; zero means the time of the root
	// directory. To the hundredth of a second it is also what Linux and GRUB
	// know as the UUID of the volume.
	Time image.Time
	// Joliet adds directories with the names that Windows reads, where there
	// is no Rock Ridge. Links and devices are not in them.
	Joliet bool
	// Boot is what firmware starts; nil for nothing.
	Boot *Boot
}

// Boot is what firmware starts from a volume, whether it is on a CD or was
// written to a disk.
type Boot struct {
	// BIOS is the boot image for a BIOS, nil for none. Its first 2048 bytes are
	// loaded and started ("no emulation"), and must load the rest. It stands at
	// block [BIOSImageBlock] and is told so: bytes 8 to 63 become its boot
	// information table.
	BIOS []byte
	// BootCode is what a BIOS starts from the same bytes on a disk: at most 440
	// bytes, placed in sector 0. nil for none.
	BootCode []byte
	// DiskID is the disk signature in sector 0.
	DiskID uint32
	// UEFI is the EFI system partition, a FAT filesystem; nil for none. On a
	// disk the partition table shows it.
	UEFI *extent.Map
}

func (o Options) check() error {
	if len(o.Label) > volumeIdentifierLength || strings.Map(plainCharacter, o.Label) != o.Label {
		return fmt.Errorf("label %q: expected at most %d capital letters, digits and _", o.Label, volumeIdentifierLength)
	}
	if o.Boot == nil {
		return nil
	}
	return o.Boot.check()
}

func (b *Boot) check() error {
	if b.BIOS == nil && b.UEFI == nil {
		return errors.New("nothing to boot: expected a boot image for BIOS or UEFI")
	}
	if b.BIOS != nil && len(b.BIOS) < bootInfoSumAt {
		return fmt.Errorf("boot image of %d bytes: expected at least %d", len(b.BIOS), bootInfoSumAt)
	}
	if len(b.BootCode) > maxBootCode {
		return fmt.Errorf("boot code of %d bytes: sector 0 has room for %d", len(b.BootCode), maxBootCode)
	}
	return nil
}
