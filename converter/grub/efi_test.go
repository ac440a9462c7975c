package grub_test

import (
	"bytes"
	"encoding/binary"
	"os"
	"strings"
	"testing"

	"github.com/cloudlets/cloudlets/converter/grub"
)

func TestEFIPrefixOfDebiansGRUB(t *testing.T) {
	efi, err := os.ReadFile("/usr/lib/grub/x86_64-efi/monolithic/grubx64.efi")
	if err != nil {
		t.Fatalf("this test needs the Debian package grub-efi-amd64-bin: %v", err)
	}
	prefix, err := grub.EFIPrefix(efi)
	if err != nil || prefix != "/EFI/debian" {
		t.Errorf("prefix %q, %v; want /EFI/debian", prefix, err)
	}
}

// efiArea returns a module area with the given objects: type, then content.
func efiArea(objects ...any) []byte {
	var body []byte
	for i := 0; i < len(objects); i += 2 {
		data := []byte(objects[i+1].(string))
		body = binary.LittleEndian.AppendUint32(body, uint32(objects[i].(int)))
		body = binary.LittleEndian.AppendUint32(body, uint32(8+len(data)))
		body = append(body, data...)
	}
	area := append([]byte("mimg"), 0, 0, 0, 0)
	area = binary.LittleEndian.AppendUint64(area, 24)
	area = binary.LittleEndian.AppendUint64(area, uint64(24+len(body)))
	return append(area, body...)
}

func TestEFIPrefixSkipsWhatOnlyLooksLikeAnArea(t *testing.T) {
	endless := efiArea(3, "/wrong\x00")
	binary.LittleEndian.PutUint64(endless[16:], 1<<63)
	file := bytes.Join([][]byte{
		[]byte("MZ.."), []byte("mimg"), endless,
		efiArea(0, "module"), efiArea(3, "not terminated"), efiArea(3, "\x00"),
		efiArea(0, "module", 2, "config\x00", 3, "/EFI/x\x00\x00"),
	}, []byte("mimmi"))
	prefix, err := grub.EFIPrefix(file)
	if err != nil || prefix != "/EFI/x" {
		t.Errorf("prefix %q, %v; want /EFI/x", prefix, err)
	}
}

func TestEFIPrefixSaysWhenThereIsNone(t *testing.T) {
	for _, file := range []string{"", "mimg", strings.Repeat("mimg", 100), string(efiArea(0, "x"))} {
		if prefix, err := grub.EFIPrefix([]byte(file)); err == nil {
			t.Errorf("%.40q gives prefix %q, want an error", file, prefix)
		}
	}
}

func FuzzEFIPrefix(f *testing.F) {
	f.Add(efiArea(0, "module", 3, "/EFI/debian\x00"))
	f.Add([]byte("mimg"))
	f.Fuzz(func(t *testing.T, file []byte) {
		prefix, err := grub.EFIPrefix(file)
		if err == nil && !bytes.Contains(file, []byte(prefix+"\x00")) {
			t.Errorf("prefix %q is not in the file", prefix)
		}
	})
}
