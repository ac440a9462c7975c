package tarball

import (
	"encoding/binary"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"
	"syscall"
)

// Writer writes a tar in the pax format: a ustar header for each entry, before it
// an extended one where that cannot say everything. The content of files passes
// it by: whoever calls [Writer.Header] sees that what the entry's Content names
// follows, in order, and then calls [Writer.Pad]. Equal entries make equal tars.
type Writer struct {
	w   io.Writer
	gnu bool
}

// NewWriter returns a Writer to w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// NewGNUWriter returns a Writer to w of tars in GNU's format from before pax
// (tar --format=oldgnu), for readers that know no other. [Writer.Header] takes
// what one header holds, whose sizes have no limit.
func NewGNUWriter(w io.Writer) *Writer { return &Writer{w: w, gnu: true} }

// maxOctal returns the greatest number that fits in a field, which ends with a
// NUL.
func maxOctal(f field) int64 { return 1<<(3*(f.len-1)) - 1 }

// Header writes the headers of an entry, up to its content: in a sparse file,
// with the map of its fragments.
func (w *Writer) Header(e *Entry) error {
	var records, sparseMap []byte
	name := e.Path
	switch {
	case name == "":
		name = "./"
	case e.HardLink == "" && e.Mode&syscall.S_IFMT == syscall.S_IFDIR:
		name += "/"
	}
	size := e.DataSize()
	if e.IsRegular() && size != e.Size {
		sparseMap = sparseLinesOf(e)
		size += int64(len(sparseMap))
		records = appendSparse(records, e)
		name = path.Join(path.Dir(name), "GNUSparseFile.0", path.Base(name))
	}
	b := newBlock(e, name, size)
	if w.gnu {
		b.makeGNU(size)
		size = 0 // which needs no record
	}
	records = appendRecords(records, e, name, size)
	if w.gnu && len(records) > 0 {
		return fmt.Errorf("%s: expected a file that a header of GNU's holds, found that it needs the records %q", e.Path, records)
	}
	if len(records) > 0 {
		if err := w.extended(e, records); err != nil {
			return err
		}
	}
	b.seal()
	if _, err := w.w.Write(b); err != nil {
		return err
	}
	_, err := w.w.Write(sparseMap)
	return err
}

func (w *Writer) extended(e *Entry, records []byte) error {
	b := newBlock(&Entry{ModTime: e.ModTime}, "PaxHeaders/"+path.Base("/"+e.Path), int64(len(records)))
	b.bytes(fieldType)[0] = flagPAX
	b.seal()
	if _, err := w.w.Write(b); err != nil {
		return err
	}
	if _, err := w.w.Write(records); err != nil {
		return err
	}
	return w.Pad(int64(len(records)))
}

// Pad fills up to a whole block what is n bytes long.
func (w *Writer) Pad(n int64) error {
	_, err := w.w.Write(zeros[:padding(n)])
	return err
}

// End writes the two blocks that end a tar.
func (w *Writer) End() error {
	_, err := w.w.Write(zeros[:2*BlockSize])
	return err
}

// newBlock makes a header without a checksum. What does not fit in it is left
// out, or, of names, cut off.
func newBlock(e *Entry, name string, size int64) block {
	b := make(block, BlockSize)
	copy(b.bytes(fieldName), name)
	b.setNumber(fieldMode, int64(e.Mode&0o7777))
	b.setNumber(fieldUID, int64(e.UID))
	b.setNumber(fieldGID, int64(e.GID))
	b.setNumber(fieldSize, size)
	b.setNumber(fieldModTime, e.ModTime.Unix())
	copy(b.bytes(fieldMagic), magicUSTAR+"00")
	flag := byte(flagRegular)
	switch e.Mode & syscall.S_IFMT {
	case syscall.S_IFLNK:
		flag = flagSymlink
	case syscall.S_IFDIR:
		flag = flagDir
	case syscall.S_IFIFO:
		flag = flagFIFO
	case syscall.S_IFCHR:
		flag = flagChar
	case syscall.S_IFBLK:
		flag = flagBlock
	}
	if flag == flagChar || flag == flagBlock {
		b.setNumber(fieldMajor, int64(e.Major))
		b.setNumber(fieldMinor, int64(e.Minor))
	}
	if e.HardLink != "" {
		flag = flagHardLink
	}
	b.bytes(fieldType)[0] = flag
	copy(b.bytes(fieldLinkName), e.HardLink+e.Target)
	return b
}

