package grub

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ELF32 (System V ABI, "Object Files"): where the fields stand that tell a
// kernel from a module and what of the kernel is loaded where. debug/elf is not
// used because it does not promise to be safe on hostile files.
const (
	elfMagic      = "\x7fELF\x01\x01" // ELFCLASS32, ELFDATA2LSB
	elfHeaderSize = 52
	elfType       = 0x10 // u16
	elfMachine    = 0x12 // u16
	elfEntry      = 0x18 // u32
	elfPhoff      = 0x1c // u32
	elfPhentsize  = 0x2a // u16
	elfPhnum      = 0x2c // u16

	phEntrySize = 32
	phType      = 0x00 // u32
	phOffset    = 0x04 // u32
	phPaddr     = 0x0c // u32
	phFilesz    = 0x10 // u32

	typeRelocatable = 1 // ET_REL
	typeExecutable  = 2 // ET_EXEC
	machine386      = 3 // EM_386
	segmentLoad     = 1 // PT_LOAD
)

const (
	maxKernelFile  = 1 << 20 // bytes of kernel.img; Debian 12's has 30 KB
	kernelLinkAddr = 0x9000  // GRUB_KERNEL_I386_PC_LINK_ADDR
	maxKernel      = 0x60000 // bytes of a loaded kernel: conventional memory is all it is linked for
)

// checkElf checks the header of an ELF file for 32-bit x86 of the given type.
func checkElf(file []byte, wantType uint16) error {
	if len(file) < elfHeaderSize {
		return fmt.Errorf("%d bytes long, expected an ELF header of %d bytes", len(file), elfHeaderSize)
	}
	if string(file[:len(elfMagic)]) != elfMagic {
		return fmt.Errorf("starts with % x, expected a little-endian ELF32 file", file[:len(elfMagic)])
	}
	le := binary.LittleEndian
	if t, m := le.Uint16(file[elfType:]), le.Uint16(file[elfMachine:]); t != wantType || m != machine386 {
		return fmt.Errorf("ELF type %d for machine %d, expected type %d for machine %d (i386)",
			t, m, wantType, machine386)
	}
	return nil
}

// checkModule checks that GRUB can load a file as a module. What is inside is
// GRUB's own to check.
func checkModule(file []byte) error {
	return checkElf(file, typeRelocatable)
}

// loadKernel returns what kernel.img puts in memory from kernelLinkAddr on,
// without its trailing zero-initialised data.
func loadKernel(file []byte) ([]byte, error) {
	if err := checkElf(file, typeExecutable); err != nil {
		return nil, err
	}
	le := binary.LittleEndian
	if entry := le.Uint32(file[elfEntry:]); entry != kernelLinkAddr {
		return nil, fmt.Errorf("entry point %#x, expected %#x", entry, kernelLinkAddr)
	}
	table, err := programHeaders(file)
	if err != nil {
		return nil, err
	}
	var kernel []byte
	for ; len(table) > 0; table = table[phEntrySize:] {
		if le.Uint32(table[phType:]) != segmentLoad {
			continue
		}
		if kernel, err = loadSegment(kernel, file, table); err != nil {
			return nil, err
		}
	}
	if len(kernel) == 0 {
		return nil, errors.New("nothing in it is to be loaded")
	}
	return kernel, nil
}

// programHeaders returns the bytes of the program header table.
func programHeaders(file []byte) ([]byte, error) {
	le := binary.LittleEndian
	off, size, num := uint64(le.Uint32(file[elfPhoff:])), le.Uint16(file[elfPhentsize:]), uint64(le.Uint16(file[elfPhnum:]))
	if size != phEntrySize {
		return nil, fmt.Errorf("program headers of %d bytes, expected %d", size, phEntrySize)
	}
	if off+num*phEntrySize > uint64(len(file)) {
		return nil, fmt.Errorf("%d program headers at %d, but the file is %d bytes long", num, off, len(file))
	}
	return file[off : off+num*phEntrySize], nil
}

// loadSegment copies the segment that ph describes from file to its place in
// memory, which starts at kernelLinkAddr and is returned, longer if need be.
func loadSegment(memory, file, ph []byte) ([]byte, error) {
	le := binary.LittleEndian
	off, addr, size := uint64(le.Uint32(ph[phOffset:])), uint64(le.Uint32(ph[phPaddr:])), uint64(le.Uint32(ph[phFilesz:]))
	if off+size > uint64(len(file)) {
		return nil, fmt.Errorf("segment at %d of %d bytes, but the file is %d bytes long", off, size, len(file))
	}
	if addr < kernelLinkAddr || addr+size > kernelLinkAddr+maxKernel {
		return nil, fmt.Errorf("segment of %d bytes for address %#x, expected between %#x and %#x",
			size, addr, kernelLinkAddr, kernelLinkAddr+maxKernel)
	}
	start := int(addr - kernelLinkAddr)
	end := start + int(size)
	if end > len(memory) {
		memory = append(memory, make([]byte, end-len(memory))...)
	}
	copy(memory[start:end], file[off:off+size])
	return memory, nil
}
