package grub_test

import (
	"testing"

	"github.com/cloudlets/cloudlets/converter/grub"
)

// coreLimit is more than any core image has: GRUB's memory is the bound.
const coreLimit = 0x70000

// FuzzCoreImage feeds a kit whose files are anything. Nothing may panic, and
// what comes out is whole sectors within the bound.
func FuzzCoreImage(f *testing.F) {
	files := copyKit(f, debianKit(f), append([]string{"ext2.mod", "fshelp.mod"}, kitFiles...)...)
	f.Add(files["kernel.img"], files["lzma_decompress.img"], files["diskboot.img"], files["boot.img"],
		files["ext2.mod"], []byte("ext2: fshelp\nfshelp:\n"))
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
