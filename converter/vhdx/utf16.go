package vhdx

import (
	"encoding/binary"
	"unicode/utf16"
)

// encodeText returns the UTF-16 of s, little-endian and without a mark.
func encodeText(s string) []byte {
	var p []byte
	for _, c := range utf16.Encode([]rune(s)) {
		p = binary.LittleEndian.AppendUint16(p, c)
	}
	return p
}

// decodeText is the inverse of encodeText. An odd last byte is left out.
func decodeText(p []byte) string {
	var units []uint16
	for ; len(p) > 1; p = p[2:] {
		units = append(units, binary.LittleEndian.Uint16(p))
	}
	return string(utf16.Decode(units))
}