// makeGNU makes a header one of GNU's, with a size in base 256 where that has more
// than eleven octal digits.
func (b block) makeGNU(size int64) {
	copy(b.bytes(fieldMagic), magicGNU)
	if size > maxOctal(fieldSize) {
		f := b.bytes(fieldSize)
		clear(f)
		f[0] = 0x80
		binary.BigEndian.PutUint64(f[len(f)-8:], uint64(size))
	}
}

func (b block) setNumber(f field, n int64) {
	if n < 0 || n > maxOctal(f) {
		n = 0
	}
	copy(b.bytes(f), fmt.Sprintf("%0*o", f.len-1, n))
}

// seal sets the checksum.
func (b block) seal() {
	copy(b.bytes(fieldChecksum), "        ")
	var sum int64
	for _, c := range b {
		sum += int64(c)
	}
	copy(b.bytes(fieldChecksum), fmt.Sprintf("%06o\x00 ", sum))
}

// appendRecords appends the pax records for what a ustar header cannot hold.
func appendRecords(p []byte, e *Entry, name string, size int64) []byte {
	if len(name) > fieldName.len {
		p = appendRecord(p, "path", name)
	}
	if link := e.HardLink + e.Target; len(link) > fieldLinkName.len {
		p = appendRecord(p, "linkpath", link)
	}
	if size > maxOctal(fieldSize) {
		p = appendRecord(p, "size", strconv.FormatInt(size, 10))
	}
	if int64(e.UID) > maxOctal(fieldUID) {
		p = appendRecord(p, "uid", strconv.FormatInt(int64(e.UID), 10))
	}
	if int64(e.GID) > maxOctal(fieldGID) {
		p = appendRecord(p, "gid", strconv.FormatInt(int64(e.GID), 10))
	}
	if sec := e.ModTime.Unix(); e.ModTime.Nanosecond() != 0 || sec < 0 || sec > maxOctal(fieldModTime) {
		p = appendRecord(p, "mtime", formatTime(sec, int64(e.ModTime.Nanosecond())))
	}
	for _, x := range e.Xattrs {
		p = appendXattr(p, x)
	}
	return p
}

// appendXattr appends an extended attribute. ACLs are written twice: as text,
// which GNU tar and bsdtar take, and as they are, which container engines do.
func appendXattr(p []byte, x Xattr) []byte {
	key := map[string]string{xattrACLAccess: "SCHILY.acl.access", xattrACLDefault: "SCHILY.acl.default"}[x.Name]
	if list, err := parseACLXattr(string(x.Value)); key != "" && err == nil {
		p = appendRecord(p, key, list.text())
	}
	return appendRecord(p, keyXattr+x.Name, string(x.Value))
}

func appendSparse(p []byte, e *Entry) []byte {
	p = appendRecord(p, keySparse+"major", "1")
	p = appendRecord(p, keySparse+"minor", "0")
	p = appendRecord(p, keySparse+"name", e.Path)
	return appendRecord(p, keySparse+"realsize", strconv.FormatInt(e.Size, 10))
}

// sparseLinesOf returns the map of a sparse file as pax 1.0 has it, in whole
// blocks. A fragment of no bytes marks the end, for readers that take the size
// from there.
func sparseLinesOf(e *Entry) []byte {
	var s strings.Builder
	fmt.Fprintf(&s, "%d\n", len(e.Content)+1)
	for _, f := range e.Content {
		fmt.Fprintf(&s, "%d\n%d\n", f.Start, f.Length)
	}
	fmt.Fprintf(&s, "%d\n0\n", e.Size)
	p := []byte(s.String())
	return append(p, zeros[:padding(int64(len(p)))]...)
}

// appendRecord appends a record whose length counts its own digits.
func appendRecord(p []byte, key, value string) []byte {
	rest := len(key) + len(value) + len(" =\n")
	n := rest + len(strconv.Itoa(rest))
	n = rest + len(strconv.Itoa(n))
	return fmt.Appendf(p, "%d %s=%s\n", n, key, value)
}

// formatTime writes a moment as decimal seconds.
func formatTime(sec, nsec int64) string {
	sign := ""
	if sec < 0 {
		sign, sec = "-", -sec
		if nsec > 0 {
			sec, nsec = sec-1, 1e9-nsec
		}
	}
	if nsec == 0 {
		return fmt.Sprintf("%s%d", sign, sec)
	}
	return strings.TrimRight(fmt.Sprintf("%s%d.%09d", sign, sec, nsec), "0")
}
