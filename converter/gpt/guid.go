package gpt

import (
	"encoding/hex"
	"fmt"

	"github.com/cloudlets/cloudlets/converter/container"
)

// GUID is a globally unique identifier, in the order of its text form: the
// bytes of 00010203-0405-0607-0809-0a0b0c0d0e0f are 0, 1, 2 … 15. On disk the
// first three groups are little-endian (UEFI 2.10, appendix A).
type GUID [16]byte

// guidTextLength is the length of the text form: 32 digits and 4 hyphens.
const guidTextLength = 36

// ParseGUID reads the text form, with digits of either case.
func ParseGUID(s string) (GUID, error) {
	var g GUID
	if len(s) != guidTextLength || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return GUID{}, fmt.Errorf("GUID %q: want the form 00112233-4455-6677-8899-aabbccddeeff", s)
	}
	digits := s[:8] + s[9:13] + s[14:18] + s[19:23] + s[24:]
	if _, err := hex.Decode(g[:], []byte(digits)); err != nil {
		return GUID{}, fmt.Errorf("GUID %q: %w", s, err)
	}
	return g, nil
}

// String returns the text form with lower-case digits.
func (g GUID) String() string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", g[:4], g[4:6], g[6:8], g[8:10], g[10:])
}

// MarshalText returns the text form.
func (g GUID) MarshalText() ([]byte, error) { return []byte(g.String()), nil }

// UnmarshalText is [ParseGUID].
func (g *GUID) UnmarshalText(text []byte) error {
	parsed, err := ParseGUID(string(text))
	*g = parsed
	return err
}

// IsZero reports whether g is all zeros, which names nothing.
func (g GUID) IsZero() bool { return g == GUID{} }

// disk returns the on-disk form.
func (g GUID) disk() GUID { return container.MixedEndian(g) }

// guidFromDisk reads the on-disk form.
func guidFromDisk(p []byte) GUID {
	return GUID(p[:16]).disk() // the reordering is its own inverse
}
