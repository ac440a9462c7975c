package iso9660

import (
	"bytes"
	"strings"
	"testing"

	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/extent"
)

// espOf stands for a FAT filesystem.
func espOf(t testing.TB, size int64) *extent.Map {
	t.Helper()
	var b extent.Builder
	b.Inline([]byte("an EFI system partition"))
	b.ZeroTo(size)
	m, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestXorrisoFindsWhatBoots(t *testing.T) {
	convertertest.Need(t, "xorriso", "xorriso")
	bios := bytes.Repeat([]byte{0x90}, 5000)
	tests := []struct {
		name string
		boot Boot
		says []string
	}{
		{"BIOS", Boot{BIOS: bios, BootCode: []byte{0xeb, 0xfe}}, []string{
			"boot img :   1  BIOS  y   none  0x0000  0x00      4          21",
			"MBR partition      :   1   0x80  0xcd            0",
		}},
		{"UEFI", Boot{UEFI: espOf(t, 1<<20)}, []string{
			"boot img :   1  UEFI  y   none  0x0000  0x00   2048",
			"MBR partition      :   2   0x00  0xef", "         2048\n",
		}},
		{"both", Boot{BIOS: bios, UEFI: espOf(t, 33<<20)}, []string{
			"boot img :   1  BIOS  y   none  0x0000  0x00      4          21",
			"boot img :   2  UEFI  y   none  0x0000  0x00      0", // as long as the volume
			"MBR partition      :   2   0x00  0xef", "        67584\n",
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := sample().write(t, Options{Boot: &test.boot, Joliet: true})
			out := convertertest.Run(t, "xorriso", "-indev", path, "-report_el_torito", "plain", "-report_system_area", "plain")
			for _, want := range test.says {
				if !strings.Contains(out, want) {
					t.Errorf("xorriso does not say %q:\n%s", want, out)
				}
			}
			mustEqual(t, "what Open reads", mustOpen(t, path), sample())
		})
	}
}

// mkisofs(8) describes the table: block of the primary descriptor, block and
// length of the image, sum of its words from byte 64 on.
func TestBootImageFindsItself(t *testing.T) {
	bios := make([]byte, 3001)
	bios[64], bios[68], bios[3000] = 1, 2, 3
	c := newContents()
	volume := convertertest.Bytes(t, mustPlan(t, c, Options{Boot: &Boot{BIOS: bios}}), c.blobs)
	var want []byte
	for _, n := range []uint32{16, BIOSImageBlock, 3001, 6} {
		want = little.AppendUint32(want, n)
	}
	if got := volume[BIOSImageBlock*blockSize+8:][:16]; !bytes.Equal(got, want) {
		t.Errorf("the table is % x, want % x", got, want)
	}
	if bios[8] != 0 {
		t.Error("the caller's image was changed")
	}
}

func TestBadOptionsAreNamed(t *testing.T) {
	c := newContents()
	for says, o := range map[string]Options{
		`label "lower"`:         {Label: "lower"},
		"at most 32":            {Label: strings.Repeat("L", 33)},
		"nothing to boot":       {Boot: &Boot{}},
		"boot image of 8 bytes": {Boot: &Boot{BIOS: make([]byte, 8)}},
		"sector 0 has room":     {Boot: &Boot{BIOS: make([]byte, 2048), BootCode: make([]byte, 441)}},
	} {
		if _, err := Plan(t.Context(), c.tree, o); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("error %v, want one that says %q", err, says)
		}
	}
}
