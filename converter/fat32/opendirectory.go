package fat32

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// What directory entries say besides what the writer makes them say.
const (
	attrReadOnly    = 0x01
	entryEnd        = 0x00 // first byte of an entry: this and all that follow are free
	entryDeleted    = 0xe5
	entryIsE5       = 0x05 // the name begins with the byte 0xe5
	lowerBase       = 0x08 // in byte 12, as Windows NT writes it
	lowerExtension  = 0x10
	longNumberMask  = 0x1f
	maxLongEntries  = 20
	openMode        = 0o755
	openModeNoWrite = 0o555
)

// foreignFile is a directory entry with its name.
type foreignFile struct {
	name       string
	attributes byte
	modTime    image.Time
	first      uint32
	size       int64
}

// rootDirectory reads the root directory, which FAT12 and FAT16 have a place for.
func (v *volume) rootDirectory() ([]foreignFile, error) {
	if v.width == 32 {
		return v.directory(v.rootCluster)
	}
	b, err := v.file.Bytes("root directory", uint64(v.rootStart), v.rootSize)
	if err != nil {
		return nil, err
	}
	return decodeDirectory(b)
}

func (v *volume) directory(first uint32) ([]foreignFile, error) {
	clusters, err := v.chain(first, -1)
	if err != nil {
		return nil, err
	}
	var b []byte
	for _, cluster := range clusters {
		more, err := v.file.Bytes("cluster", uint64(v.position(cluster)), v.clusterSize)
		if err != nil {
			return nil, err
		}
		b = append(b, more...)
	}
	return decodeDirectory(b)
}

