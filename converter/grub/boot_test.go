package grub_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/converter/grub"
)

func TestBIOSBootsTheCoreImage(t *testing.T) {
	const (
		marker  = "core image is running"
		coreLBA = 2048
		size    = 4 << 20
	)
	kit := debianKit(t)
	core, err := grub.CoreImage(kit, grub.Options{
		Prefix:  "/boot/grub",
		Config:  "serial --unit=0 --speed=115200\nterminal_output serial\necho " + marker + "\n",
		Modules: diskModules,
		LBA:     coreLBA,
	})
	if err != nil {
		t.Fatal(err)
	}
	code, err := grub.BootSector(kit, coreLBA)
	if err != nil {
		t.Fatal(err)
	}
	disk := make([]byte, size)
	copy(disk, code)
	copy(disk[510:], []byte{0x55, 0xaa})
	copy(disk[coreLBA*grub.SectorSize:], core)
	path := filepath.Join(t.TempDir(), "disk.raw")
	if err := os.WriteFile(path, disk, 0o600); err != nil {
		t.Fatal(err)
	}
	convertertest.Boot(t, marker, "-drive", "file="+path+",format=raw,if=virtio,snapshot=on")
}
