package grub

import (
	"bytes"
	"encoding/binary"
	"errors"
)

// The header of the module area of 64-bit platforms (include/grub/kernel.h,
// struct grub_module_info64): magic and padding (u32 each), then the offset of
// the first object and the size of all (u64 each).
const (
	moduleInfo64Offset = 8
	moduleInfo64Total  = 16
	moduleInfo64Size   = 24
)

// maxMagics is how many places that look like a module area are tried. The
// magic is in GRUB's code a few times; the bound keeps hostile files cheap.
const maxMagics = 64

// EFIPrefix returns the directory in which a GRUB for 64-bit UEFI looks for its
// grub.cfg, such as "/EFI/debian": the prefix it was built with. Where that
// names no device, it is on the filesystem that GRUB itself was loaded from.
func EFIPrefix(efi []byte) (string, error) {
	magic := binary.LittleEndian.AppendUint32(nil, moduleMagic)
	rest := efi
	for range maxMagics {
		at := bytes.Index(rest, magic)
		if at < 0 {
			break
		}
		if prefix, ok := areaPrefix(rest[at:]); ok {
			return prefix, nil
		}
		rest = rest[at+len(magic):]
	}
	return "", errors.New("no prefix found in the GRUB EFI binary; expected one made by grub-mkimage with -p")
}

// areaPrefix returns the prefix from a module area at the start of area. The
// magic also occurs in code, so that anything may follow it.
func areaPrefix(area []byte) (string, bool) {
	if len(area) < moduleInfo64Size {
		return "", false
	}
	le := binary.LittleEndian
	pos, end := le.Uint64(area[moduleInfo64Offset:]), le.Uint64(area[moduleInfo64Total:])
	if pos < moduleInfo64Size || end > uint64(len(area)) {
		return "", false
	}
	for pos+objectHeaderSize <= end {
		kind, size := le.Uint32(area[pos:]), uint64(le.Uint32(area[pos+4:]))
		if size < objectHeaderSize || pos+size > end {
			return "", false
		}
		if kind == objectPrefix {
			return prefixString(area[pos+objectHeaderSize : pos+size])
		}
		pos += size
	}
	return "", false
}

func prefixString(object []byte) (string, bool) {
	text, _, ok := bytes.Cut(object, []byte{0})
	if !ok || len(text) == 0 || len(text) > maxPrefix {
		return "", false
	}
	return string(text), true
}