// fill adds the files of a directory to it, and all that is below them.
func (v *volume) fill(dir *image.Inode, entries []foreignFile, path string, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("%s: %w: more than %d directories deep", path, container.ErrFormat, maxDepth)
	}
	for _, e := range entries {
		path := path + "/" + e.name
		if v.width < 32 {
			e.first &= 0xffff // the upper half is something else
		}
		if dir.Lookup(e.name) != nil {
			return fmt.Errorf("%s: %w: the name stands twice in its directory", path, container.ErrFormat)
		}
		if err := errors.Join(v.memory.SpendName(e.name), v.memory.Spend(container.InodeMemory)); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		file := &image.Inode{Mode: image.TypeRegular | e.mode(), ModTime: e.modTime}
		dir.Link(e.name, file)
		if e.attributes&attrDirectory == 0 {
			var err error
			if file.Content, err = v.content(e); err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			if len(file.Content) > 0 {
				file.Order = file.Content[0].Offset
			}
			continue
		}
		file.Mode = image.TypeDir | e.mode()
		below, err := v.directory(e.first)
		if err != nil {
			return fmt.Errorf("directory %s: %w", path, err)
		}
		if err := v.fill(file, below, path, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (e foreignFile) mode() uint32 {
	if e.attributes&attrReadOnly != 0 {
		return openModeNoWrite
	}
	return openMode
}

// content returns the extents of a file.
func (v *volume) content(e foreignFile) ([]extent.Extent, error) {
	if e.size == 0 {
		return nil, nil
	}
	clusters, err := v.chain(e.first, e.size)
	if err != nil {
		return nil, err
	}
	var content []extent.Extent
	left := e.size
	for _, cluster := range clusters {
		at, n := v.position(cluster), min(left, v.clusterSize)
		left -= n
		if last := len(content) - 1; last >= 0 && content[last].Offset+content[last].Length == at {
			content[last].Length += n
			continue
		}
		if err := v.memory.Spend(container.ExtentMemory); err != nil {
			return nil, err
		}
		content = append(content, extent.Extent{Kind: extent.Source, Length: n, Digest: v.source, Offset: at})
	}
	return content, nil
}

// decodeDirectory returns the files in a directory, without labels, "." and "..".
func decodeDirectory(b []byte) ([]foreignFile, error) {
	var files []foreignFile
	var long longName
	for ; len(b) >= dirEntrySize && b[0] != entryEnd; b = b[dirEntrySize:] {
		e := b[:dirEntrySize]
		switch {
		case e[0] == entryDeleted:
			long = longName{}
			continue
		case e[11]&attrLongName == attrLongName:
			long.add(e)
			continue
		case e[11]&attrVolumeID != 0 || isDots(e):
			long = longName{}
			continue
		}
		f, err := decodeFile(e, long)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
		long = longName{}
	}
	return files, nil
}

func isDots(e []byte) bool {
	return bytes.Equal(e[:11], []byte(".          ")) || bytes.Equal(e[:11], []byte("..         "))
}

func decodeFile(e []byte, long longName) (foreignFile, error) {
	le := binary.LittleEndian
	f := foreignFile{
		attributes: e[11],
		modTime:    imageTime(le.Uint16(e[24:]), le.Uint16(e[22:])),
		first:      uint32(le.Uint16(e[20:]))<<16 | uint32(le.Uint16(e[26:])),
		size:       int64(le.Uint32(e[28:])),
	}
	name, ok := long.of(shortName(e[:11]))
	if !ok {
		name = decodeShort(shortName(e[:11]), e[12])
	}
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") || !utf8.ValidString(name) || strings.ContainsRune(name, utf8.RuneError) {
		return f, fmt.Errorf("%w: the name %q is none that a file can have", container.ErrFormat, name)
	}
	f.name = name
	return f, nil
}

// longName is a long name while its entries are read, the last of which come
// first.
type longName struct {
	units    []uint16 // the end of the name, in its order
	next     byte     // the number of the entry that must come next
	checksum byte     // of the short name it belongs to
	broken   bool
}

// add adds an entry. One that does not belong to those before it makes the name
// void: systems without long names leave such entries behind.
func (n *longName) add(e []byte) {
	number := e[0]
	if number&lastLongEntry != 0 {
		*n = longName{next: number & longNumberMask, checksum: e[13]}
		n.broken = n.next == 0 || n.next > maxLongEntries
		number = n.next
	}
	if n.broken || n.next == 0 || number != n.next || e[13] != n.checksum {
		n.broken = true
		return
	}
	n.next--
	units := make([]uint16, 0, longEntryUnits)
	for _, part := range [][]byte{e[1:11], e[14:26], e[28:32]} {
		for ; len(part) > 0; part = part[2:] {
			units = append(units, binary.LittleEndian.Uint16(part))
		}
	}
	n.units = append(units, n.units...)
}

// of returns the name, if it is one and belongs to a short name.
func (n *longName) of(short shortName) (string, bool) {
	if n.broken || n.next != 0 || len(n.units) == 0 || n.checksum != short.checksum() {
		return "", false
	}
	units := n.units
	if end := slices.Index(units, 0); end >= 0 {
		units = units[:end]
	}
	return string(utf16.Decode(units)), true
}

// decodeShort returns a short name in lower case where flags say so.
func decodeShort(short shortName, flags byte) string {
	if short[0] == entryIsE5 {
		short[0] = entryDeleted
	}
	base := decodePart(short[:shortBase], flags&lowerBase != 0)
	extension := decodePart(short[shortBase:], flags&lowerExtension != 0)
	if extension == "" {
		return base
	}
	return base + "." + extension
}

func decodePart(part []byte, lower bool) string {
	var b strings.Builder
	for _, c := range bytes.TrimRight(part, " ") {
		if c < utf8.RuneSelf {
			b.WriteByte(c)
			continue
		}
		b.WriteRune([]rune(codePage437)[c-utf8.RuneSelf])
	}
	if lower {
		return strings.ToLower(b.String())
	}
	return b.String()
}

// codePage437 are the characters of the bytes from 0x80 on in the code page that
// Linux takes short names for (CONFIG_FAT_DEFAULT_CODEPAGE).
const codePage437 = "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐" +
	"└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u00a0"

// imageTime is the inverse of fatTime, for the time of the last write, which is
// kept in units of two seconds. A date that is none is the first there is.
func imageTime(date, clock uint16) image.Time {
	month, day := int(date>>5&15), int(date&31)
	if month < 1 || month > 12 || day < 1 {
		return image.Time{Sec: minTime}
	}
	t := time.Date(1980+int(date>>9), time.Month(month), day, int(clock>>11), int(clock>>5&63), int(clock&31)*2, 0, time.UTC)
	return image.Time{Sec: t.Unix()}
}
