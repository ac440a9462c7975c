package tarball

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"syscall"
	"time"
)

// Reader reads the entries of a tar.
type Reader struct {
	in        input
	strictEnd bool // the two blocks at the end must be there

	content int64     // of the last entry, not passed yet
	global  overrides // what holds for all files
	entries int       // headers so far
	sawEnd  bool      // a block of zeros
	start   int64     // of the current entry in the stream
	name    string    // of the current entry
	scratch [BlockSize]byte
	err     error // what Next returned, once it returned one
}

// NewReaderAt returns a Reader of the size bytes of r. It reads the headers
// only, and calls r.ReadAt in ascending order.
func NewReaderAt(r io.ReaderAt, size int64) *Reader {
	return &Reader{in: &section{r: r, size: size}}
}

// Next returns the next entry, or io.EOF after the last. Other errors are final.
func (r *Reader) Next() (*Entry, error) {
	if r.err != nil {
		return nil, r.err
	}
	e, err := r.next()
	if err != nil {
		r.err = r.locate(err)
		return nil, r.err
	}
	return e, nil
}

// locate says where an error about the tar's content is.
func (r *Reader) locate(err error) error {
	switch {
	case errors.Is(err, ErrTruncated):
		return &Error{r.in.offset(), r.name, err}
	case errors.Is(err, ErrInvalid) || errors.Is(err, ErrNotTar):
		return &Error{r.start, r.name, err}
	}
	return err
}

func (r *Reader) next() (*Entry, error) {
	if err := r.passContent(); err != nil {
		return nil, err
	}
	r.start, r.name = r.in.offset(), ""
	o := r.global
	for {
		b, err := r.header()
		if err == io.EOF {
			return nil, r.checkEnd(&o)
		}
		if err != nil {
			return nil, err
		}
		switch flag := b.bytes(fieldType)[0]; flag {
		case flagPAX, flagPAXSolaris, flagPAXGlobal, flagGNULongName, flagGNULongLink:
			if err := r.extended(flag, b, &o); err != nil {
				return nil, err
			}
		case flagGNUVolume:
			if r.content, err = r.size(b, &o); err != nil {
				return nil, err
			}
			return r.next()
		default:
			return r.entry(b, &o)
		}
	}
}

// passContent skips what is left of the last entry and the padding behind it.
func (r *Reader) passContent() error {
	n := r.content
	r.content = 0
	if err := r.in.skip(n); err != nil {
		return err
	}
	return r.in.pad(int(padding(n)))
}

// header returns the next header block, or io.EOF at the end of the tar.
func (r *Reader) header() (block, error) {
	p, err := r.in.take(BlockSize)
	if errors.Is(err, ErrTruncated) && r.entries == 0 {
		return nil, fmt.Errorf("%w: shorter than one block of %d bytes", ErrNotTar, BlockSize)
	}
	if err != nil {
		return nil, err
	}
	b := block(r.scratch[:])
	copy(b, p)
	if b.isZero() {
		return nil, r.end()
	}
	if err := b.checkSum(); err != nil {
		if r.entries == 0 {
			return nil, r.notTar(b)
		}
		return nil, err
	}
	r.entries++
	return b, nil
}

// checkEnd returns io.EOF if the tar may end after the extended headers o.
func (r *Reader) checkEnd(o *overrides) error {
	switch {
	case o.pax || o.longName || o.longLink:
		return fmt.Errorf("%w: it ends between a file's extended header and its header", ErrTruncated)
	case r.strictEnd && !r.sawEnd:
		return fmt.Errorf("%w: it ends without the two blocks of zeros that end a tar"+
			" (if it is whole all the same, append 1024 zero bytes)", ErrTruncated)
	}
	return io.EOF
}

// end reads on after a first block of zeros, and returns io.EOF if that is the
// end of a tar. A second block may be missing.
func (r *Reader) end() error {
	r.sawEnd = true
	p, err := r.in.take(BlockSize)
	switch {
	case err != nil:
		return err
	case !isZero(p) && r.entries == 0:
		return r.notTar(append(make([]byte, BlockSize), p...))
	case !isZero(p):
		return invalid("a single block of zeros with more behind it")
	case r.entries == 0:
		return r.empty()
	}
	return io.EOF
}

// empty is the end of a tar without entries. Many a disk begins with two blocks
// of zeros too, so what follows must be zeros as far as magic numbers reach.
func (r *Reader) empty() error {
	head := r.head(make([]byte, 2*BlockSize))
	if isZero(head) {
		return io.EOF
	}
	return fmt.Errorf("%w: %s", ErrNotTar, describe(head))
}

