package registry

import (
	"strconv"
	"strings"
)

// span is a run of bytes, both ends included, as HTTP counts.
type span struct {
	first, last int64
}

func (s span) length() int64 { return s.last - s.first + 1 }

// rangeOutcome is what a Range header comes to.
type rangeOutcome int

const (
	rangeNone          rangeOutcome = iota // answer with all bytes
	rangePartial                           // answer with the span
	rangeUnsatisfiable                     // answer 416
)

// parseRange reads a Range header for content of size bytes (RFC 9110, section
// 14.2). Several ranges, and units other than bytes, are answered with all
// bytes, as the RFC allows. A range that ends before it begins is taken for
// unsatisfiable, as the specification's conformance suite wants it.
func parseRange(header string, size int64) (span, rangeOutcome) {
	text, ok := strings.CutPrefix(header, "bytes=")
	if !ok || strings.ContainsRune(text, ',') {
		return span{}, rangeNone
	}
	first, last, ok := strings.Cut(strings.TrimSpace(text), "-")
	if !ok {
		return span{}, rangeNone
	}
	if first == "" {
		return suffixRange(last, size)
	}
	from, ok := parseOffset(first)
	if !ok {
		return span{}, rangeNone
	}
	to := size - 1
	if last != "" {
		end, ok := parseOffset(last)
		if !ok {
			return span{}, rangeNone
		}
		if end < from {
			return span{}, rangeUnsatisfiable
		}
		to = min(to, end)
	}
	if from >= size {
		return span{}, rangeUnsatisfiable
	}
	return span{from, to}, rangePartial
}

// suffixRange is the last n bytes.
func suffixRange(text string, size int64) (span, rangeOutcome) {
	n, ok := parseOffset(text)
	if !ok {
		return span{}, rangeNone
	}
	if n == 0 || size == 0 {
		return span{}, rangeUnsatisfiable
	}
	return span{size - min(n, size), size - 1}, rangePartial
}

// parseContentRange reads the Content-Range header of a chunk: "first-last", as
// the specification has it, or "bytes first-last/total", as RFC 9110 has it.
func parseContentRange(header string) (span, error) {
	text := strings.TrimPrefix(header, "bytes ")
	text, _, _ = strings.Cut(text, "/")
	first, last, ok := strings.Cut(text, "-")
	if ok {
		from, ok1 := parseOffset(first)
		to, ok2 := parseOffset(last)
		if ok1 && ok2 && from <= to {
			return span{from, to}, nil
		}
	}
	return span{}, uploadInvalid(`the Content-Range %q is not valid: expected "first-last", the offsets of the chunk's first and last byte`, header)
}

// maxDigits keeps any number that parseOffset accepts within an int64.
const maxDigits = 18

// parseOffset reads a number that is nothing but digits.
func parseOffset(s string) (int64, bool) {
	if s == "" || len(s) > maxDigits {
		return 0, false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}
