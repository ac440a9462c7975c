package template

import (
	"bytes"
	"fmt"
)

// kind is what a segment of a template does.
type kind int

const (
	text    kind = iota // printed as it stands
	code                // <% … %>: run
	escaped             // <%= … %>: run, printed as String() has it
	raw                 // <%- … %>: run, printed as "" + has it
)

// segment is a part of a template. Comments make none.
type segment struct {
	kind kind
	// offset is where its bytes begin in the template.
	offset int
	// bytes are the text to print, or the code between the tag's delimiters. They
	// are a part of the template, except in the literals <%% and %%>.
	bytes []byte
}

// syntaxError is a fault of a template at an offset.
type syntaxError struct {
	offset  int
	message string
}

func (e *syntaxError) Error() string { return e.message }

// The delimiters of literals, and what they print.
var (
	literalOpen  = []byte("<%%")
	literalClose = []byte("%%>")
	open         = literalOpen[:2]
	closing      = literalClose[1:]
)

// scan cuts a template into segments. Its errors are of the type *syntaxError.
func scan(template []byte) ([]segment, error) {
	s := scanner{template: template}
	for s.at < len(template) {
		if err := s.next(); err != nil {
			return nil, err
		}
	}
	return s.segments, nil
}

type scanner struct {
	template []byte
	at       int
	segments []segment
}

// next reads the text up to the next delimiter, and the literal or the tag there.
func (s *scanner) next() error {
	rest := s.template[s.at:]
	end := firstIndex(rest, literalClose)
	if end < 0 {
		s.add(text, rest)
		return nil
	}
	found := rest[end:]
	switch {
	case bytes.HasPrefix(found, literalClose):
		s.addLiteral(end, closing)
		return nil
	case bytes.HasPrefix(found, literalOpen):
		s.addLiteral(end, open)
		return nil
	}
	before := rest[:end]
	if bytes.HasPrefix(found, []byte("<%_")) {
		before = bytes.TrimRight(before, " \t")
	}
	s.add(text, before)
	s.at += end - len(before)
	return s.tag()
}

// addLiteral adds the text before a literal, and what the literal prints.
func (s *scanner) addLiteral(end int, prints []byte) {
	s.add(text, s.template[s.at:s.at+end])
	s.segments = append(s.segments, segment{text, s.at, prints})
	s.at += len(literalOpen)
}

// add adds a segment of bytes that begin here, and steps over them.
func (s *scanner) add(k kind, b []byte) {
	if len(b) > 0 {
		s.segments = append(s.segments, segment{k, s.at, b})
	}
	s.at += len(b)
}

// tag reads a tag, and the line end or the blanks after it that it takes along.
func (s *scanner) tag() error {
	start := s.at
	s.at += len(open)
	k, comment := s.mode()
	rest := s.template[s.at:]
	end := firstIndex(rest, closing)
	if end < 0 || !bytes.HasPrefix(rest[end:], closing) || end > 0 && rest[end-1] == '%' {
		return unclosed(s.template, start, s.at+end, end < 0)
	}
	body, trim := rest[:end], byte(0)
	if end > 0 && (rest[end-1] == '-' || rest[end-1] == '_') {
		body, trim = rest[:end-1], rest[end-1]
	}
	if comment {
		s.at += len(body)
	} else {
		s.add(k, body)
	}
	if trim != 0 {
		s.at++
	}
	s.at += len(closing)
	s.trim(trim)
	return nil
}

// mode reads the character that says what a tag does.
func (s *scanner) mode() (k kind, comment bool) {
	if s.at == len(s.template) {
		return code, false
	}
	switch s.template[s.at] {
	case '=':
		k = escaped
	case '-':
		k = raw
	case '_', '#':
		k = code
	default:
		return code, false
	}
	s.at++
	return k, s.template[s.at-1] == '#'
}

// trim steps over what -%> and _%> remove: one line end, and for _%> the blanks
// before it.
func (s *scanner) trim(by byte) {
	rest := s.template[s.at:]
	switch by {
	case '_':
		rest = bytes.TrimLeft(rest, " \t")
	case '-':
	default:
		return
	}
	for _, end := range []string{"\r\n", "\r", "\n"} {
		if after, ok := bytes.CutPrefix(rest, []byte(end)); ok {
			rest = after
			break
		}
	}
	s.at = len(s.template) - len(rest)
}

// unclosed describes a tag that begins at start and meets its end or another
// delimiter at found.
func unclosed(template []byte, start, found int, end bool) error {
	if end {
		return &syntaxError{start, "this tag is not closed: expected %>, found the end of the template"}
	}
	if bytes.HasPrefix(template[found:], closing) {
		return &syntaxError{start, "%%> stands in a tag: expected %> at the tag's end"}
	}
	line, _ := lineAt(template, found)
	return &syntaxError{start, fmt.Sprintf("this tag is not closed: expected %%>, found another <%% in line %d", line)}
}

// firstIndex returns the place of the first <% or other, which begins with a
// percent sign, or -1.
func firstIndex(b, other []byte) int {
	for i := 0; ; i++ {
		next := bytes.IndexByte(b[i:], '%')
		if next < 0 {
			return -1
		}
		i += next
		if i > 0 && b[i-1] == '<' {
			return i - 1
		}
		if bytes.HasPrefix(b[i:], other) {
			return i
		}
	}
}
