package cloudlet

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Problem is one thing that is wrong with a document.
type Problem struct {
	// Pointer says where: a JSON pointer (RFC 6901), "" for the document.
	Pointer string `json:"pointer"`
	// Value is what was found there, as JSON, shortened. It is empty where
	// nothing was found, and where a secret could be in it.
	Value string `json:"value,omitempty"`
	// Rule says what was expected.
	Rule string `json:"rule"`
	// Advice says what to do, where the rule alone does not.
	Advice string `json:"advice,omitempty"`
}

func (p Problem) String() string {
	var b strings.Builder
	b.WriteString(cmpOr(p.Pointer, "(document)"))
	b.WriteString(": ")
	if p.Value != "" {
		fmt.Fprintf(&b, "found %s: ", p.Value)
	}
	b.WriteString(p.Rule)
	if p.Advice != "" {
		b.WriteString("; " + p.Advice)
	}
	return b.String()
}

func cmpOr(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// Problems is all that is wrong with a document: an error, unless it is empty.
type Problems []Problem //nolint:errname // its elements are no errors

// maxProblems is how many problems are told of one document.
const maxProblems = 100

func (p Problems) Error() string {
	lines := make([]string, 0, len(p))
	for _, problem := range p {
		lines = append(lines, problem.String())
	}
	return strings.Join(lines, "\n")
}

// orNil returns the problems as an error, sorted by place, without those told
// twice.
func (p Problems) orNil() error {
	if len(p) == 0 {
		return nil
	}
	slices.SortStableFunc(p, func(a, b Problem) int {
		if c := strings.Compare(a.Pointer, b.Pointer); c != 0 {
			return c
		}
		return strings.Compare(a.Rule, b.Rule)
	})
	p = slices.Compact(p)
	if len(p) > maxProblems {
		more := len(p) - maxProblems
		p = append(p[:maxProblems:maxProblems], Problem{Rule: fmt.Sprintf("there are %d problems more", more)})
	}
	return p
}

func (p *Problems) add(pointer string, value any, rule string, args ...any) {
	*p = append(*p, Problem{Pointer: pointer, Value: show(value), Rule: fmt.Sprintf(rule, args...)})
}

// maxShown is how much of a value a problem shows, in bytes.
const maxShown = 80

// show returns a value as short JSON; nothing for nil.
func show(value any) string {
	if value == nil {
		return ""
	}
	raw, err := marshal(value)
	if err != nil {
		return ""
	}
	text := string(raw)
	if len(text) <= maxShown {
		return text
	}
	text = text[:maxShown]
	for !utf8.ValidString(text) {
		text = text[:len(text)-1]
	}
	return text + "..."
}

// pointer returns the JSON pointer of a path of keys (RFC 6901, section 3).
func pointer(keys []string) string {
	var b strings.Builder
	for _, key := range keys {
		b.WriteByte('/')
		b.WriteString(escapeKey(key))
	}
	return b.String()
}

func escapeKey(key string) string {
	return strings.ReplaceAll(strings.ReplaceAll(key, "~", "~0"), "/", "~1")
}

// null is the value of a problem whose value is JSON's null.
var null = json.RawMessage("null")
