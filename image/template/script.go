package template

import (
	"bytes"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/dop251/goja/file"
)

// scriptName is what a template's script is called in stack traces.
const scriptName = "template"

// What stands around a template's code. The block lets a template declare
// variables of the names in scope. Everything is on the first line.
const (
	prologue = "(function(locals,args,dns,ip,manifest,env,include,__append,__escaped,__text){{"
	epilogue = "\n}})"
)

// script is the JavaScript of a template: an expression whose value is a function
// of the names in the prologue.
//
// As in EJS, code and text become statements with semicolons before them: an
// if without braces does not reach over text.
type script struct {
	source string
	// texts are what __text(n) prints. They never become JavaScript strings, so
	// their bytes need no encoding.
	texts [][]byte
	// marks say where code of the template begins, in ascending order.
	marks []mark
}

// mark says that what stands in the script from one offset on comes from the
// template's offset beside it.
type mark struct{ script, template int }

// newScript makes the script of a template. Its errors are of the type *syntaxError.
func newScript(template []byte) (*script, error) {
	segments, err := scan(template)
	if err != nil {
		return nil, err
	}
	s := new(script)
	b := bytes.NewBufferString(prologue)
	for _, segment := range segments {
		if segment.kind == text {
			s.marks = append(s.marks, mark{b.Len(), segment.offset})
			b.WriteString(";__text(" + strconv.Itoa(len(s.texts)) + ")\n")
			s.texts = append(s.texts, segment.bytes)
			continue
		}
		if at := invalidAt(segment.bytes); at >= 0 {
			return nil, &syntaxError{segment.offset + at, "the code in this tag is not UTF-8"}
		}
		s.addCode(b, segment)
	}
	s.marks = append(s.marks, mark{b.Len(), len(template)})
	b.WriteString(epilogue)
	s.source = b.String()
	return s, nil
}

// addCode adds a tag's code, character for character.
func (s *script) addCode(b *bytes.Buffer, segment segment) {
	before, body, after := ";", segment.bytes, "\n"
	switch segment.kind {
	case escaped:
		before, body, after = ";__escaped(", withoutSemicolon(body), ")\n"
	case raw:
		before, body, after = ";__append(", withoutSemicolon(body), ")\n"
	}
	b.WriteString(before)
	s.marks = append(s.marks, mark{b.Len(), segment.offset})
	b.Write(body)
	if bytes.LastIndex(body, []byte("//")) > bytes.LastIndexByte(body, '\n') {
		b.WriteByte('\n') // The comment must not take along what follows.
	}
	b.WriteString(after)
}

// withoutSemicolon returns an expression without the semicolon at its end.
func withoutSemicolon(body []byte) []byte {
	trimmed := bytes.TrimRight(body, " \t\r\n")
	return bytes.TrimSuffix(trimmed, []byte(";"))
}

// offset returns the place in the template of a place in the script. inCode is
// false for the script's end: what is wrong there was opened before.
func (s *script) offset(place file.Position) (offset int, inCode bool) {
	f := file.NewFile(scriptName, s.source, 1)
	at := sort.Search(len(s.source), func(i int) bool {
		p := f.Position(i)
		return p.Line > place.Line || p.Line == place.Line && p.Column >= place.Column
	})
	i := sort.Search(len(s.marks), func(i int) bool { return s.marks[i].script > at }) - 1
	if i < 0 {
		return 0, true
	}
	m := s.marks[i]
	if i == len(s.marks)-1 {
		return m.template, false
	}
	return min(m.template+at-m.script, s.marks[i+1].template), true
}

// invalidAt returns where b stops being UTF-8, or -1.
func invalidAt(b []byte) int {
	if utf8.Valid(b) {
		return -1
	}
	return strings.IndexFunc(string(b), func(r rune) bool { return r == utf8.RuneError })
}
