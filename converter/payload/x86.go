package payload

import (
	"encoding/binary"
	"fmt"
	"io"
)

// x86Reader undoes the x86 filter of xz: programs compress better when the
// targets of their calls and jumps are absolute. It holds all of its content.
type x86Reader struct {
	source  io.Reader
	content []byte
	read    bool
}

func (x *x86Reader) Read(p []byte) (int, error) {
	if !x.read {
		content, err := io.ReadAll(io.LimitReader(x.source, xzMaxFiltered+1))
		if err != nil {
			return 0, err
		}
		if len(content) > xzMaxFiltered {
			return 0, fmt.Errorf("%w: a filtered block of more than %d bytes", ErrUnsupported, xzMaxFiltered)
		}
		unfilterX86(content)
		x.content, x.read = content, true
	}
	if len(x.content) == 0 {
		return 0, io.EOF
	}
	n := copy(p, x.content)
	x.content = x.content[n:]
	return n, nil
}

// A call (E8) or jump (E9) has its target in the four bytes after it. The filter
// takes those for real whose highest byte is 0 or FF, and remembers in a mask
// which of the three bytes before an opcode looked like an opcode too: such a
// byte may be part of a target, and its own target overlaps.
const (
	opcodeMask = 0xfe
	opcode     = 0xe8
	x86Length  = 5 // of an instruction
)

// overlapOK says for which masks an instruction may still be one, and overlapAt
// which byte of the target the overlap reaches, from its end.
var (
	overlapOK = [8]bool{true, true, true, false, true, false, false, false}
	overlapAt = [8]int{0, 1, 2, 2, 3, 3, 3, 3}
)

// farByte reports whether b can be the highest byte of a target.
func farByte(b byte) bool { return b == 0 || b == 0xff }

// unfilterX86 makes absolute targets relative again, in place. p begins at
// position 0.
func unfilterX86(p []byte) {
	var mask uint // of what came before, newest lowest
	last := -1    // the opcode before
	for i := 0; i+x86Length <= len(p); i++ {
		if p[i]&opcodeMask != opcode {
			continue
		}
		distance := i - last
		last = i
		if distance > 3 {
			mask = 0
		} else if mask = mask << (distance - 1) & 7; mask != 0 {
			if !overlapOK[mask] || farByte(p[i+4-overlapAt[mask]]) {
				mask = mask<<1 | 1
				continue
			}
		}
		if !farByte(p[i+4]) {
			mask = mask<<1 | 1
			continue
		}
		target := relativeTarget(binary.LittleEndian.Uint32(p[i+1:]), uint32(i+x86Length), mask)
		binary.LittleEndian.PutUint32(p[i+1:], target)
		i += x86Length - 1
		mask = 0
	}
}

// relativeTarget returns the target relative to the next instruction, sign-extended
// from 25 bits. Where an overlap would make it look like another one, the filter
// has changed those bits once more.
func relativeTarget(absolute, next uint32, mask uint) uint32 {
	relative := absolute - next
	for mask != 0 {
		bits := 8 * overlapAt[mask]
		if !farByte(byte(relative >> (24 - bits))) {
			break
		}
		relative = relative ^ (1<<(32-bits) - 1) - next
	}
	relative &= 1<<25 - 1
	return relative | -(relative >> 24 << 24)
}
