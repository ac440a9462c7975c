package erofs

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/cloudlets/cloudlets/converter/container"
)

// ReadDirectory is what [container.Inodes] asks for.
func (r *reader) ReadDirectory(id uint64, link func(name string, id uint64) error) error {
	dir := r.dirs[id]
	delete(r.dirs, id)
	for off, size := int64(0), dir.Size(); off < size; off += r.blockSize() {
		length := min(r.blockSize(), size-off)
		// Blocks of many directories may lie over each other.
		if err := r.memory.Spend(length); err != nil {
			return err
		}
		block, err := r.bytes(dir, off, length)
		if err != nil {
			return err
		}
		if err := readDirBlock(block, link); err != nil {
			return err
		}
	}
	return nil
}

// readDirBlock links all entries of a block of a directory.
func readDirBlock(block []byte, link func(name string, id uint64) error) error {
	le := binary.LittleEndian
	if len(block) < direntSize {
		return fmt.Errorf("%w: a block of a directory with %d bytes, expected at least %d", container.ErrFormat, len(block), direntSize)
	}
	names := int(le.Uint16(block[direntNameAt:]))
	if names == 0 || names%direntSize != 0 || names > len(block) {
		return fmt.Errorf("%w: the names in a block of a directory start at %d, expected a multiple of %d up to %d", container.ErrFormat, names, direntSize, len(block))
	}
	for at := 0; at < names; at += direntSize {
		start, end := int(le.Uint16(block[at+direntNameAt:])), len(block)
		if next := at + direntSize; next < names {
			end = int(le.Uint16(block[next+direntNameAt:]))
		}
		if start < names || start > end || end > len(block) {
			return fmt.Errorf("%w: a name from %d to %d of a block of %d bytes with names from %d on", container.ErrFormat, start, end, len(block), names)
		}
		name := block[start:end]
		if at+direntSize == names { // zeros may follow
			name, _, _ = bytes.Cut(name, []byte{0})
		}
		if len(name) > maxNameLength {
			return fmt.Errorf("%w: a name of %d bytes, expected at most %d", container.ErrFormat, len(name), maxNameLength)
		}
		if s := string(name); s != "." && s != ".." {
			if err := link(s, le.Uint64(block[at:])); err != nil {
				return err
			}
		}
	}
	return nil
}
