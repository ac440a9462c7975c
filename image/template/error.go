package template

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// Why a template could not be rendered: the Reason of an [Error].
var (
	// ErrSyntax: a tag that is not closed, or code that is not JavaScript.
	ErrSyntax = errors.New("syntax error")
	// ErrThrown: the code threw a value that it did not catch.
	ErrThrown = errors.New("the template failed")
	// ErrTime: [Limits.Time] or [Limits.CPU] was used up.
	ErrTime = errors.New("the template took too long")
	// ErrMemory: more than [Limits.Memory].
	ErrMemory = errors.New("the template used too much memory")
	// ErrDepth: calls nested deeper than [Limits.Depth].
	ErrDepth = errors.New("the template nests too deeply")
	// ErrOutput: more than [Limits.Output] or [Limits.TotalOutput].
	ErrOutput = errors.New("the template printed too much")
	// ErrTooLarge: what was to be rendered is more than the limits allow.
	ErrTooLarge = errors.New("too large")
)

// reasons are the reasons that a child can name, by the number it sends.
var reasons = [...]error{ErrSyntax, ErrThrown, ErrTime, ErrMemory, ErrDepth, ErrOutput}

// Bounds of what an error shows, in bytes.
const (
	maxMessage = 256
	maxSource  = 160
)

// Error says which template could not be rendered, where and why. It is the
// template's fault, or that of the values in scope. It shows text of the template
// and of what the template threw, which can hold values in scope; see
// [Scope.Secrets]. Both are bounded, and without control characters.
type Error struct {
	// Path is that of the template.
	Path string
	// Line is the line of the template, counted from 1 and ended by line feeds;
	// 0 if it is not known.
	Line int
	// Source is that line, without the blanks around it.
	Source string
	// Reason is one of the errors above.
	Reason error
	// Message says more.
	Message string
}

func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "template %s", e.Path)
	if e.Line > 0 {
		fmt.Fprintf(&b, ", line %d", e.Line)
	}
	fmt.Fprintf(&b, ": %v", e.Reason)
	if e.Message != "" {
		fmt.Fprintf(&b, ": %s", e.Message)
	}
	if e.Source != "" {
		fmt.Fprintf(&b, " (in: %s)", e.Source)
	}
	return b.String()
}

// Unwrap returns the reason.
func (e *Error) Unwrap() error { return e.Reason }

// lineAt returns the number and the text of the line that holds an offset. An
// offset in the white space at the end belongs to the last line before it.
func lineAt(text []byte, offset int) (int, string) {
	s := string(text)
	offset = min(offset, len(strings.TrimRight(s, " \t\r\n")))
	line := strings.Count(s[:offset], "\n") + 1
	start := strings.LastIndexByte(s[:offset], '\n') + 1
	source, _, _ := strings.Cut(s[start:], "\n")
	return line, printable(strings.TrimSpace(source), maxSource)
}

// printable returns s without control characters and invalid bytes, cut to limit
// bytes.
func printable(s string, limit int) string {
	const ellipsis = "…"
	s = strings.Map(func(r rune) rune {
		switch {
		case r == utf8.RuneError:
			return '?'
		case r < ' ', r >= 0x7f && r < 0xa0, r == '\u2028', r == '\u2029', isBidiControl(r):
			return ' '
		}
		return r
	}, s)
	if len(s) <= limit {
		return s
	}
	cut := limit - len(ellipsis)
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + ellipsis
}

// isBidiControl tells the characters that reorder what a terminal shows.
func isBidiControl(r rune) bool {
	return r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069'
}

// minSecretRun is the shortest part of a secret, in bytes, that is taken for one.
const minSecretRun = 4

// redact puts asterisks where a run of a secret's bytes stands in s.
func redact(s string, secrets []string) string {
	masked := []byte(s)
	for _, secret := range secrets {
		n := min(len(secret), minSecretRun)
		for i := 0; n > 0 && i+n <= len(s); i++ {
			if strings.Contains(secret, s[i:i+n]) {
				copy(masked[i:], "****"[:n])
			}
		}
	}
	return string(masked)
}
