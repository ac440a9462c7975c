package pattern

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// controls are the escapes that name one character.
var controls = map[rune]rune{'a': '\a', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t', 'v': '\v', '\\': '\\'}

// escape reads what comes after a backslash, outside of a set.
func (p *parser) escape(f *flags) (*node, error) {
	r := p.peek()
	if n := p.assertion(r, f); n != nil {
		p.at++
		return n, nil
	}
	if c, ok := classOf(r); ok {
		p.at++
		return &node{op: opSet, set: p.classSet(c), ascii: p.isASCII(f), fold: false}, nil
	}
	if '1' <= r && r <= '9' {
		return p.numbered(f)
	}
	c, err := p.escapedChar()
	return p.char(c, f), err
}

func (p *parser) assertion(r rune, f *flags) *node {
	switch {
	case r == 'A' && p.dialect == Python:
		return &node{op: opTextStart}
	case r == 'Z' && p.dialect == Python:
		return &node{op: opTextEnd}
	case r == 'b', r == 'B':
		return &node{op: opWordBound, negate: r == 'B', ascii: p.isASCII(f)}
	}
	return nil
}

// classOf returns the class that a letter after a backslash means.
func classOf(r rune) (class, bool) {
	switch r {
	case 'd', 's', 'w':
		return class{name: r}, true
	case 'D', 'S', 'W':
		return class{name: unicode.ToLower(r), negate: true}, true
	}
	return class{}, false
}

// classSet returns a class as a set. ECMAScript's \s has more spaces than its
// other classes have characters: those of Unicode and U+FEFF.
func (p *parser) classSet(c class) *set {
	if p.dialect == ECMAScript && c.name == 's' {
		return &set{ranges: ecmaSpaces, negate: c.negate}
	}
	return &set{classes: []class{{name: c.name}}, negate: c.negate}
}

// ecmaSpaces are WhiteSpace and LineTerminator (ECMA-262, sections 12.2, 12.3).
var ecmaSpaces = []runeRange{
	{'\t', '\r'}, {' ', ' '}, {0xa0, 0xa0}, {0x1680, 0x1680}, {0x2000, 0x200a}, {0x2028, 0x2029},
	{0x202f, 0x202f}, {0x205f, 0x205f}, {0x3000, 0x3000}, {0xfeff, 0xfeff},
}

// numbered reads a back-reference, or a character in three octal digits.
func (p *parser) numbered(f *flags) (*node, error) {
	digits := p.digits(2, "0123456789")
	if len(digits) == 2 && isOctal(rune(digits[0])) && isOctal(rune(digits[1])) && isOctal(p.peek()) {
		c, err := octal(digits + string(p.get()))
		return p.char(c, f), err
	}
	number, err := strconv.Atoi(digits)
	if err != nil {
		return nil, err
	}
	return p.reference(number, f)
}

func isOctal(r rune) bool { return '0' <= r && r <= '7' }

func octal(digits string) (rune, error) {
	n, err := strconv.ParseUint(digits, 8, 16)
	if err != nil || n > 0o377 {
		return 0, fmt.Errorf("the octal escape \\%s is outside of 0-0o377", digits)
	}
	return rune(n), nil
}

// digits reads at most some characters out of an alphabet.
func (p *parser) digits(most int, alphabet string) string {
	start := p.at
	for p.at < len(p.text) && p.at-start < most && strings.ContainsRune(alphabet, p.text[p.at]) {
		p.at++
	}
	return string(p.text[start:p.at])
}

// escapedChar reads what comes after a backslash where it means one character.
func (p *parser) escapedChar() (rune, error) {
	r := p.get()
	if c, ok := controls[r]; ok && (r != 'a' || p.dialect == Python) {
		return c, nil
	}
	switch {
	case r < 0:
		return 0, errors.New("a backslash at the end")
	case r == 'x':
		return p.hex(2)
	case r == 'u' && p.dialect == ECMAScript && p.accept("{"):
		c, err := p.hexDigits(p.digits(6, hexDigits))
		if err == nil && !p.accept("}") {
			err = errors.New("expected }")
		}
		return c, err
	case r == 'u':
		return p.hex(4)
	case r == 'U' && p.dialect == Python:
		return p.hex(8)
	case r == '0':
		return octal("0" + p.digits(2, "01234567"))
	case 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9':
		return 0, fmt.Errorf("bad escape \\%c", r)
	}
	return r, nil
}

const hexDigits = "0123456789abcdefABCDEF"

func (p *parser) hex(length int) (rune, error) {
	digits := p.digits(length, hexDigits)
	if len(digits) != length {
		return 0, fmt.Errorf("expected %d hexadecimal digits", length)
	}
	return p.hexDigits(digits)
}

func (p *parser) hexDigits(digits string) (rune, error) {
	n, err := strconv.ParseUint(digits, 16, 32)
	if err != nil || n > unicode.MaxRune {
		return 0, fmt.Errorf("%q is not the number of a character", digits)
	}
	return rune(n), nil
}

// set reads what comes after an opening bracket.
func (p *parser) set(f *flags) (*node, error) {
	s := &set{negate: p.accept("^")}
	for first := true; ; first = false {
		if p.peek() == ']' && (!first || p.dialect == ECMAScript) {
			p.at++
			return &node{op: opSet, set: s, fold: f.fold, ascii: p.isASCII(f)}, nil
		}
		if err := p.setMember(s); err != nil {
			return nil, err
		}
	}
}

// setMember reads a character, a class or a range into a set.
func (p *parser) setMember(s *set) error {
	low, isClass, err := p.setChar(s)
	if err != nil || p.peek() != '-' {
		return p.addTo(s, low, low, isClass, err)
	}
	p.at++
	if p.peek() == ']' { // a hyphen at the end is a hyphen
		p.at--
		return p.addTo(s, low, low, isClass, nil)
	}
	high, alsoClass, err := p.setChar(s)
	if err != nil {
		return err
	}
	if isClass || alsoClass || high < low {
		return errors.New("bad character range")
	}
	return p.addTo(s, low, high, false, nil)
}

func (p *parser) addTo(s *set, low, high rune, isClass bool, err error) error {
	if err == nil && !isClass {
		s.ranges = append(s.ranges, runeRange{low, high})
	}
	return err
}

// setChar reads one member of a set. A class goes into the set at once.
func (p *parser) setChar(s *set) (r rune, isClass bool, err error) {
	r = p.get()
	if r < 0 {
		return 0, false, errors.New("unterminated character set")
	}
	if r != '\\' {
		return r, false, nil
	}
	if c, ok := classOf(p.peek()); ok {
		p.at++
		return 0, true, p.addClass(s, c)
	}
	if p.accept("b") {
		return '\b', false, nil
	}
	if isOctal(p.peek()) {
		r, err = octal(p.digits(3, "01234567"))
		return r, false, err
	}
	r, err = p.escapedChar()
	return r, false, err
}

func (p *parser) addClass(s *set, c class) error {
	if p.dialect == ECMAScript && c.name == 's' {
		if c.negate {
			return errors.New("\\S in a set is not supported: negate the set")
		}
		s.ranges = append(s.ranges, ecmaSpaces...)
		return nil
	}
	s.classes = append(s.classes, c)
	return nil
}
