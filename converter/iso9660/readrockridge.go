package iso9660

import (
	"fmt"
	"slices"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// rockRidgeIdentifiers are those of its versions: 1.09 and 1.10, and 1.12 in two
// spellings.
var rockRidgeIdentifiers = []string{"RRIP_1991A", "IEEE_P1282", "IEEE_1282"}

// extendedArchitecture is how many bytes of a record CD-ROM XA takes before the
// system use fields.
const extendedArchitecture = 14

// attributes are what the system use fields of a record say.
type attributes struct {
	posix   *posix
	modTime *image.Time
	name    []byte
	target  target
	device  *device

	child     *int64 // the block of a directory that was moved
	relocated bool   // a directory that has its place elsewhere in the tree
	extension bool   // Rock Ridge made itself known

	continuation *area // where there are more fields
}

// posix is what a PX field says (RRIP 4.1.1).
type posix struct{ mode, links, uid, gid, serial uint32 }

// device is what a PN field says (RRIP 4.1.2).
type device struct{ major, minor uint32 }

// area is where a continuation area is.
type area struct{ block, offset, length uint32 }

// findRockRidge reports whether a volume has Rock Ridge: whether the record of
// the root directory in itself says so. Then the root takes over its attributes.
func (r *reader) findRockRidge(root record, top *image.Inode) (bool, error) {
	for rec, err := range r.records(root.block, min(root.size, blockSize)) {
		if err != nil {
			return false, err
		}
		fields, skip, ok := findSharing(rec.systemUse)
		if !ok {
			return false, nil
		}
		a, err := r.systemUse(fields)
		if err != nil {
			return false, err
		}
		if !a.extension && a.posix == nil {
			return false, nil
		}
		r.skip = skip
		a.apply(top)
		return true, checkMode(top, true)
	}
	return false, nil
}

// findSharing looks for the field that says that there are fields (SUSP 5.3). It
// stands first, or behind what belongs to CD-ROM XA. It returns the fields, and
// how many bytes stand before those of other records.
func findSharing(p []byte) (fields []byte, skip int, ok bool) {
	for _, at := range []int{0, extendedArchitecture} {
		if len(p) >= at+7 && string(p[at:at+2]) == fieldSharing && string(p[at+4:at+6]) == sharingCheck {
			return p[at:], int(p[at+6]), true
		}
	}
	return nil, 0, false
}

// attributes reads the system use fields of a record.
func (r *reader) attributes(rec record) (attributes, error) {
	if r.names != rockRidgeNames {
		return attributes{}, nil
	}
	return r.systemUse(rec.systemUse[min(r.skip, len(rec.systemUse)):])
}

// systemUse reads fields, in all their areas.
func (r *reader) systemUse(p []byte) (attributes, error) {
	var a attributes
	for range maxContinuations {
		if err := a.parse(p); err != nil {
			return attributes{}, err
		}
		if a.continuation == nil {
			return a, nil
		}
		c := *a.continuation
		a.continuation = nil
		if c.length > maxContinuation {
			return attributes{}, fmt.Errorf("%w: a continuation area of %d bytes, expected at most %d", container.ErrFormat, c.length, maxContinuation)
		}
		var err error
		if p, err = r.spend("continuation area", r.offset(int64(c.block))+uint64(c.offset), int64(c.length)); err != nil {
			return attributes{}, err
		}
	}
	return attributes{}, fmt.Errorf("%w: more than %d continuation areas, or one that leads to itself", container.ErrFormat, maxContinuations)
}

// parse reads the fields of one area, which may be padded.
func (a *attributes) parse(p []byte) error {
	for len(p) >= fieldHeader && p[2] >= fieldHeader {
		signature, length := string(p[:2]), int(p[2])
		if length > len(p) {
			return fmt.Errorf("%w: the field %q has %d bytes where %d are left", container.ErrFormat, signature, length, len(p))
		}
		if signature == fieldEnd {
			return nil
		}
		if err := a.field(signature, p[fieldHeader:length]); err != nil {
			return fmt.Errorf("field %q: %w", signature, err)
		}
		p = p[length:]
	}
	return nil
}

// errShort returns the error of a field that lacks bytes.
func errShort() error {
	return fmt.Errorf("%w: it is too short for what it holds", container.ErrFormat)
}

// field takes over what a field says. Unknown ones are passed over.
func (a *attributes) field(signature string, p []byte) error {
	if len(p) < leastField(signature) {
		return errShort()
	}
	switch signature {
	case fieldContinuation:
		a.continuation = &area{little.Uint32(p), little.Uint32(p[8:]), little.Uint32(p[16:])}
	case fieldExtensions:
		n := min(int(p[0]), len(p)-4)
		a.extension = a.extension || slices.Contains(rockRidgeIdentifiers, string(p[4:4+n]))
	case fieldPOSIX:
		a.posix = parsePOSIX(p)
	case fieldDevice:
		major, minor := decodeDevice(little.Uint32(p), little.Uint32(p[8:]))
		a.device = &device{major, minor}
	case fieldName:
		return a.addName(p[0], p[1:])
	case fieldSymlink:
		return a.target.add(p[1:])
	case fieldTimes:
		return a.times(p[0], p[1:])
	case fieldChild:
		block := int64(little.Uint32(p))
		a.child = &block
	case fieldRelocated:
		a.relocated = true
	case fieldZisofs:
		return fmt.Errorf("%w: the file is compressed with zisofs; make the volume without", container.ErrUnsupported)
	case fieldSparse:
		return fmt.Errorf("%w: the file is sparse; make the volume without", container.ErrUnsupported)
	}
	return nil
}

// leastField returns how many bytes a field has at least, after its header.
func leastField(signature string) int {
	switch signature {
	case fieldContinuation:
		return continuationSize - fieldHeader
	case fieldPOSIX:
		return oldPosixSize - fieldHeader
	case fieldDevice:
		return deviceSize - fieldHeader
	case fieldChild:
		return 8
	case fieldExtensions:
		return 4
	case fieldName, fieldSymlink, fieldTimes:
		return 1
	}
	return 0
}

func parsePOSIX(p []byte) *posix {
	x := &posix{mode: little.Uint32(p), links: little.Uint32(p[8:]), uid: little.Uint32(p[16:]), gid: little.Uint32(p[24:])}
	if len(p) >= posixSize-fieldHeader {
		x.serial = little.Uint32(p[32:])
	}
	return x
}

// addName adds a part of the name. "." and ".." are names of directories in
// themselves and in others.
func (a *attributes) addName(flags byte, part []byte) error {
	switch {
	case flags&flagCurrent != 0:
		part = []byte(".")
	case flags&flagParent != 0:
		part = []byte("..")
	}
	if len(a.name)+len(part) > maxName {
		return fmt.Errorf("%w: a name of more than %d bytes", container.ErrFormat, maxName)
	}
	a.name = append(a.name, part...)
	return nil
}

// times takes over the time of modification, of all that are there.
func (a *attributes) times(flags byte, p []byte) error {
	size := shortDateSize
	if flags&timeLongForm != 0 {
		size = longDateSize
	}
	if flags&timeModify == 0 {
		return nil
	}
	if flags&timeCreation != 0 {
		p = p[min(size, len(p)):]
	}
	if len(p) < size {
		return errShort()
	}
	if flags&timeLongForm == 0 {
		t := parseShortDate(p)
		a.modTime = &t
		return nil
	}
	t, err := parseLongDate(p)
	if err != nil {
		return fmt.Errorf("%w: %w", container.ErrFormat, err)
	}
	a.modTime = &t
	return nil
}

// apply gives a file what the fields say of it.
func (a *attributes) apply(n *image.Inode) {
	if a.posix != nil {
		n.Mode, n.UID, n.GID = a.posix.mode, a.posix.uid, a.posix.gid
	}
	if a.modTime != nil {
		n.ModTime = *a.modTime
	}
}

// newInode returns the file of a record, without content.
func newInode(rec record, a attributes) (n *image.Inode, err error) {
	n = &image.Inode{Mode: image.TypeRegular | defaultFileMode, ModTime: parseShortDate(rec.date)}
	isDir := rec.flags&flagDirectory != 0 || a.child != nil
	if isDir {
		n.Mode = image.TypeDir | defaultDirectoryMode
	}
	a.apply(n)
	if err := checkMode(n, isDir); err != nil {
		return nil, err
	}
	switch n.Type() {
	case image.TypeRegular, image.TypeDir, image.TypeFIFO, image.TypeSocket:
		return n, nil
	case image.TypeSymlink:
		n.Target, err = a.target.path()
		return n, err
	case image.TypeChar, image.TypeBlock:
		if a.device == nil {
			return nil, fmt.Errorf("%w: a device without its numbers", container.ErrFormat)
		}
		n.Major, n.Minor = a.device.major, a.device.minor
		return n, nil
	}
	return nil, fmt.Errorf("%w: its mode %#o names no file type", container.ErrFormat, n.Mode)
}

// checkMode refuses modes that no file has, and those of other types of files
// than their records are of.
func checkMode(n *image.Inode, isDir bool) error {
	if n.Mode>>16 != 0 || n.IsDir() != isDir {
		return fmt.Errorf("%w: its mode is %#o, that of another type of file than its record", container.ErrFormat, n.Mode)
	}
	return nil
}

// linkedFile is a file that says that it has more than one name.
type linkedFile struct {
	inode *image.Inode
	id    uint64
}

// identify returns what a file is called while the tree is read: what it was
// called under its first name, if it has several. Serial numbers alone are not
// believed: there are programs that make them up.
func (r *reader) identify(n *image.Inode, a attributes) uint64 {
	hasNames := a.posix != nil && a.posix.serial != 0 && a.posix.links > 1
	if hasNames {
		if known, ok := r.linked[a.posix.serial]; ok && sameFile(known.inode, n) {
			return known.id
		}
	}
	r.files++
	id := uint64(r.files)<<1 | 1
	r.found[id] = found{inode: n}
	if hasNames {
		r.linked[a.posix.serial] = linkedFile{inode: n, id: id}
	}
	return id
}

// sameFile reports whether two names are likely to be of one file.
func sameFile(a, b *image.Inode) bool {
	return a.Mode == b.Mode && a.UID == b.UID && a.GID == b.GID && a.ModTime == b.ModTime &&
		a.Target == b.Target && a.Major == b.Major && a.Minor == b.Minor &&
		slices.EqualFunc(a.Content, b.Content, func(x, y extent.Extent) bool {
			return x.Offset == y.Offset && x.Length == y.Length
		})
}
