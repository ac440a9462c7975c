package fat32

import (
	"encoding/binary"
	"time"

	"github.com/cloudlets/cloudlets/image"
)

// encodeDirectory returns the entries of a directory.
func encodeDirectory(dir *file, label string) []byte {
	p := make([]byte, 0, dir.size)
	if dir.parent == dir {
		if label != "" {
			p = appendEntry(p, makeLabel(label), attrVolumeID, dir.inode.ModTime, 0, 0)
		}
	} else {
		p = appendEntry(p, makeShort(".", ""), attrDirectory, dir.inode.ModTime, dir.first, 0)
		p = appendEntry(p, makeShort("..", ""), attrDirectory, dir.parent.inode.ModTime, parentCluster(dir), 0)
	}
	for _, c := range dir.children {
		p = appendLongName(p, c.name)
		if c.file.inode.IsDir() {
			p = appendEntry(p, c.name.short, attrDirectory, c.file.inode.ModTime, c.file.first, 0)
		} else {
			p = appendEntry(p, c.name.short, attrArchive, c.file.inode.ModTime, c.file.first, c.file.size)
		}
	}
	return p
}

// parentCluster returns what ".." of a directory points to: 0 means the root.
func parentCluster(dir *file) int64 {
	if dir.parent.parent == dir.parent {
		return 0
	}
	return dir.parent.first
}

func makeLabel(label string) shortName {
	var s shortName
	copy(s[:], noLabel)
	if label != "" {
		copy(s[:], label+"           ")
	}
	return s
}

func appendEntry(p []byte, name shortName, attributes byte, t image.Time, cluster, size int64) []byte {
	le := binary.LittleEndian
	date, clock, tenMillis := fatTime(t)
	p = append(p, name[:]...)
	p = append(p, attributes, 0, tenMillis)
	p = le.AppendUint16(p, clock) // created
	p = le.AppendUint16(p, date)
	p = le.AppendUint16(p, date) // last read
	p = le.AppendUint16(p, uint16(cluster>>16))
	p = le.AppendUint16(p, clock) // last written
	p = le.AppendUint16(p, date)
	p = le.AppendUint16(p, uint16(cluster))
	return le.AppendUint32(p, uint32(size))
}

// appendLongName appends the entries of a long name, its end first. The name is
// ended by a zero and padded with ones, where there is room.
func appendLongName(p []byte, name entryName) []byte {
	count := int(name.entries()) - 1
	units := append([]uint16{}, name.long...)
	if len(units) < count*longEntryUnits {
		units = append(units, 0)
	}
	for len(units) < count*longEntryUnits {
		units = append(units, 0xffff)
	}
	for i := count; i > 0; i-- {
		number := byte(i)
		if i == count {
			number |= lastLongEntry
		}
		p = appendLongEntry(p, number, units[(i-1)*longEntryUnits:i*longEntryUnits], name.short.checksum())
	}
	return p
}

// appendLongEntry appends 13 code units of a long name, spread as the
// specification's LDIR_Name1, LDIR_Name2 and LDIR_Name3.
func appendLongEntry(p []byte, number byte, units []uint16, checksum byte) []byte {
	p = append(p, number)
	p = appendUnits(p, units[:5])
	p = append(p, attrLongName, 0, checksum)
	p = appendUnits(p, units[5:11])
	p = append(p, 0, 0) // a cluster number to old readers
	return appendUnits(p, units[11:])
}

func appendUnits(p []byte, units []uint16) []byte {
	for _, u := range units {
		p = binary.LittleEndian.AppendUint16(p, u)
	}
	return p
}

// The times FAT can tell, in seconds since 1970.
const (
	minTime = 315532800  // 1980-01-01T00:00:00Z
	maxTime = 4354819199 // 2107-12-31T23:59:59Z
)

// fatTime returns a time as FAT keeps it: date, time of day in units of two
// seconds, and the rest in units of ten milliseconds. FAT knows no time zones;
// like systems that boot from it, we use UTC. Times before 1980 and after 2107
// become the first and the last there is.
func fatTime(t image.Time) (date, clock uint16, tenMillis byte) {
	if t.Sec < minTime {
		t = image.Time{Sec: minTime}
	}
	u := time.Unix(min(t.Sec, maxTime), 0).UTC()
	date = uint16((u.Year()-1980)<<9 | int(u.Month())<<5 | u.Day())
	clock = uint16(u.Hour()<<11 | u.Minute()<<5 | u.Second()/2)
	return date, clock, byte(u.Second()%2*100) + byte(t.Nsec/1e7)
}
