package vmlinux

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"github.com/cloudlets/cloudlets/converter/payload"
)

// Kernel is a kernel that needs no decompressor.
type Kernel struct {
	Arch    Arch
	Content []byte
	// Compression is what it was compressed with; empty if it was not.
	Compression payload.Format
}

// Extract takes the kernel out of a boot image of size bytes. It reads at most
// 256 MiB, and what it returns has at most 256 MiB. Of a bzImage it is what
// Linux's scripts/extract-vmlinux gives: the ELF file, and the relocations that
// stand after it, which loaders pass over. Errors wrap [ErrFormat],
// [ErrUnsupported] and those of r.
func Extract(r io.ReaderAt, size int64) (Kernel, error) {
	if size > maxFile {
		return Kernel{}, fmt.Errorf("%w: it has %d bytes, expected at most %d", ErrFormat, size, maxFile)
	}
	file := make([]byte, size)
	if n, err := r.ReadAt(file, 0); err != nil && (err != io.EOF || int64(n) < size) {
		return Kernel{}, fmt.Errorf("read the kernel image of %d bytes: %w", size, err)
	}
	k, err := extract(file)
	if err != nil {
		return Kernel{}, fmt.Errorf("extract the kernel from an image of %d bytes: %w", size, err)
	}
	return k, nil
}

func extract(file []byte) (Kernel, error) {
	switch {
	case bytes.HasPrefix(file, []byte(elfMagic)):
		return Kernel{Arch: X8664, Content: file}, checkELF(file)
	case isAt(file, headerMagic, headerMagicOffset):
		return fromBzImage(file)
	case isAt(file, armMagic, armMagicOffset):
		return Kernel{Arch: ARM64, Content: file}, checkARM(file)
	case bytes.HasPrefix(file, []byte(peMagic)) && isAt(file, zbootMagic, zbootMagicOffset):
		return fromZboot(file)
	case payload.Detect(file) == payload.Gzip:
		return fromARM(file) // Image.gz, as Debian and Ubuntu had it.
	}
	return Kernel{}, fmt.Errorf("%w: expected a bzImage (%q at %#x), an ELF file, an arm64 Image (%q at %d) or one in gzip; it begins with % x",
		ErrFormat, headerMagic, headerMagicOffset, armMagic, armMagicOffset, file[:min(len(file), 16)])
}

func isAt(file []byte, magic string, offset int) bool {
	return len(file) >= offset+len(magic) && string(file[offset:offset+len(magic)]) == magic
}

// fromBzImage takes the payload out of an x86 boot image.
func fromBzImage(file []byte) (Kernel, error) {
	if len(file) < x86HeaderSize {
		return Kernel{}, fmt.Errorf("%w: it ends within its header", ErrFormat)
	}
	if version := binary.LittleEndian.Uint16(file[versionOffset:]); version < payloadVersion {
		return Kernel{}, fmt.Errorf("%w: boot protocol %d.%02d, expected 2.08 (Linux 2.6.26) or later, which says where the kernel is",
			ErrUnsupported, version>>8, version&0xff)
	}
	setup := int64(file[setupSectorsOffset])
	if setup == 0 {
		setup = defaultSetupSectors
	}
	offset := (setup+1)*sectorSize + int64(binary.LittleEndian.Uint32(file[payloadOffsetOffset:]))
	length := int64(binary.LittleEndian.Uint32(file[payloadLengthOffset:]))
	packed, err := section(file, offset, length)
	if err != nil {
		return Kernel{}, err
	}
	if bytes.HasPrefix(packed, []byte(elfMagic)) {
		return Kernel{Arch: X8664, Content: bytes.Clone(packed)}, checkELF(packed)
	}
	content, format, err := unpackX86(packed)
	if err != nil {
		return Kernel{}, fmt.Errorf("payload of %d bytes at %d: %w", length, offset, err)
	}
	return Kernel{Arch: X8664, Content: content, Compression: format}, checkELF(content)
}

// section returns a part of a file.
func section(file []byte, offset, length int64) ([]byte, error) {
	if offset > int64(len(file)) || length > int64(len(file))-offset {
		return nil, fmt.Errorf("%w: its payload of %d bytes at %d ends outside of the file", ErrFormat, length, offset)
	}
	return file[offset : offset+length], nil
}

