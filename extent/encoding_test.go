package extent

import (
	"bytes"
	"compress/flate"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestEncodingRoundTrips(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := anySample(t)
		encoded := s.m.Encode()
		m, err := Decode(encoded)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(read(t, m), s.want) {
			t.Fatal("the decoded map reads differently")
		}
		if !bytes.Equal(m.Encode(), encoded) {
			t.Fatal("the decoded map encodes differently")
		}
	})
}

func TestDecodeRefusesEveryChangedByte(t *testing.T) {
	var b Builder
	b.Source("sha256:aa", 7, 100)
	b.Inline([]byte("inline"))
	b.Zero(9)
	m, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	encoded := m.Encode()
	for i := range encoded {
		changed := bytes.Clone(encoded)
		changed[i] ^= 0x10
		if _, err := Decode(changed); !errors.Is(err, ErrFormat) {
			t.Errorf("byte %d changed: got %v", i, err)
		}
		if _, err := Decode(encoded[:i]); !errors.Is(err, ErrFormat) {
			t.Errorf("cut to %d bytes: got %v", i, err)
		}
	}
	if _, err := Decode(append(encoded, 0)); !errors.Is(err, ErrFormat) {
		t.Errorf("a byte too many: got %v", err)
	}
}

// forge makes an encoding with a good checksum around whatever is given.
func forge(extents, digests uint32, inline uint64, body []byte) []byte {
	b := []byte(signature)
	b = binary.LittleEndian.AppendUint16(b, version)
	b = binary.LittleEndian.AppendUint32(b, extents)
	b = binary.LittleEndian.AppendUint32(b, digests)
	b = binary.LittleEndian.AppendUint64(b, inline)
	var z bytes.Buffer
	w, _ := flate.NewWriter(&z, flate.BestSpeed)
	_, _ = w.Write(body)
	_ = w.Close()
	b = append(b, z.Bytes()...)
	sum := sha256.Sum256(b)
	return append(b, sum[:]...)
}

func TestDecodeRefusesHostileMaps(t *testing.T) {
	huge := binary.AppendUvarint(nil, math.MaxInt64)
	extent := func(kind byte, rest ...[]byte) []byte {
		return append([]byte{kind}, bytes.Join(rest, nil)...)
	}
	digest := []byte("\x09sha256:aa")
	for name, c := range map[string]struct {
		encoded []byte
		want    string
	}{
		"10⁹ extents":                 {forge(1e9, 0, 0, nil), "more than the allowed"},
		"extents that are not there":  {forge(maxExtents, 0, 0, []byte{0, 1}), "EOF"},
		"more digests than extents":   {forge(1, 2, 0, nil), "more than the allowed"},
		"inline bytes of a petabyte":  {forge(1, 0, 1<<50, nil), "more than the allowed"},
		"inline bytes that are not":   {forge(1, 0, 500, []byte{1, 244, 3}), "unexpected EOF"},
		"inline bytes nobody uses":    {forge(1, 0, 5, []byte{0, 1}), "inline bytes, the header says 5"},
		"inline beyond the declared":  {forge(1, 0, 5, []byte{1, 6}), "5 are left"},
		"a length of zero":            {forge(1, 0, 0, []byte{0, 0}), "length 0"},
		"a length beyond 2⁶³-1":       {forge(1, 0, 0, extent(0, binary.AppendUvarint(nil, math.MaxUint64))), "length"},
		"lengths that add up beyond":  {forge(2, 0, 0, append(extent(0, huge), extent(0, huge)...)), "length"},
		"an unknown kind":             {forge(1, 0, 0, []byte{3, 1}), "unknown kind 3"},
		"a blob that is not named":    {forge(1, 0, 0, []byte{2, 1, 0, 0}), "blob 0 of 0"},
		"a negative offset":           {forge(1, 1, 0, append(digest, 2, 1, 0, 1)), "offset"},
		"a source that overflows":     {forge(1, 1, 0, append(digest, extent(2, []byte{2}, []byte{0}, binary.AppendVarint(nil, math.MaxInt64))...)), "offset"},
		"an empty digest":             {forge(1, 1, 0, []byte{0}), "length 0"},
		"a digest of a megabyte":      {forge(1, 1, 0, binary.AppendUvarint(nil, 1<<20)), "length 1048576"},
		"bytes after the end":         {forge(1, 0, 0, []byte{0, 1, 0}), "more after its end"},
		"a body that is not deflated": {append([]byte(signature), make([]byte, 200)...), "version 0"},
		"nothing":                     {nil, "at its start"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Decode(c.encoded)
			if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(uint32(1), uint32(1), uint64(0), []byte("\x09sha256:aa\x02\x05\x00\x02"))
	f.Add(uint32(2), uint32(0), uint64(3), []byte("\x01\x03\x00\x05abc"))
	f.Fuzz(func(t *testing.T, extents, digests uint32, inline uint64, body []byte) {
		m, err := Decode(forge(extents, digests, inline, body))
		if err != nil {
			return
		}
		at := int64(0)
		for start, e := range m.All() {
			if start != at || e.Length <= 0 || e.Offset < 0 || e.Offset > math.MaxInt64-e.Length {
				t.Fatalf("extent %+v at %d", e, start)
			}
			at += e.Length
		}
		if at != m.Size() {
			t.Fatalf("extents end at %d of %d", at, m.Size())
		}
		if _, err := Decode(m.Encode()); err != nil {
			t.Fatal(err)
		}
	})
}
