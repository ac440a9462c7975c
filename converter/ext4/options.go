package ext4

import (
	"errors"
	"fmt"

	"github.com/cloudlets/cloudlets/image"
)

// Feature names a feature that [Options.Without] can switch off.
type Feature uint8

// The features that can be switched off.
const (
	MetadataChecksum Feature = 1 << iota // metadata_csum
	SixtyFourBit                         // 64bit; bootloaders such as extlinux cannot read it
	Journal                              // has_journal
)

// Options are the parameters of a filesystem. Only UUID must be set.
type Options struct {
	// Size is the length of the filesystem in bytes, at most 16 TiB less a
	// block. What does not fill a block, or makes a last group too small to
	// hold its own metadata, is left unused. 0 means as small as possible.
	Size int64
	// FreeSpace is how many bytes must stay free at least.
	FreeSpace int64
	// ReservedPercent is the share of the blocks, 0 to 50, that only root may
	// use up.
	ReservedPercent int

	// InodeRatio says for how many bytes of the filesystem there is one inode,
	// 1024 to 64 MiB. 0 means 16384.
	InodeRatio int64
	// FreeInodes is how many inodes must stay free at least. 0 means 1024.
	FreeInodes int64

	// JournalSize is the length of the journal in bytes, at least 4 MiB.
	// 0 means by the size of the filesystem as mke2fs does: none below 8 MiB,
	// then 4 MiB to 1 GiB.
	JournalSize int64

	// UUID identifies the filesystem; it is also what its checksums start
	// from. It must not be zero.
	UUID [16]byte
	// HashSeed salts the hashes that order large directories. Zero means UUID.
	HashSeed [16]byte
	// Label is the volume name, at most 16 bytes.
	Label string
	// Time is when the filesystem counts as made, and the time of files that
	// are not in the tree.
	Time image.Time

	// Without are the features to switch off, or-ed together.
	Without Feature
}

// ErrOptions is wrapped by errors about options that are out of bounds.
var ErrOptions = errors.New("invalid ext4 option")

// ErrTree is wrapped by errors about files that ext4 cannot hold. The message
// names the path.
var ErrTree = errors.New("not representable in ext4")

// TooSmallError says that a filesystem of the requested size cannot hold the
// tree.
type TooSmallError struct {
	Size int64 // what was asked for, in bytes
	Need int64 // the smallest size above it that is enough, in bytes
}

// Error gives both sizes in bytes.
func (e *TooSmallError) Error() string {
	return fmt.Sprintf("a filesystem of %d bytes is too small for the tree and the space that must stay free: it needs %d bytes",
		e.Size, e.Need)
}

// Bounds and defaults of options.
const (
	minInodeRatio      = 1024
	maxInodeRatio      = 64 << 20
	defaultInodeRatio  = 16384
	defaultFreeInodes  = 1024
	maxReservedPercent = 50
	maxLabelLength     = 16
	maxSize            = maxBlocks * blockSize
	nanoseconds        = 1_000_000_000
)

// withDefaults checks the options and fills in what is left to us.
func (o Options) withDefaults() (Options, error) {
	if err := o.check(); err != nil {
		return o, err
	}
	if o.InodeRatio == 0 {
		o.InodeRatio = defaultInodeRatio
	}
	if o.FreeInodes == 0 {
		o.FreeInodes = defaultFreeInodes
	}
	if o.HashSeed == ([16]byte{}) {
		o.HashSeed = o.UUID
	}
	return o, nil
}

func (o Options) check() error {
	for _, b := range []struct {
		name            string
		value, min, max int64
		zero            bool // 0 stands for a default
	}{
		{"Size", o.Size, 0, maxSize, false},
		{"FreeSpace", o.FreeSpace, 0, maxSize, false},
		{"ReservedPercent", int64(o.ReservedPercent), 0, maxReservedPercent, false},
		{"InodeRatio", o.InodeRatio, minInodeRatio, maxInodeRatio, true},
		{"FreeInodes", o.FreeInodes, 0, 1 << 32, false},
		{"JournalSize", o.JournalSize, minJournalBlocks * blockSize, maxJournalBlocks * blockSize, true},
		{"length of Label", int64(len(o.Label)), 0, maxLabelLength, false},
		{"Time.Nsec", int64(o.Time.Nsec), 0, nanoseconds - 1, false},
	} {
		if b.zero && b.value == 0 {
			continue
		}
		if b.value < b.min || b.value > b.max {
			return fmt.Errorf("%w: %s is %d, expected %d to %d", ErrOptions, b.name, b.value, b.min, b.max)
		}
	}
	if o.UUID == ([16]byte{}) {
		return fmt.Errorf("%w: UUID is zero; derive one from the image's digest", ErrOptions)
	}
	return nil
}

// has reports whether a feature that can be switched off is on.
func (o Options) has(f Feature) bool { return o.Without&f == 0 }