// unpackX86 decompresses a payload, and compares its size with what the payload
// says at its end.
func unpackX86(packed []byte) ([]byte, payload.Format, error) {
	if len(packed) < sizeLength {
		return nil, payload.None, fmt.Errorf("%w: it is empty", ErrFormat)
	}
	stream, said := packed, binary.LittleEndian.Uint32(packed[len(packed)-sizeLength:])
	if payload.Detect(packed) != payload.Gzip {
		stream = packed[:len(packed)-sizeLength]
	}
	content, format, err := unpack(stream, int64(said))
	if err == nil && int64(len(content)) != int64(said) {
		err = fmt.Errorf("%w: %d bytes come out, and it says %d", ErrFormat, len(content), said)
	}
	return content, format, err
}

// unpack decompresses a kernel of at most limit bytes.
func unpack(stream []byte, limit int64) ([]byte, payload.Format, error) {
	content, format, err := payload.Decode(stream, min(limit, maxKernel))
	if err != nil {
		return nil, format, fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return content, format, nil
}

// checkELF says whether a file is a kernel for x86-64 whose segments are in it.
func checkELF(file []byte) error {
	if len(file) < elfHeaderSize || !bytes.HasPrefix(file, []byte(elfMagic)) {
		return fmt.Errorf("%w: its content is no ELF file", ErrFormat)
	}
	class, order := file[4], file[5]
	kind, machine := binary.LittleEndian.Uint16(file[16:]), binary.LittleEndian.Uint16(file[18:])
	if class != elfClass64 || order != elfLittleEndian || machine != elfMachineX8664 || kind != elfExecutable {
		return fmt.Errorf("%w: an ELF file of class %d, byte order %d, type %d for machine %d: expected an executable (%d) for x86-64 (%d)",
			ErrUnsupported, class, order, kind, machine, elfExecutable, elfMachineX8664)
	}
	offset, count := binary.LittleEndian.Uint64(file[32:]), int(binary.LittleEndian.Uint16(file[56:]))
	if size := binary.LittleEndian.Uint16(file[54:]); size != elfProgramSize || count > elfMaxProgramCount || offset > uint64(len(file)) || len(file)-int(offset) < count*elfProgramSize {
		return fmt.Errorf("%w: its %d program headers of %d bytes at %d are not in the file", ErrFormat, count, size, offset)
	}
	loaded := 0
	for i := range count {
		p := file[int(offset)+i*elfProgramSize:]
		if binary.LittleEndian.Uint32(p) != elfProgramLoad {
			continue
		}
		loaded++
		at, size := binary.LittleEndian.Uint64(p[8:]), binary.LittleEndian.Uint64(p[32:])
		if at > uint64(len(file)) || size > uint64(len(file))-at {
			return fmt.Errorf("%w: segment %d of %d bytes at %d is not in the file", ErrFormat, i, size, at)
		}
	}
	if loaded == 0 {
		return fmt.Errorf("%w: an ELF file without segments to load", ErrFormat)
	}
	return nil
}

// fromZboot takes the payload out of a compressed EFI image.
func fromZboot(file []byte) (Kernel, error) {
	if len(file) < zbootHeaderSize {
		return Kernel{}, fmt.Errorf("%w: it ends within its header", ErrFormat)
	}
	packed, err := section(file, int64(binary.LittleEndian.Uint32(file[zbootOffsetOffset:])), int64(binary.LittleEndian.Uint32(file[zbootLengthOffset:])))
	if err != nil {
		return Kernel{}, err
	}
	return fromARM(packed)
}

// fromARM decompresses an arm64 Image.
func fromARM(packed []byte) (Kernel, error) {
	content, format, err := unpack(packed, math.MaxInt64)
	if err != nil {
		return Kernel{}, err
	}
	return Kernel{Arch: ARM64, Content: content, Compression: format}, checkARM(content)
}

func checkARM(file []byte) error {
	if len(file) < armHeaderSize || !isAt(file, armMagic, armMagicOffset) {
		return fmt.Errorf("%w: its content is no arm64 Image (%q at %d)", ErrFormat, armMagic, armMagicOffset)
	}
	return nil
}
