package ext4

import (
	"encoding/binary"
	"math/bits"
)

// dirHasher computes the hash that orders the entries of an indexed directory:
// half MD4 over signed characters (ext4 doc, "Hash Tree Directories"; Linux,
// fs/ext4/hash.c). MD4 itself is RFC 1320.
type dirHasher struct {
	seed [4]uint32
}

func newDirHasher(seed [16]byte) dirHasher {
	var h dirHasher
	if seed == ([16]byte{}) {
		h.seed = [4]uint32{0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476}
		return h
	}
	for i := range h.seed {
		h.seed[i] = binary.LittleEndian.Uint32(seed[4*i:])
	}
	return h
}

// hashEnd is the hash that readers take for the end of a directory; no name has it.
const hashEnd = 0x7FFFFFFF << 1

// hash returns the hash of a name, whose lowest bit is 0, and the one that
// orders names of equal hash.
func (h dirHasher) hash(name string) (major, minor uint32) {
	state := h.seed
	for start := 0; start < len(name); start += 4 * hashWords {
		mixHalfMD4(&state, hashInput(name[start:]))
	}
	major = state[1] &^ 1
	if major == hashEnd {
		major = (0x7FFFFFFF - 1) << 1
	}
	return major, state[2]
}

// hashWords is how many words one round of mixing takes.
const hashWords = 8

// hashInput packs the start of a name into words, padded with the length of
// all that is left of it. Characters above 0x7F count as negative.
func hashInput(name string) (words [hashWords]uint32) {
	pad := uint32(len(name)) | uint32(len(name))<<8
	pad |= pad << 16
	for i := range words {
		v := pad
		for _, c := range []byte(name[:min(4, len(name))]) {
			v = uint32(int32(int8(c))) + v<<8
		}
		name = name[min(4, len(name)):]
		words[i] = v
	}
	return words
}

// mixHalfMD4 runs three rounds of eight steps, half of those of MD4.
func mixHalfMD4(state *[4]uint32, in [hashWords]uint32) {
	a, b, c, d := state[0], state[1], state[2], state[3]
	for round := range halfMD4Rounds {
		r := halfMD4Round(round)
		for i, word := range r.order {
			a += r.f(b, c, d) + in[word] + r.add
			a, b, c, d = d, bits.RotateLeft32(a, r.shifts[i%4]), b, c
		}
	}
	state[0] += a
	state[1] += b
	state[2] += c
	state[3] += d
}

const halfMD4Rounds = 3

type md4Round struct {
	f      func(x, y, z uint32) uint32
	add    uint32
	order  [hashWords]int // of the input words
	shifts [4]int
}

func halfMD4Round(i int) md4Round {
	return [halfMD4Rounds]md4Round{{
		f:      func(x, y, z uint32) uint32 { return z ^ x&(y^z) },
		order:  [hashWords]int{0, 1, 2, 3, 4, 5, 6, 7},
		shifts: [4]int{3, 7, 11, 19},
	}, {
		f:      func(x, y, z uint32) uint32 { return x&y + (x^y)&z },
		add:    0x5A827999,
		order:  [hashWords]int{1, 3, 5, 7, 0, 2, 4, 6},
		shifts: [4]int{3, 5, 9, 13},
	}, {
		f:      func(x, y, z uint32) uint32 { return x ^ y ^ z },
		add:    0x6ED9EBA1,
		order:  [hashWords]int{3, 7, 2, 6, 1, 5, 0, 4},
		shifts: [4]int{3, 9, 11, 15},
	}}[i]
}
