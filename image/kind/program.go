package kind

import (
	"bytes"
	"encoding/binary"
)

// Of ELF: the program headers that matter, and the classes of addresses.
const (
	elfMagic      = "\x7fELF"
	elf64         = 2
	elfBigEndian  = 2
	segmentLoad   = 1
	segmentInterp = 3

	// Kernels of Linux and BSD are linked to addresses above these, where no
	// program of a user can be.
	kernelSpace64 = 0xffff_0000_0000_0000
	kernelSpace32 = 0xc000_0000
)

// elfSign says whether an ELF program is a kernel: by the addresses that it is
// loaded to, where they tell.
func elfSign(head []byte) (sign, bool) {
	if !bytes.HasPrefix(head, []byte(elfMagic)) || len(head) < 64 {
		return sign{}, false
	}
	segments, floor := elfSegments(head)
	s := sign{"an ELF program", program}
	for _, segment := range segments {
		switch {
		case segment.kind == segmentInterp:
			return sign{"an ELF program", foreign}, true
		case segment.kind == segmentLoad && segment.address >= floor:
			s = sign{"an ELF kernel", kernel}
		}
	}
	return s, true
}

// segment is a program header: its type, and the virtual address it is loaded
// to.
type segment struct {
	kind    uint32
	address uint64
}

// elfSegments returns the program headers of an ELF file that are within its
// start, and the first address of its kernel's space.
func elfSegments(head []byte) (segments []segment, floor uint64) {
	var order binary.ByteOrder = binary.LittleEndian
	if head[5] == elfBigEndian {
		order = binary.BigEndian
	}
	wide := head[4] == elf64
	offset, size, count := uint64(order.Uint32(head[28:])), int(order.Uint16(head[42:])), int(order.Uint16(head[44:]))
	least, address := 32, 8
	floor = kernelSpace32
	if wide {
		offset, size, count = order.Uint64(head[32:]), int(order.Uint16(head[54:])), int(order.Uint16(head[56:]))
		least, address = 56, 16
		floor = kernelSpace64
	}
	for range count {
		if size < least || offset > uint64(len(head)) || uint64(len(head))-offset < uint64(size) {
			break
		}
		header := head[offset:]
		s := segment{kind: order.Uint32(header), address: uint64(order.Uint32(header[address:]))}
		if wide {
			s.address = order.Uint64(header[address:])
		}
		segments = append(segments, s)
		offset += uint64(size)
	}
	return segments, floor
}

// peOffset returns the place of the PE header in a program for Windows or EFI.
func peOffset(head []byte) (offset int, ok bool) {
	if len(head) < 64 || head[0] != 'M' || head[1] != 'Z' {
		return 0, false
	}
	at := binary.LittleEndian.Uint32(head[60:])
	if uint64(at)+24 > uint64(len(head)) || !bytes.HasPrefix(head[at:], []byte("PE\x00\x00")) {
		return 0, false
	}
	return int(at), true
}

func isPE(head []byte, _ int64) bool {
	_, ok := peOffset(head)
	return ok
}

// subsystemEFI is that of an EFI application (Microsoft's PE specification,
// Windows Subsystem).
const subsystemEFI = 10

// peSign says what a program in the PE format is: a unified kernel image has its
// kernel in a section .linux (UAPI specification 5).
func peSign(head []byte) sign {
	at, _ := peOffset(head)
	sections := int(binary.LittleEndian.Uint16(head[at+6:]))
	optional := at + 24
	first := optional + int(binary.LittleEndian.Uint16(head[at+20:]))
	for i := range sections {
		section := first + 40*i
		if section+8 > len(head) {
			break
		}
		if bytes.HasPrefix(head[section:], []byte(".linux\x00\x00")) {
			return sign{"a unified kernel image", kernel}
		}
	}
	if optional+70 <= len(head) && binary.LittleEndian.Uint16(head[optional+68:]) == subsystemEFI {
		return sign{"an EFI program", program}
	}
	return sign{"a Windows program", foreign}
}
