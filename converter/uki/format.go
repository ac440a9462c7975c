package uki

import "errors"

// Sections of a unified kernel image.
const (
	SectionOSRelease   = ".osrel"
	SectionCommandLine = ".cmdline"
	SectionUname       = ".uname"
	SectionInitrd      = ".initrd"
	SectionLinux       = ".linux"
)

// Of PE files. Integers are little-endian; offsets of headers are from their
// beginnings.
const (
	dosMagic        = "MZ"
	peOffsetOffset  = 0x3c // u32
	peMagic         = "PE\x00\x00"
	coffSize        = 4 + 20 // with the magic
	sectionCount    = 6      // u16, of the COFF header
	optionalSize    = 20     // u16
	maxSections     = 96
	sectionHeader   = 40
	sectionNameSize = 8

	// Of the optional header.
	optionalMagic    = 0x20b // u16 at 0: PE32+
	initializedData  = 8     // u32: SizeOfInitializedData
	sectionAlignment = 32    // u32
	fileAlignment    = 36    // u32
	imageSize        = 56    // u32
	headersSize      = 60    // u32
	checkSum         = 64    // u32
	directoryCount   = 108   // u32
	directories      = 112   // u32 pairs
	certificates     = 4     // the directory of signatures
	minOptional      = directories
	directorySize    = 8
	readableData     = 0x40000040 // IMAGE_SCN_CNT_INITIALIZED_DATA | IMAGE_SCN_MEM_READ
	maxAlignment     = 64 << 10
	pageSize         = 4096
	maxHeaders       = 64 << 10

	// maxImage is how many bytes an image takes in memory at most.
	maxImage int64 = 2 << 30
)

// Errors that are wrapped.
var (
	// ErrFormat says that the bytes are no sound PE file.
	ErrFormat = errors.New("not a sound EFI program")
	// ErrUnsupported says that a stub cannot be extended.
	ErrUnsupported = errors.New("EFI program that cannot be extended")
)
