package gpt

import (
	"encoding/json"
	"testing"
)

func TestGUIDTextAndDiskForms(t *testing.T) {
	const text = "00112233-4455-6677-8899-aabbccddeeff"
	g, err := ParseGUID("00112233-4455-6677-8899-AABBCCDDEEFF")
	if err != nil {
		t.Fatal(err)
	}
	if g.String() != text {
		t.Errorf("String() = %s, want %s", g, text)
	}
	want := GUID{0x33, 0x22, 0x11, 0x00, 0x55, 0x44, 0x77, 0x66, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff}
	disk := g.disk()
	if disk != want {
		t.Errorf("on disk % x, want % x", disk, want)
	}
	if back := guidFromDisk(disk[:]); back != g {
		t.Errorf("back from disk %s, want %s", back, g)
	}
}

func TestBIOSBootTypeSpellsItsJoke(t *testing.T) {
	disk := TypeBIOSBoot.disk()
	if got := string(disk[:]); got != "Hah!IdontNeedEFI" {
		t.Errorf("on disk %q", got)
	}
}

func TestParseGUIDRefuses(t *testing.T) {
	for _, s := range []string{
		"", "00112233", "00112233-4455-6677-8899-aabbccddeef", "00112233-4455-6677-8899-aabbccddeefff",
		"0011223344556677-8899-aabb-ccddeeff--", "{0112233-4455-6677-8899-aabbccddeeff", "g0112233-4455-6677-8899-aabbccddeeff",
	} {
		if g, err := ParseGUID(s); err == nil {
			t.Errorf("ParseGUID(%q) = %s", s, g)
		}
	}
}

func TestGUIDInJSON(t *testing.T) {
	var back GUID
	p, err := json.Marshal(TypeESP)
	if err != nil || string(p) != `"c12a7328-f81f-11d2-ba4b-00a0c93ec93b"` {
		t.Fatalf("json %s, %v", p, err)
	}
	if err := json.Unmarshal(p, &back); err != nil || back != TypeESP {
		t.Errorf("back %s, %v", back, err)
	}
}
