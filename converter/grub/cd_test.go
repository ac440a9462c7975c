package grub_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/converter/grub"
)

func TestCDImageIsWhatMkimageMakes(t *testing.T) {
	convertertest.Need(t, "grub-mkimage", "grub-common")
	opts := grub.Options{Prefix: "/boot/grub", Modules: []string{"biosdisk", "iso9660", "normal", "linux"}}
	path := filepath.Join(t.TempDir(), "cd.img")
	convertertest.Run(t, "grub-mkimage", append([]string{"-O", "i386-pc-eltorito", "-p", opts.Prefix, "-o", path}, opts.Modules...)...)
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got, err := grub.CDImage(debianKit(t), opts, 21)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got[:grub.CDBlockSize], want[:grub.CDBlockSize]) {
		t.Error("the loaders differ")
	}
	_, _, wantPayload := split(t, want[grub.CDBlockSize:])
	loader, _, payload := split(t, got[grub.CDBlockSize:])
	if !bytes.Equal(payload, wantPayload) {
		t.Error("the payloads differ")
	}
	if lba := binary.LittleEndian.Uint64(loader[500:]); lba != 21*4+4+1 {
		t.Errorf("the loader looks for the rest at sector %d", lba)
	}
}

func TestCDImageNeedsItsLoader(t *testing.T) {
	for reason, file := range map[string][]byte{"is 512 bytes long": make([]byte, 512), "at most 2048": make([]byte, 4096)} {
		_, err := grub.CDImage(mapKit(map[string][]byte{"cdboot.img": file}), grub.Options{}, 21)
		if err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("error %v, want one that says %q", err, reason)
		}
	}
	if _, err := grub.CDImage(mapKit(nil), grub.Options{}, 21); err == nil || !strings.Contains(err.Error(), "cdboot.img") {
		t.Errorf("a kit without it gives %v", err)
	}
}
