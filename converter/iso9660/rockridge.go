package iso9660

import (
	"strings"

	"github.com/cloudlets/cloudlets/image"
)

// addRockRidge makes the system use fields of the records in a directory. What
// does not fit them goes into continuation areas from a block on.
func (d *directory) addRockRidge(block int64) {
	d.areas = continuation{first: block}
	self := attributeFields(d.file)
	if d.number == 1 {
		// The root says that there are such fields, and which (SUSP 5.3, 5.5).
		sharing := field(fieldSharing, []byte(sharingCheck), []byte{0})
		self = append(append([][]byte{sharing}, self...), extensionField())
	}
	d.self = d.areas.fit(self, systemUseRoom([]byte(selfName)))
	d.up = d.areas.fit(attributeFields(d.parent.file), systemUseRoom([]byte(parentName)))
	for i := range d.entries {
		e := &d.entries[i]
		fields := append(attributeFields(e.file), nameFields(e.name)...)
		fields = append(fields, typeFields(e.file.Inode)...)
		e.systemUse = d.areas.fit(fields, systemUseRoom(e.id))
	}
}

func extensionField() []byte {
	lengths := []byte{byte(len(extensionIdentifier)), byte(len(extensionDescription)), byte(len(extensionSource)), extensionVersion}
	return field(fieldExtensions, lengths, []byte(extensionIdentifier+extensionDescription+extensionSource))
}

// attributeFields returns the fields of a file of any type: mode, links, owner,
// serial number (RRIP 4.1.1) and time of modification (RRIP 4.1.6).
func attributeFields(f *file) [][]byte {
	var p []byte
	for _, n := range []uint32{f.Mode, f.links(), f.UID, f.GID, f.serial()} {
		p = appendBoth32(p, n)
	}
	return [][]byte{
		field(fieldPOSIX, p),
		field(fieldTimes, []byte{timeModify}, shortDate(f.ModTime)),
	}
}

// nameFields returns the fields of a name (RRIP 4.1.4): two where it is long.
func nameFields(name string) [][]byte {
	const room = maxField - nameHeader
	if len(name) > room {
		return append([][]byte{field(fieldName, []byte{flagContinue}, []byte(name[:room]))}, nameFields(name[room:])...)
	}
	return [][]byte{field(fieldName, []byte{0}, []byte(name))}
}

// typeFields returns the fields that only files of one type have.
func typeFields(n *image.Inode) [][]byte {
	switch n.Type() {
	case image.TypeSymlink:
		return symlinkFields(n.Target)
	case image.TypeChar, image.TypeBlock:
		high, low := encodeDevice(n.Major, n.Minor)
		return [][]byte{field(fieldDevice, appendBoth32(appendBoth32(nil, high), low))}
	}
	return nil
}

// symlinkFields returns the fields of a target (RRIP 4.1.3). Components that do
// not fit a field continue in the next. Empty ones, as between two slashes, stay.
func symlinkFields(target string) [][]byte {
	const room = maxField - symlinkHeader
	var fields [][]byte
	var area []byte
	add := func(flags byte, text string) {
		for len(area)+2+len(text) > room {
			part := max(0, room-len(area)-2)
			if part > 0 {
				area = append(append(area, flags|flagContinue, byte(part)), text[:part]...)
				text = text[part:]
			}
			fields = append(fields, field(fieldSymlink, []byte{flagContinue}, area))
			area = nil
		}
		area = append(append(area, flags, byte(len(text))), text...)
	}
	if rest, absolute := strings.CutPrefix(target, "/"); absolute {
		add(flagRoot, "")
		if target = rest; target == "" {
			return append(fields, field(fieldSymlink, []byte{0}, area))
		}
	}
	for part := range strings.SplitSeq(target, "/") {
		switch part {
		case ".":
			add(flagCurrent, "")
		case "..":
			add(flagParent, "")
		default:
			add(0, part)
		}
	}
	return append(fields, field(fieldSymlink, []byte{0}, area))
}

// Device numbers that Linux has.
const (
	maxMajor = 1<<12 - 1
	maxMinor = 1<<20 - 1
)

// encodeDevice returns the two halves of a device's numbers (RRIP 4.1.2, which
// leaves open how they are split): where they fit two bytes the old form of
// Unix in the low half, which everyone reads; else one in each, as Linux and
// FreeBSD read it.
func encodeDevice(major, minor uint32) (high, low uint32) {
	if minor <= 0xff {
		return 0, major<<8 | minor
	}
	if major == 0 {
		return 0, joinDevice(major, minor)
	}
	return major, minor
}

// joinDevice returns device numbers as glibc's makedev(3) joins them.
func joinDevice(major, minor uint32) uint32 { return minor&^0xff<<12 | major<<8 | minor&0xff }

// decodeDevice returns a device's numbers. Where the high half is empty, the low
// one is what makedev(3) makes, as xorriso and genisoimage write it.
func decodeDevice(high, low uint32) (major, minor uint32) {
	if high != 0 {
		return high, low
	}
	return low >> 8 & maxMajor, low>>12&^0xff | low&0xff
}
