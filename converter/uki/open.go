package uki

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Section is a section of a PE file.
type Section struct {
	Name string
	// Offset is where its content stands in the file, in bytes, and Size how much
	// there is.
	Offset, Size int64

	address, virtualSize int64 // where it is loaded to, and how much
}

// Image is a PE file that was opened.
type Image struct {
	Sections []Section
	// Size is how many bytes it takes in memory.
	Size int64

	headers      []byte // to the end of the table of sections
	optional     int    // where the optional header begins
	table        int    // where the table of sections begins
	fileUnit     int64
	memoryUnit   int64
	headersLimit int64 // where the headers must end
}

// Unified reports whether the file is a unified kernel image.
func (i *Image) Unified() bool { return i.Section(SectionLinux) != nil }

// Section returns the first section of a name, or nil.
func (i *Image) Section(name string) *Section {
	at := slices.IndexFunc(i.Sections, func(s Section) bool { return s.Name == name })
	if at < 0 {
		return nil
	}
	return &i.Sections[at]
}

// Open reads the headers of a PE file for 64 bits of size bytes: at most 64 KiB.
// All sections lie within the file. Errors wrap [ErrFormat] and those of r.
func Open(r io.ReaderAt, size int64) (*Image, error) {
	i, err := open(r, size)
	if err != nil {
		return nil, fmt.Errorf("open an EFI program of %d bytes: %w", size, err)
	}
	return i, nil
}

func open(r io.ReaderAt, size int64) (*Image, error) {
	head := make([]byte, min(size, maxHeaders))
	if n, err := r.ReadAt(head, 0); err != nil && (err != io.EOF || n < len(head)) {
		return nil, fmt.Errorf("read its headers: %w", err)
	}
	i, err := parseHeaders(head)
	if err != nil {
		return nil, err
	}
	for n := range len(i.headers[i.table:]) / sectionHeader {
		s := parseSection(i.headers[i.table+n*sectionHeader:])
		if s.Offset > size || s.Size > size-s.Offset {
			return nil, fmt.Errorf("%w: the section %q of %d bytes at %d is not in the file", ErrFormat, s.Name, s.Size, s.Offset)
		}
		i.Sections = append(i.Sections, s)
	}
	return i, nil
}

// parseHeaders finds the headers of a PE file that begins so.
func parseHeaders(head []byte) (*Image, error) {
	if len(head) < peOffsetOffset+4 || !bytes.HasPrefix(head, []byte(dosMagic)) {
		return nil, fmt.Errorf("%w: expected %q at its beginning", ErrFormat, dosMagic)
	}
	pe := int64(binary.LittleEndian.Uint32(head[peOffsetOffset:]))
	if pe > int64(len(head))-coffSize || string(head[pe:pe+4]) != peMagic {
		return nil, fmt.Errorf("%w: expected %q at %d", ErrFormat, peMagic, pe)
	}
	count, length := int(binary.LittleEndian.Uint16(head[pe+sectionCount:])), int(binary.LittleEndian.Uint16(head[pe+optionalSize:]))
	i := &Image{optional: int(pe) + coffSize}
	i.table = i.optional + length
	end := i.table + count*sectionHeader
	if length < minOptional || count > maxSections || end > len(head) {
		return nil, fmt.Errorf("%w: an optional header of %d bytes and %d sections: expected at least %d and at most %d, within the first %d bytes",
			ErrFormat, length, count, minOptional, maxSections, len(head))
	}
	i.headers = head[:end]
	optional := head[i.optional:]
	if magic := binary.LittleEndian.Uint16(optional); magic != optionalMagic {
		return nil, fmt.Errorf("%w: a PE file of the kind %#x, expected %#x for 64 bits", ErrFormat, magic, optionalMagic)
	}
	i.Size = int64(binary.LittleEndian.Uint32(optional[imageSize:]))
	i.memoryUnit = int64(binary.LittleEndian.Uint32(optional[sectionAlignment:]))
	i.fileUnit = int64(binary.LittleEndian.Uint32(optional[fileAlignment:]))
	i.headersLimit = int64(binary.LittleEndian.Uint32(optional[headersSize:]))
	return i, nil
}

func parseSection(header []byte) Section {
	word := func(at int) int64 { return int64(binary.LittleEndian.Uint32(header[at:])) }
	s := Section{
		Name:        strings.TrimRight(string(header[:sectionNameSize]), "\x00"),
		virtualSize: word(8), address: word(12), Size: word(16), Offset: word(20),
	}
	// What stands beyond is padding to a unit of the file.
	s.Size = min(s.Size, max(s.virtualSize, 0))
	return s
}
