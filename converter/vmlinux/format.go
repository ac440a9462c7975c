package vmlinux

import "errors"

// Arch is what processor a kernel is for.
type Arch string

// Architectures that kernels are taken out for.
const (
	X8664 Arch = "x86_64"
	ARM64 Arch = "arm64"
)

// Limits, in bytes.
const (
	maxFile   = 256 << 20 // of a boot image
	maxKernel = 256 << 20 // of a kernel; Debian's has 50 MiB
)

// Of the header of an x86 boot image. Integers are little-endian.
const (
	setupSectorsOffset  = 0x1f1 // u8; 0 means 4
	headerMagicOffset   = 0x202
	headerMagic         = "HdrS"
	versionOffset       = 0x206 // u16
	payloadOffsetOffset = 0x248 // u32, from the end of the setup code
	payloadLengthOffset = 0x24c // u32
	x86HeaderSize       = 0x250
	payloadVersion      = 0x208 // the first with a payload's place
	sectorSize          = 512
	defaultSetupSectors = 4
	// sizeLength is how many bytes at the end of a payload say how long its
	// content is. The trailer of gzip says so itself.
	sizeLength = 4
)

// Of the header of an arm64 Image.
const (
	armMagicOffset = 56
	armMagic       = "ARM\x64"
	armHeaderSize  = 64
)

// Of the header of a compressed EFI image.
const (
	zbootMagicOffset   = 4
	zbootMagic         = "zimg"
	zbootOffsetOffset  = 8  // u32, of the payload
	zbootLengthOffset  = 12 // u32
	zbootHeaderSize    = 64
	peMagic            = "MZ"
	elfMagic           = "\x7fELF"
	elfHeaderSize      = 64
	elfClass64         = 2
	elfLittleEndian    = 1
	elfMachineX8664    = 62
	elfExecutable      = 2
	elfProgramSize     = 56
	elfProgramLoad     = 1
	elfMaxProgramCount = 1 << 10
)

// Errors that are wrapped.
var (
	// ErrFormat says that the bytes are no kernel in a boot image, or a damaged
	// one.
	ErrFormat = errors.New("not a sound kernel image")
	// ErrUnsupported says that the kernel is one that is not taken out.
	ErrUnsupported = errors.New("kernel image that is not supported")
)
