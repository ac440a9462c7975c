package fat32

import (
	"encoding/binary"
	"strings"
	"testing"
	"unicode/utf16"
)

func TestShortNames(t *testing.T) {
	tests := []struct {
		names string // separated by spaces
		want  string // the short names, padding shown as "_" removed
		long  string // y or n for each
	}{
		{"BOOTX64.EFI", "BOOTX64.EFI", "n"},
		{"grub.cfg", "GRUB.CFG", "y"},
		{"README", "README", "n"},
		{"longfilename.txt longfilename2.txt", "LONGFI~1.TXT LONGFI~2.TXT", "yy"},
		// A name that fits keeps its own, even after one that would take it.
		{"longfilename.txt longfi~1.txt", "LONGFI~2.TXT LONGFI~1.TXT", "yy"},
		{".config .profile", "CONFIG~1 PROFIL~1", "yy"},
		{"a.tar.gz", "ATAR~1.GZ", "y"},
		{"file.json", "FILE~1.JSO", "y"},
		{"a+b é", "A_B~1 _~1", "yy"},
	}
	for _, test := range tests {
		names, err := nameAll(strings.Fields(test.names))
		if err != nil {
			t.Errorf("%q: %v", test.names, err)
			continue
		}
		var short []string
		var long strings.Builder
		for _, n := range names {
			base, extension := strings.TrimRight(string(n.short[:8]), " "), strings.TrimRight(string(n.short[8:]), " ")
			short = append(short, strings.TrimSuffix(base+"."+extension, "."))
			long.WriteByte("ny"[min(1, len(n.long))])
		}
		if got := strings.Join(short, " "); got != test.want || long.String() != test.long {
			t.Errorf("%q get %q, long %s; want %q, %s", test.names, got, &long, test.want, test.long)
		}
	}
}

// The long name entries of the specification's own example, and a name that needs
// UTF-16 surrogates, which fill the entry to the last unit.
func TestLongNameEntries(t *testing.T) {
	tests := []struct {
		name string
		want []string // the entries: number, then code units as text
	}{
		{"The quick brown.fox", []string{"\x42wn.fox\x00\uffff", "\x01The quick bro"}},
		{"elevenchars𝄞", []string{"\x41elevenchars𝄞"}},
	}
	for _, test := range tests {
		names, err := nameAll([]string{test.name})
		if err != nil {
			t.Fatal(err)
		}
		p := appendLongName(nil, names[0])
		for i, want := range test.want {
			e := p[i*dirEntrySize : (i+1)*dirEntrySize]
			var units []uint16
			for _, part := range [][]byte{e[1:11], e[14:26], e[28:32]} {
				for j := 0; j < len(part); j += 2 {
					units = append(units, binary.LittleEndian.Uint16(part[j:]))
				}
			}
			got := string(rune(e[0])) + string(utf16.Decode(units))
			if strings.TrimRight(got, "\uffff") != strings.TrimRight(want, "\uffff") {
				t.Errorf("%q: entry %d is %q, want %q", test.name, i, got, want)
			}
			if e[11] != attrLongName || e[13] != names[0].short.checksum() {
				t.Errorf("%q: entry %d is % x", test.name, i, e)
			}
		}
	}
}

func TestNumericTailsGrow(t *testing.T) {
	names := make([]string, 0, 2000)
	for i := range 2000 {
		names = append(names, strings.Repeat("x", i%100+9)+strings.Repeat("y", i/100))
	}
	result, err := nameAll(names)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[shortName]bool)
	for _, n := range result {
		if seen[n.short] {
			t.Fatalf("short name %q twice", n.short[:])
		}
		seen[n.short] = true
	}
	if last := result[1999].short; string(last[:8]) != "XXX~2000" {
		t.Errorf("the last short name is %q", last[:])
	}
}
