package grub_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/cloudlets/cloudlets/converter/grub"
)

func TestBootSectorChangesOnlyAddressAndDriveCheck(t *testing.T) {
	kit := debianKit(t)
	code, err := grub.BootSector(kit, 0x0102030405060708)
	if err != nil {
		t.Fatal(err)
	}
	want := bytes.Clone(copyKit(t, kit, "boot.img")["boot.img"][:grub.BootCodeSize])
	copy(want[0x5c:], []byte{8, 7, 6, 5, 4, 3, 2, 1})
	copy(want[0x66:], []byte{0x90, 0x90})
	if !bytes.Equal(code, want) {
		t.Errorf("boot sector\n% x\nwant\n% x", code, want)
	}
}

func TestBootSectorRefusesOtherFiles(t *testing.T) {
	good := copyKit(t, debianKit(t), "boot.img")["boot.img"]
	unsigned := bytes.Clone(good)
	unsigned[510] = 0
	other := bytes.Clone(good)
	other[0x66] = 0
	for reason, file := range map[string][]byte{
		"is 511 bytes long":      good[:511],
		"at most 512":            append(bytes.Clone(good), 0),
		"has eb 05 at 0x66 and ": unsigned,
		"has 00 05 at 0x66 and ": other,
	} {
		_, err := grub.BootSector(mapKit(map[string][]byte{"boot.img": file}), 1)
		if err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("error %v, want one that says %q", err, reason)
		}
	}
	if _, err := grub.BootSector(mapKit(nil), 1); err == nil {
		t.Error("a kit without boot.img gives no error")
	}
}
