package pattern

import (
	"errors"
	"fmt"
	"strings"
)

// flagGroup reads (?flags), which holds for the whole expression, or
// (?flags-flags:...), which holds within.
func (p *parser) flagGroup(f *flags, first bool) (*node, error) {
	changed := *f
	on, err := p.flagLetters("aimsux", &changed, true)
	if err != nil {
		return nil, err
	}
	switch {
	case strings.Contains(on, "a") && strings.Contains(on, "u"):
		return nil, errors.New("the flags a and u exclude each other")
	case on != "" && p.accept(")"):
		if !first {
			return nil, errors.New("flags for the whole expression are not at its start")
		}
		*f = changed
		return nil, nil
	case p.accept("-"):
		off, err := p.flagLetters("imsx", &changed, false)
		if err != nil {
			return nil, err
		}
		if off == "" || strings.ContainsAny(on, off) {
			return nil, errors.New("expected flags after -, other than those before it")
		}
	case on == "":
		return nil, fmt.Errorf("unknown extension (?%c", p.peek())
	}
	if !p.accept(":") {
		return nil, errors.New("expected : or ) after flags")
	}
	return p.inside(&node{op: opCat}, &changed)
}

// flagLetters reads flags and sets them.
func (p *parser) flagLetters(allowed string, f *flags, value bool) (string, error) {
	var letters strings.Builder
	for r := p.peek(); 'a' <= r && r <= 'z' || r == 'L'; r = p.peek() {
		if !strings.ContainsRune(allowed, r) {
			return "", fmt.Errorf("unknown or unsupported flag %q", r)
		}
		p.at++
		letters.WriteRune(r)
		f.set(r, value)
	}
	return letters.String(), nil
}

func (f *flags) set(letter rune, value bool) {
	switch letter {
	case 'a':
		f.ascii = value
	case 'u':
		f.ascii = !value
	case 'i':
		f.fold = value
	case 'm':
		f.multiline = value
	case 's':
		f.dotAll = value
	case 'x':
		f.verbose = value
	}
}
