package iso9660

import (
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/cloudlets/cloudlets/converter/inventory"
	"github.com/cloudlets/cloudlets/image"
)

// identifier is what a file is called in a directory record.
type identifier struct{ name, extension string }

// naming gives files identifiers: that of ECMA-119, or that of Joliet.
type naming struct {
	// translate gives the identifier that a name asks for, too long as it may be.
	translate func(name string, dir bool) identifier
	// shorten cuts an identifier to what fits beside so many characters more.
	shorten func(id identifier, dir bool, spare int) identifier
	// encode gives the bytes of a record, without the version that ends those
	// of files: by these records are sorted (ECMA-119, 9.3).
	encode func(id identifier) []byte
	// version ends the identifiers of files.
	version []byte
	// rockRidge says that records have fields of Rock Ridge.
	rockRidge bool
	// holds reports whether files of that type have a place.
	holds func(n *image.Inode) bool
}

// identifiers returns identifiers for names in a directory, no two the same.
// Names that ask for one that is taken get a number, in their order.
func (n naming) identifiers(entries []inventory.Entry) []identifier {
	taken := make(map[identifier]bool, len(entries))
	next := make(map[identifier]int)
	ids := make([]identifier, len(entries))
	for i, e := range entries {
		isDir := e.File.IsDir()
		asked := n.translate(e.Name, isDir)
		id := n.shorten(asked, isDir, 0)
		for base := id; taken[id]; {
			next[base]++
			number := fmt.Sprintf("_%d", next[base])
			id = n.shorten(asked, isDir, len(number))
			id.name += number
		}
		taken[id] = true
		ids[i] = id
	}
	return ids
}

// plainNaming is that of ECMA-119: capital letters, digits and "_".
func plainNaming() naming {
	return naming{
		translate: translatePlain,
		shorten: func(id identifier, dir bool, spare int) identifier {
			limit := maxFileIdentifier - len(id.extension)
			if dir {
				limit = maxDirectoryIdentifier
			}
			id.name = id.name[:min(len(id.name), limit-spare)]
			return id
		},
		encode:    func(id identifier) []byte { return []byte(id.name + separator + id.extension) },
		version:   []byte(fileVersion),
		rockRidge: true,
		holds:     func(*image.Inode) bool { return true },
	}
}

func translatePlain(name string, dir bool) identifier {
	dot := strings.LastIndexByte(name, '.')
	if dir || dot <= 0 || len(name)-dot-1 > maxExtension {
		return identifier{name: strings.Map(plainCharacter, name)}
	}
	return identifier{name: strings.Map(plainCharacter, name[:dot]), extension: strings.Map(plainCharacter, name[dot+1:])}
}

// plainCharacter returns the d-character (ECMA-119, 7.4.1) nearest to r.
func plainCharacter(r rune) rune {
	switch {
	case 'a' <= r && r <= 'z':
		return r - 'a' + 'A'
	case 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
		return r
	}
	return '_'
}

// jolietNaming is that of Joliet: names of up to 64 UCS-2 characters. It knows
// directories and regular files alone. The extension stays a part of the name.
func jolietNaming() naming {
	return naming{
		translate: func(name string, _ bool) identifier { return identifier{name: jolietUnits(name)} },
		shorten: func(id identifier, _ bool, spare int) identifier {
			id.name = cutUnits(id.name, maxJolietName-spare)
			return id
		},
		encode:  func(id identifier) []byte { return encodeUnits(id.name) },
		version: encodeUnits(fileVersion),
		holds:   func(n *image.Inode) bool { return n.IsDir() || n.IsRegular() },
	}
}

// encodeUnits returns a string as UCS-2, big-endian. Characters that UCS-2 does
// not have become the surrogates of UTF-16, as all that read Joliet expect.
func encodeUnits(s string) []byte {
	var p []byte
	for _, unit := range utf16.Encode([]rune(s)) {
		p = big.AppendUint16(p, unit)
	}
	return p
}

// jolietUnits returns a name without what Joliet does not allow.
func jolietUnits(name string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == utf8.RuneError || strings.ContainsRune(`*/:;?\`, r) {
			return '_'
		}
		return r
	}, name)
}

// cutUnits returns as much of s as fits in so many UTF-16 code units.
func cutUnits(s string, limit int) string {
	for i, r := range s {
		if limit -= utf16.RuneLen(r); limit < 0 {
			return s[:i]
		}
	}
	return s
}
