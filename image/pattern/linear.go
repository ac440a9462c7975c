package pattern

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
)

// maxProgram bounds what package regexp is given, in instructions.
const maxProgram = 2000

// newLinear returns an expression for package regexp that means the same, or
// nil where there is none.
func newLinear(root *node, opening string) *linear {
	var b strings.Builder
	b.WriteString(opening)
	if !writeLinear(&b, root, true) {
		return nil
	}
	b.WriteByte(')')
	parsed, err := syntax.Parse(b.String(), syntax.Perl)
	if err != nil {
		return nil
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil || len(program.Inst) > maxProgram {
		return nil
	}
	re, err := regexp.Compile(b.String())
	if err != nil {
		return nil
	}
	return &linear{re, len(program.Inst)}
}

// writeLinear writes a node in the syntax of package regexp and reports whether
// that has the same meaning. last is true where nothing comes after the node.
func writeLinear(b *strings.Builder, n *node, last bool) bool {
	switch n.op {
	case opChar:
		return !n.fold && writeRange(b, runeRange{n.r, n.r})
	case opAny:
		if n.dotAll {
			b.WriteString(`(?s:.)`)
		} else {
			b.WriteString(`[^\n]`)
		}
		return true
	case opSet:
		return !n.fold && writeSet(b, n)
	case opCat:
		for i, sub := range n.subs {
			if !writeLinear(b, sub, last && i == len(n.subs)-1) {
				return false
			}
		}
		return true
	case opAlt:
		return writeAlternatives(b, n, last)
	case opGroup:
		b.WriteString("(?:")
		ok := writeLinear(b, n.subs[0], last)
		b.WriteByte(')')
		return ok
	case opRepeat:
		return writeRepeat(b, n)
	case opTextStart:
		b.WriteString(`\A`)
		return true
	case opTextEnd:
		b.WriteString(`\z`)
		return true
	case opLastLine:
		b.WriteString(`\n?\z`) // takes the newline, which nothing comes after
		return last
	}
	return false
}

func writeAlternatives(b *strings.Builder, n *node, last bool) bool {
	b.WriteString("(?:")
	for i, sub := range n.subs {
		if i > 0 {
			b.WriteByte('|')
		}
		if !writeLinear(b, sub, last) {
			return false
		}
	}
	b.WriteByte(')')
	return true
}

func writeRepeat(b *strings.Builder, n *node) bool {
	if n.mode == possessive {
		return false
	}
	b.WriteString("(?:")
	if !writeLinear(b, n.subs[0], false) {
		return false
	}
	if n.max == unlimited {
		fmt.Fprintf(b, "){%d,}", n.min)
	} else {
		fmt.Fprintf(b, "){%d,%d}", n.min, n.max)
	}
	return true
}

func writeSet(b *strings.Builder, n *node) bool {
	b.WriteByte('[')
	if n.set.negate {
		b.WriteByte('^')
	}
	for _, r := range n.set.ranges {
		if !writeRange(b, r) {
			return false
		}
	}
	for _, c := range n.set.classes {
		if c.negate {
			return false
		}
		b.WriteString(classRanges(c.name, n.ascii))
	}
	b.WriteByte(']')
	return len(n.set.ranges)+len(n.set.classes) > 0
}

// classRanges returns what is in a class, to stand between brackets.
func classRanges(name rune, ascii bool) string {
	switch {
	case name == 'd' && ascii:
		return `0-9`
	case name == 'd':
		return `\p{Nd}`
	case name == 's' && ascii:
		return ` \t-\r`
	case name == 's':
		return ` \t-\r\x{1c}-\x{1f}\x{85}\x{a0}\p{Z}`
	case ascii:
		return `0-9A-Za-z_`
	}
	return `_\p{L}\p{N}`
}

// writeRange writes one character or a range, escaped. Package regexp takes a
// byte that is not UTF-8 for U+FFFD; what goes beyond the surrogates could tell
// the two apart.
func writeRange(b *strings.Builder, r runeRange) bool {
	if r.high >= 0xd800 {
		return false
	}
	fmt.Fprintf(b, `\x{%x}`, r.low)
	if r.high != r.low {
		fmt.Fprintf(b, `-\x{%x}`, r.high)
	}
	return true
}
