package vhd

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"strings"
	"unicode/utf16"

	"github.com/cloudlets/cloudlets/converter/container"
)

// header is what the header of a dynamic or differencing file says.
type header struct {
	tableOffset uint64
	entries     int64
	blockSize   int64 // bytes
	parentID    [16]byte
	parentName  string
}

func (h header) encode() []byte {
	be := binary.BigEndian
	p := make([]byte, headerSize)
	copy(p, headerCookie)
	be.PutUint64(p[headerDataOffset:], noOffset)
	be.PutUint64(p[headerTableOffset:], h.tableOffset)
	be.PutUint32(p[headerVersion:], formatVersion)
	be.PutUint32(p[headerEntries:], uint32(h.entries))
	be.PutUint32(p[headerBlockSize:], uint32(h.blockSize))
	copy(p[headerParentID:], h.parentID[:])
	for i, c := range utf16.Encode([]rune(h.parentName)) {
		be.PutUint16(p[headerParentName+2*i:], c)
	}
	be.PutUint32(p[headerChecksum:], checksum(p, headerChecksum))
	return p
}

// readHeader reads the header of a dynamic or differencing file.
func (r *reader) readHeader() error {
	be := binary.BigEndian
	p, err := r.file.Bytes("header", r.footer.dataOffset, headerSize)
	if err != nil {
		return err
	}
	r.used.Add("header", int64(r.footer.dataOffset), headerSize)
	if !strings.HasPrefix(string(p[:8]), headerCookie) {
		return fmt.Errorf("%w: the header at %d begins with %q, not %q", container.ErrFormat, r.footer.dataOffset, p[:8], headerCookie)
	}
	if got, want := be.Uint32(p[headerChecksum:]), checksum(p, headerChecksum); got != want {
		return fmt.Errorf("%w: the header's checksum is %#08x, its bytes give %#08x", container.ErrFormat, got, want)
	}
	if v := be.Uint32(p[headerVersion:]); v>>16 != formatVersion>>16 {
		return fmt.Errorf("%w: version %d.%d of the header; want 1", container.ErrUnsupported, v>>16, v&0xffff)
	}
	r.header = header{
		tableOffset: be.Uint64(p[headerTableOffset:]),
		entries:     int64(be.Uint32(p[headerEntries:])),
		blockSize:   int64(be.Uint32(p[headerBlockSize:])),
	}
	if r.footer.diskType == typeDifferencing {
		if err := r.readParent(p); err != nil {
			return err
		}
	}
	return r.checkHeader()
}

// checkHeader checks what the header says of the table.
func (r *reader) checkHeader() error {
	h := r.header
	if bits.OnesCount64(uint64(h.blockSize)) != 1 || h.blockSize < sectorSize {
		return fmt.Errorf("%w: blocks of %d bytes; want a power of two from %d", container.ErrFormat, h.blockSize, sectorSize)
	}
	need := container.DivideUp(int64(r.footer.size()), h.blockSize)
	if need > maxEntries {
		return fmt.Errorf("%w: blocks of %d bytes are too small for a disk of %d bytes: at most %d are read",
			container.ErrUnsupported, h.blockSize, r.footer.size(), maxEntries)
	}
	if h.entries < need {
		return fmt.Errorf("%w: the block allocation table has %d entries, the disk of %d bytes needs %d",
			container.ErrFormat, h.entries, r.footer.size(), need)
	}
	if err := r.file.Contains("block allocation table", h.tableOffset, h.entries*entrySize); err != nil {
		return err
	}
	r.used.Add("block allocation table", int64(h.tableOffset), h.entries*entrySize)
	r.header.entries = need
	return nil
}

// readParent finds the parent of a differencing file by its name. p is the
// header. The paths beside the name, which other programs look for the parent at,
// are not read.
func (r *reader) readParent(p []byte) error {
	be := binary.BigEndian
	var name []uint16
	for i := 0; i < parentNameSize; i += 2 {
		c := be.Uint16(p[headerParentName+i:])
		if c == 0 {
			break
		}
		name = append(name, c)
	}
	parent, err := r.find.Find(string(utf16.Decode(name)))
	if err != nil {
		return err
	}
	if size := container.AlignUp(parent.Size, sectorSize); uint64(size) != r.footer.size() {
		return fmt.Errorf("%w: a disk of %d bytes whose parent has %d: a differencing VHD has the size of its parent", container.ErrFormat, r.footer.size(), size)
	}
	r.disk.Parent = &parent
	return nil
}
