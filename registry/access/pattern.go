package access

import (
	"fmt"
	"strings"
)

// glob matches text in which * is any text.
type glob string

func (g glob) match(s string) bool {
	return matchStars([]byte(g), []byte(s), func(b byte) bool { return b == '*' }, func(p, s byte) bool { return p == s })
}

// pattern matches names of repositories part by part.
type pattern []glob

func parsePattern(text string) (pattern, error) {
	var p pattern
	for part := range strings.SplitSeq(text, "/") {
		if part == "" || part != everything && strings.Contains(part, everything) {
			return nil, fmt.Errorf("repository pattern %q: expected parts between single slashes, in which * is any text, or ** alone", text)
		}
		p = append(p, glob(part))
	}
	return p, nil
}

// match says whether the pattern is of a repository; empty is all of them.
func (p pattern) match(repository string) bool {
	if repository == "" {
		return len(p) == 1 && p[0] == everything
	}
	parts := make([]glob, 0, 8)
	for part := range strings.SplitSeq(repository, "/") {
		parts = append(parts, glob(part))
	}
	return matchStars(p, parts, func(g glob) bool { return g == everything }, func(p, part glob) bool { return p.match(string(part)) })
}

// matchStars matches a pattern whose stars are any number of elements. It goes
// back to the last star only, so it takes len(p)×len(s) steps at most.
func matchStars[T any](p, s []T, star func(T) bool, equal func(p, s T) bool) bool {
	i, j := 0, 0
	back, from := -1, 0 // behind the last star, and where it stopped
	for j < len(s) {
		switch {
		case i < len(p) && star(p[i]):
			i++
			back, from = i, j
		case i < len(p) && equal(p[i], s[j]):
			i++
			j++
		case back >= 0:
			from++
			i, j = back, from
		default:
			return false
		}
	}
	for i < len(p) && star(p[i]) {
		i++
	}
	return i == len(p)
}
