package lz4

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestDecode(t *testing.T) {
	for name, c := range map[string]struct{ block, want string }{
		"nothing":             {"", ""},
		"literals":            {"\x30abc", "abc"},
		"a match":             {"\x30abc\x03\x00\x10x", "abcabcax"},
		"an overlapping one":  {"\x1fa\x01\x00\x05\x10b", strings.Repeat("a", 1+15+5+4) + "b"},
		"many literals":       {"\xf0\xff\x01" + strings.Repeat("l", 271), strings.Repeat("l", 271)},
		"an end with a match": {"\x30abc\x03\x00", "abcabca"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, room := range []int{len(c.want), len(c.want) + 100, len(c.want) / 2} {
				dst := make([]byte, room)
				n, err := Decode(dst, []byte(c.block))
				if want := c.want[:min(room, len(c.want))]; err != nil || string(dst[:n]) != want {
					t.Errorf("into %d bytes: %q, %v, want %q", room, dst[:n], err, want)
				}
			}
		})
	}
}

func TestDecodeRefusesWhatIsNotThere(t *testing.T) {
	for name, block := range map[string]string{
		"literals":             "\x50abc",
		"a length":             "\xf0\xff\xff",
		"an offset":            "\x30abc\x03",
		"a match's length":     "\x3fabc\x03\x00\xff",
		"bytes before":         "\x30abc\x04\x00",
		"an offset of nothing": "\x30abc\x00\x00",
	} {
		if n, err := Decode(make([]byte, 100), []byte(block)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s: %d bytes, error %v", name, n, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("\x30abc\x03\x00\x10x"), 10)
	f.Add([]byte("\x1fa\x01\x00\x05\x10b"), 100)
	f.Fuzz(func(t *testing.T, block []byte, room int) {
		room = max(0, room%(1<<16))
		dst := make([]byte, room)
		n, err := Decode(dst, block)
		if n < 0 || n > room {
			t.Fatalf("%d bytes in %d", n, room)
		}
		part := make([]byte, room/2)
		k, partErr := Decode(part, block)
		if err == nil && (partErr != nil || !bytes.Equal(part[:k], dst[:min(n, room/2)])) {
			t.Fatalf("the first half is decoded otherwise: %v", partErr)
		}
	})
}