func (r *Reader) notTar(head []byte) error {
	return fmt.Errorf("%w: %s", ErrNotTar, describe(r.head(head)))
}

// head appends more of the stream to its start, enough to tell what it is.
func (r *Reader) head(start []byte) []byte {
	head := append([]byte(nil), start...)
	for len(head) < magicReach {
		p, err := r.in.take(BlockSize)
		if err != nil {
			break
		}
		head = append(head, p...)
	}
	return head
}

// extended reads a header that describes the entry after it.
func (r *Reader) extended(flag byte, b block, o *overrides) error {
	size, err := b.number(fieldSize, "size of an extended header")
	if err != nil {
		return err
	}
	if size < 0 || size > maxExtended {
		return invalid("an extended header of %d bytes, the limit is %d", size, maxExtended)
	}
	p, err := r.in.take(int(size + padding(size)))
	if err == io.EOF {
		err = missing(size, "an extended header")
	}
	if err != nil {
		return err
	}
	p = p[:size]
	switch flag {
	case flagPAXGlobal:
		if err := r.global.parseGlobalPAX(p); err != nil {
			return err
		}
		return o.parseGlobalPAX(p)
	case flagGNULongName:
		o.path, err = longText(p, &o.longName)
	case flagGNULongLink:
		o.link, err = longText(p, &o.longLink)
	default:
		if o.pax {
			return invalid("two extended headers for one entry")
		}
		o.pax = true
		err = o.parsePAX(p)
	}
	r.name = o.path
	return err
}

func longText(p []byte, seen *bool) (string, error) {
	if *seen {
		return "", invalid("two long names for one entry")
	}
	*seen = true
	return block(p).text(field{0, len(p)}), nil
}

// size returns how many bytes follow the header.
func (r *Reader) size(b block, o *overrides) (int64, error) {
	size := o.size.value
	if !o.size.set {
		var err error
		if size, err = b.number(fieldSize, "size"); err != nil {
			return 0, err
		}
	}
	if size < 0 || size > math.MaxInt64-BlockSize-r.in.offset() {
		return 0, invalid("size %d", size)
	}
	return size, nil
}

// entry makes the entry of a header and what extended headers say about it.
func (r *Reader) entry(b block, o *overrides) (*Entry, error) {
	r.name = cmp.Or(o.sparse.name, o.path, b.name())
	e := &Entry{Offset: r.start}
	var err error
	if e.Path, err = cleanPath(r.name); err != nil {
		return nil, err
	}
	if b.bytes(fieldType)[0] == flagHardLink {
		return e, e.setHardLink(cmp.Or(o.link, b.text(fieldLinkName)))
	}
	if err := e.setOwner(b, o); err != nil {
		return nil, err
	}
	if e.Xattrs, err = o.attributes.sorted(); err != nil {
		return nil, err
	}
	return e, r.setType(e, b, o)
}

func (e *Entry) setHardLink(target string) error {
	clean, err := cleanPath(target)
	if err != nil {
		return fmt.Errorf("hard link: %w", err)
	}
	if clean == "" {
		return invalid("a hard link to the root directory")
	}
	e.HardLink = clean
	return nil
}

// maxID is the greatest user or group id; the one above it means "none".
const maxID = math.MaxUint32 - 1

func (e *Entry) setOwner(b block, o *overrides) error {
	var err error
	if e.UID, err = override32(o.uid, b, fieldUID, "user id", maxID); err != nil {
		return err
	}
	if e.GID, err = override32(o.gid, b, fieldGID, "group id", maxID); err != nil {
		return err
	}
	mode, err := b.number(fieldMode, "mode")
	if err != nil {
		return err
	}
	e.Mode = uint32(mode) & 0o7777
	if o.hasModTime {
		e.ModTime = o.modTime
		return nil
	}
	sec, err := b.number(fieldModTime, "modification time")
	e.ModTime = time.Unix(sec, 0)
	return err
}

func override32(o optional, b block, f field, what string, limit int64) (uint32, error) {
	if o.set {
		return within(o.value, what, limit)
	}
	return b.number32(f, what, limit)
}

// fileTypes are the type bits for the flags of files without content.
var fileTypes = map[byte]uint32{
	flagSymlink:    syscall.S_IFLNK,
	flagChar:       syscall.S_IFCHR,
	flagBlock:      syscall.S_IFBLK,
	flagDir:        syscall.S_IFDIR,
	flagFIFO:       syscall.S_IFIFO,
	flagGNUDumpDir: syscall.S_IFDIR,
}

