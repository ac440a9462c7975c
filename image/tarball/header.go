package tarball

import (
	"bytes"
	"math"
)

// BlockSize is the unit of a tar, in bytes: headers are one block, and content
// is padded to whole blocks.
const BlockSize = 512

// format is the dialect of one header block.
type format uint8

const (
	formatV7 format = iota // no magic
	formatUSTAR
	formatGNU
	formatStar
)

// Type flags (POSIX.1-2001 "ustar Interchange Format" and "pax Header Block",
// GNU tar's tar.h, star(5)).
const (
	flagRegularV7    = 0
	flagRegular      = '0'
	flagHardLink     = '1'
	flagSymlink      = '2'
	flagChar         = '3'
	flagBlock        = '4'
	flagDir          = '5'
	flagFIFO         = '6'
	flagContiguous   = '7' // a regular file
	flagPAX          = 'x'
	flagPAXGlobal    = 'g'
	flagPAXSolaris   = 'X' // the same as 'x', from before it was a standard
	flagGNULongName  = 'L'
	flagGNULongLink  = 'K'
	flagGNUSparse    = 'S'
	flagGNUDumpDir   = 'D' // a directory, with a list of names as its content
	flagGNUVolume    = 'V' // the archive's label
	flagGNUMultipart = 'M' // the rest of a file begun in another archive
)

// field is a range of a header block.
type field struct{ off, len int }

// The fields of a header. The first group is common to all formats.
var (
	fieldName     = field{0, 100}
	fieldMode     = field{100, 8}
	fieldUID      = field{108, 8}
	fieldGID      = field{116, 8}
	fieldSize     = field{124, 12}
	fieldModTime  = field{136, 12}
	fieldChecksum = field{148, 8}
	fieldType     = field{156, 1}
	fieldLinkName = field{157, 100}

	fieldMagic      = field{257, 8} // with the version
	fieldMajor      = field{329, 8}
	fieldMinor      = field{337, 8}
	fieldPrefix     = field{345, 155}
	fieldStarPrefix = field{345, 131}
	fieldStarMagic  = field{508, 4}
)

const (
	magicUSTAR = "ustar\x00"   // followed by a version, "00"
	magicGNU   = "ustar  \x00" // with the version
	magicStar  = "tar\x00"
)

// block is one header block.
type block []byte

func (b block) bytes(f field) []byte { return b[f.off : f.off+f.len] }

// text returns a field up to its first NUL.
func (b block) text(f field) string {
	s := b.bytes(f)
	if i := bytes.IndexByte(s, 0); i >= 0 {
		s = s[:i]
	}
	return string(s)
}

func (b block) format() format {
	magic := b.bytes(fieldMagic)
	switch {
	case bytes.Equal(magic, []byte(magicGNU)):
		return formatGNU
	case !bytes.HasPrefix(magic, []byte(magicUSTAR)):
		return formatV7
	case bytes.Equal(b.bytes(fieldStarMagic), []byte(magicStar)):
		return formatStar
	}
	return formatUSTAR
}

// name returns the name of the entry, with the prefix of the formats that have one.
func (b block) name() string {
	name := b.text(fieldName)
	prefix := ""
	switch b.format() {
	case formatUSTAR:
		prefix = b.text(fieldPrefix)
	case formatStar:
		prefix = b.text(fieldStarPrefix)
	}
	if prefix == "" {
		return name
	}
	return prefix + "/" + name
}

func (b block) isZero() bool { return isZero(b) }

func isZero(p []byte) bool {
	for len(p) > 0 {
		n := min(len(p), len(zeros))
		if !bytes.Equal(p[:n], zeros[:n]) {
			return false
		}
		p = p[n:]
	}
	return true
}

var zeros [4096]byte

// checkSum compares the header's checksum with the sum of its bytes, the field
// itself counted as spaces. Old programs summed signed bytes; both are accepted.
func (b block) checkSum() error {
	want, err := b.number(fieldChecksum, "checksum")
	if err != nil {
		return err
	}
	var unsigned, signed int64
	for _, c := range b {
		unsigned += int64(c)
		signed += int64(int8(c))
	}
	for _, c := range b.bytes(fieldChecksum) {
		unsigned += ' ' - int64(c)
		signed += ' ' - int64(int8(c))
	}
	if want != unsigned && want != signed {
		return invalid("header checksum is %#o, its bytes sum to %#o", want, unsigned)
	}
	return nil
}

// number reads a numeric field: octal digits with spaces around them and a NUL
// or space behind, or, with the top bit of the first byte set, a big-endian
// two's complement number (GNU "base-256"). An empty field is 0.
func (b block) number(f field, what string) (int64, error) {
	s := b.bytes(f)
	if s[0]&0x80 != 0 {
		return base256(s, what)
	}
	digits := bytes.Trim(s, " \x00")
	var n int64
	for _, c := range digits {
		if c < '0' || c > '7' {
			return 0, invalid("%s %q is not an octal number", what, digits)
		}
		n = n<<3 | int64(c-'0') // at most 12 digits
	}
	return n, nil
}

func base256(s []byte, what string) (int64, error) {
	negative := s[0]&0x40 != 0
	n := int64(s[0] & 0x3f)
	if negative {
		n |= ^int64(0x3f)
	}
	for _, c := range s[1:] {
		if n > math.MaxInt64>>8 || n < math.MinInt64>>8 {
			return 0, invalid("%s does not fit in 64 bits", what)
		}
		n = n<<8 | int64(c)
	}
	return n, nil
}

// number32 reads a numeric field that must be within [0, limit].
func (b block) number32(f field, what string, limit int64) (uint32, error) {
	n, err := b.number(f, what)
	if err != nil {
		return 0, err
	}
	return within(n, what, limit)
}

func within(n int64, what string, limit int64) (uint32, error) {
	if n < 0 || n > limit {
		return 0, invalid("%s is %d, outside 0 to %d", what, n, limit)
	}
	return uint32(n), nil
}

// padding returns how many bytes stand between n bytes of content and the next
// header.
func padding(n int64) int64 { return -n & (BlockSize - 1) }
