package grub_test

import (
	"encoding/binary"
	"testing"

	"github.com/cloudlets/cloudlets/converter/grub"
)

// coreLimit is more than any core image has: GRUB's memory is the bound.
const coreLimit = 0x70000

// FuzzCoreImage feeds a kit whose files are anything. Nothing may panic, and
// what comes out is whole sectors within the bound.
func FuzzCoreImage(f *testing.F) {
	files := copyKit(f, debianKit(f), kitFiles...)
	f.Add(smallKernel(), files["lzma_decompress.img"], files["diskboot.img"], files["boot.img"],
		elfHeader(1), []byte("ext2: fshelp\nfshelp:\n"))
	f.Add([]byte{}, []byte{}, []byte{}, []byte{}, []byte{}, []byte{})
	f.Fuzz(func(t *testing.T, kernel, decompressor, diskboot, boot, module, deps []byte) {
		kit := mapKit(map[string][]byte{
			"kernel.img": kernel, "lzma_decompress.img": decompressor, "diskboot.img": diskboot, "boot.img": boot,
			"ext2.mod": module, "fshelp.mod": module, "moddep.lst": deps,
		})
		core, err := grub.CoreImage(kit, grub.Options{Prefix: "/grub", Modules: []string{"ext2"}, LBA: 34})
		if err == nil && (len(core)%grub.SectorSize != 0 || len(core) > coreLimit) {
			t.Errorf("a core image of %d bytes", len(core))
		}
		code, err := grub.BootSector(kit, 34)
		if err == nil && len(code) != grub.BootCodeSize {
			t.Errorf("boot code of %d bytes", len(code))
		}
	})
}

// elfHeader returns the header of an ELF file for i386 of the given type.
func elfHeader(kind uint16) []byte {
	p := make([]byte, 52)
	copy(p, "\x7fELF\x01\x01\x01")
	binary.LittleEndian.PutUint16(p[0x10:], kind)
	binary.LittleEndian.PutUint16(p[0x12:], 3)
	return p
}

// smallKernel returns a kernel of a few bytes: compressing a real one would
// leave the fuzzer few tries.
func smallKernel() []byte {
	const code = "code"
	le := binary.LittleEndian
	p := elfHeader(2)
	le.PutUint32(p[0x18:], 0x9000)         // entry
	le.PutUint32(p[0x1c:], uint32(len(p))) // program headers
	le.PutUint16(p[0x2a:], 32)
	le.PutUint16(p[0x2c:], 1)
	header := make([]byte, 32)
	le.PutUint32(header, 1) // PT_LOAD
	le.PutUint32(header[0x04:], uint32(len(p)+len(header)))
	le.PutUint32(header[0x0c:], 0x9000)
	le.PutUint32(header[0x10:], uint32(len(code)))
	return append(append(p, header...), code...)
}
