package fat32

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/cloudlets/cloudlets/converter/container"
)

// shortName is a name as a directory entry holds it: base and extension, padded
// with spaces, without the dot.
type shortName [shortBase + shortExtension]byte

func makeShort(base, extension string) shortName {
	var s shortName
	copy(s[:], fmt.Sprintf("%-*s%-*s", shortBase, base, shortExtension, extension))
	return s
}

// checksum ties long name entries to their short name (the specification's
// ChkSum).
func (s shortName) checksum() byte {
	var sum byte
	for _, c := range s {
		sum = (sum>>1 | sum<<7) + c
	}
	return sum
}

// entryName is what a file is called in its directory.
type entryName struct {
	short shortName
	long  []uint16 // UTF-16; nil when short says it all
}

// entries returns how many directory entries the name takes.
func (n entryName) entries() int64 {
	return 1 + container.DivideUp(int64(len(n.long)), longEntryUnits)
}

// nameAll gives each of the names of a directory its entry. The same names in
// the same order always get the same short names.
func nameAll(names []string) ([]entryName, error) {
	if err := checkNames(names); err != nil {
		return nil, err
	}
	result := make([]entryName, len(names))
	taken := make(map[shortName]bool, len(names))
	// Names that fit as they are come first, so that none of them finds its
	// short name taken by a longer one.
	for i, name := range names {
		if short, ok := fits(name); ok {
			result[i].short = short
			taken[short] = true
			if name != strings.ToUpper(name) {
				result[i].long = utf16.Encode([]rune(name))
			}
		}
	}
	s := shortener{taken: taken, next: make(map[string]int)}
	for i, name := range names {
		if result[i].short == (shortName{}) {
			result[i] = entryName{short: s.shorten(name), long: utf16.Encode([]rune(name))}
		}
	}
	return result, nil
}

// fits returns the short name that differs from name in case at most.
func fits(name string) (shortName, bool) {
	base, extension, dot := strings.Cut(strings.ToUpper(name), ".")
	if base == "" || len(base) > shortBase || len(extension) > shortExtension || dot && extension == "" {
		return shortName{}, false
	}
	for _, c := range base + extension {
		if !validShort(c) {
			return shortName{}, false
		}
	}
	return makeShort(base, extension), true
}

// validShort reports whether an upper-case character may stand in a short name
// on every system: code pages differ beyond ASCII.
func validShort(c rune) bool {
	return c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c < utf8.RuneSelf && strings.ContainsRune("$%'-_@~`!(){}^#&", c)
}

// shortener makes short names for one directory.
type shortener struct {
	taken map[shortName]bool
	next  map[string]int // the number to try next, by what comes before it
}

// shorten follows "Basis-Name Generation" and "Numeric-Tail Generation" of the
// specification: what is left of the name, "~" and the first free number.
func (s *shortener) shorten(name string) shortName {
	base, extension := shortParts(name)
	key := base[:min(len(base), shortBase-2)] + "." + extension
	for n := s.next[key] + 1; ; n++ {
		tail := "~" + strconv.Itoa(n)
		short := makeShort(base[:min(len(base), shortBase-len(tail))]+tail, extension)
		if !s.taken[short] {
			s.taken[short] = true
			s.next[key] = n
			return short
		}
	}
}

// shortParts returns what of a name may stand in a short name. The base is
// never empty.
func shortParts(name string) (base, extension string) {
	name = strings.ToUpper(strings.TrimLeft(name, ". "))
	base = name
	if dot := strings.LastIndexByte(name, '.'); dot >= 0 {
		base, extension = name[:dot], name[dot+1:]
	}
	base, extension = strings.Map(shortRune, base), strings.Map(shortRune, extension)
	return base, extension[:min(len(extension), shortExtension)]
}

func shortRune(c rune) rune {
	switch {
	case c == ' ' || c == '.':
		return -1
	case validShort(c):
		return c
	}
	return '_'
}

// checkNames refuses names FAT cannot hold and names it cannot tell apart.
func checkNames(names []string) error {
	seen := make(map[string]string, len(names))
	for _, name := range names {
		if err := checkName(name); err != nil {
			return fmt.Errorf("name %q: %w", name, err)
		}
		key := foldCase(name)
		if other, ok := seen[key]; ok {
			return fmt.Errorf("names %q and %q: FAT does not tell upper from lower case; rename one", other, name)
		}
		seen[key] = name
	}
	return nil
}

func checkName(name string) error {
	switch {
	case name == "" || strings.TrimRight(name, ". ") != name:
		return fmt.Errorf("FAT drops dots and spaces at the end of a name")
	case !utf8.ValidString(name):
		return fmt.Errorf("want valid UTF-8")
	case len(utf16.Encode([]rune(name))) > maxNameUnits:
		return fmt.Errorf("want at most %d UTF-16 code units", maxNameUnits)
	}
	if i := strings.IndexFunc(name, invalidLong); i >= 0 {
		return fmt.Errorf("FAT allows no %q in a name", name[i])
	}
	return nil
}

// invalidLong reports whether a long name must not hold c.
func invalidLong(c rune) bool {
	return c < 0x20 || c == 0x7f || strings.ContainsRune(`"*/:<>?\|`, c)
}

// foldCase maps names that some system may take for one to one string.
func foldCase(name string) string {
	return strings.Map(func(c rune) rune { return unicode.ToUpper(unicode.ToLower(c)) }, name)
}

// checkLabel refuses what DOS, Windows and mtools do not agree on.
func checkLabel(label string) error {
	if len(label) > len(shortName{}) {
		return fmt.Errorf("label %q has %d bytes: want at most %d", label, len(label), len(shortName{}))
	}
	for _, c := range label {
		if c != ' ' && !validShort(c) {
			return fmt.Errorf("label %q: want upper-case letters, digits, spaces and $%%'-_@~`!(){}^#&, found %q", label, c)
		}
	}
	if strings.TrimSpace(label) != label {
		return fmt.Errorf("label %q: want no space at its ends", label)
	}
	return nil
}
