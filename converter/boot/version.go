package boot

import (
	"cmp"
	"strings"
)

// CompareVersions orders kernel versions as people read them: runs of digits as
// numbers, everything else bytewise, and "~" before all, even the end, so that
// 6.12~rc1 is older than 6.12 (as in Debian Policy, section 5.6.12).
func CompareVersions(a, b string) int {
	for a != "" || b != "" {
		var textA, textB, numberA, numberB string
		textA, a = cutRun(a, false)
		textB, b = cutRun(b, false)
		if c := compareTexts(textA, textB); c != 0 {
			return c
		}
		numberA, a = cutRun(a, true)
		numberB, b = cutRun(b, true)
		if c := compareNumbers(numberA, numberB); c != 0 {
			return c
		}
	}
	return 0
}

// cutRun returns the run of digits, or of other characters, that s starts with,
// and the rest.
func cutRun(s string, digits bool) (run, rest string) {
	end := strings.IndexFunc(s, func(r rune) bool { return (r >= '0' && r <= '9') != digits })
	if end < 0 {
		return s, ""
	}
	return s[:end], s[end:]
}

// compareTexts compares bytewise, but "~" before the end of the other.
func compareTexts(a, b string) int {
	for i := 0; i < len(a) || i < len(b); i++ {
		if c := cmp.Compare(textOrder(a, i), textOrder(b, i)); c != 0 {
			return c
		}
	}
	return 0
}

func textOrder(s string, i int) int {
	switch {
	case i >= len(s):
		return 0
	case s[i] == '~':
		return -1
	}
	return int(s[i]) + 1
}

// compareNumbers compares decimal numbers of any length.
func compareNumbers(a, b string) int {
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b))
}