// setType sets what is particular to the type of the file.
func (r *Reader) setType(e *Entry, b block, o *overrides) error {
	flag := b.bytes(fieldType)[0]
	size, err := r.size(b, o)
	if err != nil {
		return err
	}
	switch flag {
	case flagRegularV7, flagRegular, flagContiguous, flagGNUSparse:
		if !strings.HasSuffix(r.name, "/") {
			return r.setContent(e, b, o, size)
		}
		flag = flagDir // as v7 had it
	case flagGNUMultipart:
		return invalid("the rest of a file that begins in another archive (multi-volume tar)")
	}
	bits, known := fileTypes[flag]
	if !known {
		return invalid("unknown type %q", flag)
	}
	e.Mode |= bits
	if flag == flagGNUDumpDir {
		r.content = size
		return nil
	}
	// Some programs take the bytes of such a file for content and others for
	// the next header.
	if size != 0 {
		return invalid("type %q with %d bytes of content", flag, size)
	}
	switch flag {
	case flagSymlink:
		return e.setTarget(cmp.Or(o.link, b.text(fieldLinkName)))
	case flagChar, flagBlock:
		return e.setDevice(b, o)
	}
	return nil
}

func (e *Entry) setTarget(target string) error {
	switch {
	case target == "":
		return invalid("a symbolic link without a target")
	case len(target) > MaxPath:
		return invalid("a symbolic link with a target of %d bytes, the limit is %d", len(target), MaxPath)
	case strings.IndexByte(target, 0) >= 0:
		return invalid("a symbolic link with a NUL byte in its target")
	}
	e.Target = target
	return nil
}

func (e *Entry) setDevice(b block, o *overrides) (err error) {
	if e.Major, err = override32(o.major, b, fieldMajor, "device major number", maxMajor); err != nil {
		return err
	}
	e.Minor, err = override32(o.minor, b, fieldMinor, "device minor number", maxMinor)
	return err
}

// setContent says where a regular file's content stands, size bytes from here.
func (r *Reader) setContent(e *Entry, b block, o *overrides, size int64) error {
	e.Mode |= syscall.S_IFREG
	switch {
	case b.bytes(fieldType)[0] == flagGNUSparse:
		return r.setOldSparse(e, b, o, size)
	case o.sparse.present:
		return r.setPAXSparse(e, &o.sparse, size)
	}
	e.Size, r.content = size, size
	if size > 0 {
		e.Content = []Fragment{{Length: size, Offset: r.in.offset()}}
	}
	return nil
}

// setOldSparse reads the sparse map of old GNU headers.
func (r *Reader) setOldSparse(e *Entry, b block, o *overrides, packed int64) error {
	if b.format() != formatGNU {
		return invalid("a sparse file in the format of star, which is not supported: use tar --format=pax")
	}
	if o.sparse.present {
		return invalid("a sparse file with two maps")
	}
	size, err := b.number(fieldRealSize, "size of a sparse file")
	if err != nil {
		return err
	}
	var list sparseList
	if err := list.addHeader(b, fieldSparse); err != nil {
		return err
	}
	more := b.bytes(fieldSparseExtended)[0] != 0
	for more {
		p, err := r.takeBlock()
		if err != nil {
			return err
		}
		if err := list.addHeader(p, fieldExtension); err != nil {
			return err
		}
		more = p.bytes(fieldExtensionExtended)[0] != 0
	}
	return r.place(e, &list, packed, size)
}

// setPAXSparse reads the sparse map of pax headers, or of the blocks after them.
func (r *Reader) setPAXSparse(e *Entry, s *paxSparse, packed int64) error {
	major, _, err := s.version()
	if err != nil {
		return err
	}
	if !s.size.set {
		return invalid("a sparse file without its size")
	}
	list := s.list
	if major == 1 {
		lines := sparseLines{take: func() (block, error) {
			if packed -= BlockSize; packed < 0 {
				return nil, invalid("sparse map: longer than the content that holds it")
			}
			return r.takeBlock()
		}}
		if list, err = lines.list(); err != nil {
			return err
		}
	}
	return r.place(e, &list, packed, s.size.value)
}

func (r *Reader) place(e *Entry, list *sparseList, packed, size int64) error {
	if size < 0 {
		return invalid("a sparse file of %d bytes", size)
	}
	content, err := list.place(r.in.offset(), packed, size)
	if err != nil {
		return err
	}
	e.Content, e.Size, r.content = content, size, packed
	return nil
}

// takeBlock returns the next block of an entry's header.
func (r *Reader) takeBlock() (block, error) {
	p, err := r.in.take(BlockSize)
	if err == io.EOF {
		err = missing(BlockSize, "a header")
	}
	return p, err
}
