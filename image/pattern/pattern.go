package pattern

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// Dialect is whose expressions are meant.
type Dialect int

const (
	// Python is the dialect of Python 3.11's module re, for str.
	Python Dialect = iota
	// ECMAScript is the dialect of JSON schemas: ECMA-262 with the flag u, of
	// which the syntax that both dialects share is taken.
	ECMAScript
)

// MaxLength bounds an expression, in bytes.
const MaxLength = 4096

// Pattern is a compiled expression. Any number of goroutines may use it.
type Pattern struct {
	expr   string
	root   *node
	groups int // with group 0, which is the whole match
	prefix string
	linear *linear // nil where only backtracking tells
	first  *linear // the same, for a match that begins anywhere
}

// linear is an expression for package regexp.
type linear struct {
	re   *regexp.Regexp
	cost int // instructions
}

// Compile reads an expression. The error says what is wrong and where.
func Compile(expr string, d Dialect) (*Pattern, error) {
	if len(expr) > MaxLength {
		return nil, fmt.Errorf("the expression has %d bytes, at most %d are taken", len(expr), MaxLength)
	}
	if !utf8.ValidString(expr) {
		return nil, fmt.Errorf("the expression %q is not UTF-8", expr)
	}
	root, groups, err := parse(expr, d)
	if err != nil {
		return nil, fmt.Errorf("the expression %q: %w", expr, err)
	}
	p := &Pattern{expr: expr, root: root, groups: groups, prefix: literalPrefix(root)}
	p.linear, p.first = newLinear(root, `\A(?:`), newLinear(root, `(?:`)
	return p, nil
}

// String returns the expression as it was given.
func (p *Pattern) String() string { return p.expr }

// MatchPrefix reports whether the expression matches at the start of a text, as
// Python's re.match does. A byte of the text that is not UTF-8 is a character
// of its own.
func (p *Pattern) MatchPrefix(text string, b *Budget) (bool, error) {
	if !strings.HasPrefix(text, p.prefix) {
		return false, p.check(b.take(1), text)
	}
	if p.linear != nil {
		return p.linear.match(p, text, b)
	}
	m := p.matcher(text, b)
	_, ok := m.once(p.root, 0)
	return ok, p.check(!m.failed, text)
}

// Search reports whether the expression matches anywhere in a text, as Python's
// re.search and the keyword pattern of JSON schemas do.
func (p *Pattern) Search(text string, b *Budget) (bool, error) {
	if p.first != nil {
		return p.first.match(p, text, b)
	}
	m := p.matcher(text, b)
	for i := 0; i <= len(m.text); i++ {
		if _, ok := m.once(p.root, i); ok || m.failed {
			return ok, p.check(!m.failed, text)
		}
		m.reset()
	}
	return false, nil
}

func (l *linear) match(p *Pattern, text string, b *Budget) (bool, error) {
	// Each character visits every instruction at worst, and few of them mostly.
	if err := p.check(b.take(1+l.cost*(len(text)+1)/8), text); err != nil {
		return false, err
	}
	return l.re.MatchString(text), nil
}

func (p *Pattern) check(enough bool, text string) error {
	if enough {
		return nil
	}
	const shown = 80
	if len(text) > shown {
		text = text[:shown] + "..."
	}
	return fmt.Errorf("match %q with the expression %q: %w: write it without repeats in repeats", text, p.expr, ErrTooMuchWork)
}

func (p *Pattern) matcher(text string, b *Budget) *matcher {
	m := &matcher{text: decode(text), captures: make([]capture, p.groups), budget: b}
	m.reset()
	return m
}

func (m *matcher) reset() {
	for i := range m.captures {
		m.captures[i] = capture{-1, -1}
	}
}

// decode returns the characters of a text. A byte that is no character becomes
// a lone surrogate, as in Python's surrogateescape (PEP 383).
func decode(text string) []rune {
	runes := make([]rune, 0, len(text))
	for len(text) > 0 {
		r, n := utf8.DecodeRuneInString(text)
		if r == utf8.RuneError && n == 1 {
			r = 0xdc00 + rune(text[0])
		}
		runes, text = append(runes, r), text[n:]
	}
	return runes
}

// literalPrefix returns what every match begins with.
func literalPrefix(n *node) string {
	if n.op != opCat {
		n = &node{op: opCat, subs: []*node{n}}
	}
	var b strings.Builder
	for i, sub := range n.subs {
		if i == 0 && sub.op == opTextStart {
			continue
		}
		if sub.op != opChar || sub.fold || sub.r >= utf8.RuneSelf && !utf8.ValidRune(sub.r) {
			break
		}
		b.WriteRune(sub.r)
	}
	return b.String()
}
