package pattern

import "unicode"

// sameLetter reports whether two characters differ only in case, as Python's
// IGNORECASE sees it: they have the same lower case, or lower cases with the
// same upper case.
func sameLetter(a, b rune, ascii bool) bool {
	if ascii {
		return lowerASCII(a) == lowerASCII(b)
	}
	a, b = unicode.ToLower(a), unicode.ToLower(b)
	return a == b || unicode.ToUpper(a) == unicode.ToUpper(b) || fullUpper[a] != 0 && fullUpper[a] == fullUpper[b]
}

// fullUpper numbers the pairs of characters whose upper case is the same only
// as a string of several characters (Unicode's SpecialCasing.txt).
var fullUpper = map[rune]int{
	0x390: 1, 0x1fd3: 1,
	0x3b0: 2, 0x1fe3: 2,
	0xfb05: 3, 0xfb06: 3,
}

func lowerASCII(r rune) rune {
	if 'A' <= r && r <= 'Z' {
		return r + 'a' - 'A'
	}
	return r
}

// cases returns a character and all that differ from it only in case.
func cases(r rune, ascii bool) []rune {
	all := []rune{r}
	add := func(other rune) {
		if other != r && sameLetter(r, other, ascii) {
			all = append(all, other)
		}
	}
	add(unicode.ToLower(r))
	add(unicode.ToUpper(r))
	for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
		add(f)
	}
	// Dotted and dotless i are letters of i to Python, and fold to nothing else.
	for _, i := range []rune{'i', 'I', 0x130, 0x131} {
		add(i)
	}
	for other := range fullUpper {
		add(other)
	}
	return all
}
