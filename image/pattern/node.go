package pattern

import "unicode"

type op int

const (
	opChar      op = iota // the character r
	opAny                 // any character but a newline; with dotAll, any
	opSet                 // one of set
	opCat                 // subs, one after the other
	opAlt                 // one of subs
	opRepeat              // subs[0], min to max times
	opGroup               // subs[0], captured as group
	opAtomic              // subs[0], never backtracked into
	opLook                // subs[0] matches here; with behind, what ends here; with negate, does not
	opBackref             // what group captured
	opCond                // subs[0] where group took part, else subs[1]
	opTextStart           // before the first character
	opTextEnd             // after the last character
	opLastLine            // after the last character, or before a newline that is the last
	opLineStart           // after a newline or at the start
	opLineEnd             // before a newline or at the end
	opWordBound           // between \w and \W; with negate, elsewhere
)

type repeatMode int

const (
	greedy repeatMode = iota
	lazy
	possessive
)

// unlimited is the max of a repeat without one.
const unlimited = int(^uint(0) >> 1)

// node is a part of an expression.
type node struct {
	op       op
	r        rune
	set      *set
	subs     []*node
	min, max int
	mode     repeatMode
	group    int
	negate   bool
	behind   bool
	dotAll   bool
	fold     bool // letters match in either case
	ascii    bool // character classes and cases are those of ASCII
}

// isAssertion reports whether a node is one of Python's AT codes, which cannot
// be repeated.
func (n *node) isAssertion() bool { return n.op >= opTextStart }

// isSingle reports whether a node always takes one character.
func (n *node) isSingle() bool { return n.op == opChar || n.op == opAny || n.op == opSet }

// flatten returns a node without sequences in sequences and sequences of one.
func (n *node) flatten() *node {
	var subs []*node
	for _, sub := range n.subs {
		if sub = sub.flatten(); n.op == opCat && sub.op == opCat {
			subs = append(subs, sub.subs...)
		} else {
			subs = append(subs, sub)
		}
	}
	n.subs = subs
	if n.op == opCat && len(subs) == 1 {
		return subs[0]
	}
	return n
}

// width returns how many characters a node takes at least and at most.
func (n *node) width(groups []*node) (least, most int) {
	switch n.op {
	case opChar, opAny, opSet:
		return 1, 1
	case opCat:
		for _, sub := range n.subs {
			l, m := sub.width(groups)
			least, most = saturate(least+l), addWidth(most, m)
		}
		return least, most
	case opAlt, opCond:
		least = unlimited
		for _, sub := range n.subs {
			l, m := sub.width(groups)
			least, most = min(least, l), max(most, m)
		}
		return least, most
	case opRepeat:
		l, m := n.subs[0].width(groups)
		return saturate(l * min(n.min, maxWidth)), mulWidth(m, n.max)
	case opGroup, opAtomic:
		return n.subs[0].width(groups)
	case opBackref:
		if g := groups[n.group]; g != nil {
			return g.width(groups)
		}
	}
	return 0, 0
}

// maxWidth is more than any expression or path is long, and small enough that
// the product of two fits.
const maxWidth = 1 << 30

func saturate(w int) int { return min(w, maxWidth) }

func addWidth(a, b int) int {
	if a == unlimited || b == unlimited {
		return unlimited
	}
	return saturate(a + b)
}

func mulWidth(a, b int) int {
	switch {
	case a == 0 || b == 0:
		return 0
	case a == unlimited || b == unlimited:
		return unlimited
	}
	return saturate(min(a, maxWidth) * min(b, maxWidth))
}

// class is a character class: \d, \s or \w, or what is not in it.
type class struct {
	name   rune // d, s or w
	negate bool
}

func (c class) contains(r rune, ascii bool) bool {
	var in bool
	switch c.name {
	case 'd':
		in = '0' <= r && r <= '9' || !ascii && unicode.IsDigit(r)
	case 's':
		in = isSpace(r, ascii)
	default:
		in = isWord(r, ascii)
	}
	return in != c.negate
}

func isWord(r rune, ascii bool) bool {
	if r < 0x80 || ascii {
		return r == '_' || '0' <= r && r <= '9' || 'A' <= r && r <= 'Z' || 'a' <= r && r <= 'z'
	}
	return unicode.IsLetter(r) || unicode.IsNumber(r)
}

func isSpace(r rune, ascii bool) bool {
	if r == ' ' || '\t' <= r && r <= '\r' {
		return true
	}
	// The separators of ASCII are spaces to Python's str.isspace.
	return !ascii && (0x1c <= r && r <= 0x1f || unicode.IsSpace(r))
}

type runeRange struct{ low, high rune }

// set is a set of characters, as between brackets.
type set struct {
	ranges  []runeRange
	classes []class
	negate  bool
}

func (s *set) has(r rune, ascii bool) bool {
	for _, x := range s.ranges {
		if x.low <= r && r <= x.high {
			return true
		}
	}
	for _, c := range s.classes {
		if c.contains(r, ascii) {
			return true
		}
	}
	return false
}

// matches reports whether a node that takes one character takes r.
func (n *node) matches(r rune) bool {
	switch n.op {
	case opAny:
		return n.dotAll || r != '\n'
	case opChar:
		return n.r == r || n.fold && sameLetter(n.r, r, n.ascii)
	}
	if !n.fold {
		return n.set.has(r, n.ascii) != n.set.negate
	}
	for _, other := range cases(r, n.ascii) {
		if n.set.has(other, n.ascii) {
			return !n.set.negate
		}
	}
	return n.set.negate
}
