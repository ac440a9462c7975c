package iso9660

import (
	"fmt"
	"io"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// Limits on what is read. Each is far above what systems make.
const (
	maxDescriptors    = 64        // before the one that ends them
	maxDirectory      = 256 << 20 // bytes of one directory
	maxContinuations  = 64        // of one record; Linux follows 32
	maxContinuation   = 1 << 20   // bytes of one area
	directoryReadSize = 64 << 10  // bytes; whole sectors
)

// Open returns the tree of a volume: r reads it, size is its length in bytes, and
// source is the digest by which the content of files names it. The names are
// those of Rock Ridge, else those of Joliet, else plain ones, which are made
// lower-case and lose their versions, as Linux shows them. Without Rock Ridge,
// directories have the mode 0555, and files 0444.
//
// Directories that Rock Ridge has moved are put back. Files are joined to one
// where their serial numbers and all else say that they are.
//
// Errors wrap [container.ErrFormat] where the volume is not sound: content past
// its end, directories in themselves, endless continuation areas, names that
// stand twice. They wrap [container.ErrUnsupported] where it holds files that are
// compressed (zisofs), sparse or interleaved. No directory is read twice, and at
// most as many bytes as the volume has; the tree takes at most [container.MaxTree]
// bytes of memory.
func Open(r io.ReaderAt, size int64, source extent.Digest) (*image.Tree, error) {
	v := &reader{
		file:    container.File{Reader: r, Size: size},
		source:  source,
		memory:  container.Memory{Limit: container.MaxTree},
		found:   make(map[uint64]found),
		emptied: make(map[*image.Inode]bool),
		linked:  make(map[uint32]linkedFile),
	}
	tree, err := v.open()
	if err != nil {
		return nil, fmt.Errorf("open ISO 9660 volume of %d bytes: %w", size, err)
	}
	return tree, nil
}

// reader reads a volume.
type reader struct {
	file      container.File
	source    extent.Digest
	blockSize int64 // bytes of a logical block

	names namesOf
	skip  int // bytes before the system use fields of each record

	memory  container.Memory
	found   map[uint64]found      // files that are not in the tree yet, and directories to be read
	emptied map[*image.Inode]bool // directories that held nothing but those moved to them
	linked  map[uint32]linkedFile // files with several names, by serial number
	files   int
	spent   int64 // bytes of directories and continuation areas that were read
}

// namesOf says where the names of files are taken from.
type namesOf int

const (
	plainNames namesOf = iota
	jolietNames
	rockRidgeNames
)

// open finds the root directory and reads all that is below it.
func (r *reader) open() (*image.Tree, error) {
	primary, joliet, err := r.descriptors()
	if err != nil {
		return nil, err
	}
	root, err := r.root(primary)
	if err != nil {
		return nil, err
	}
	top := &image.Inode{Mode: image.TypeDir | defaultDirectoryMode, ModTime: parseShortDate(root.date)}
	isRockRidge, err := r.findRockRidge(root, top)
	switch {
	case err != nil:
		return nil, fmt.Errorf("root directory: %w", err)
	case isRockRidge:
		r.names = rockRidgeNames
	case joliet != nil:
		r.names = jolietNames
		if root, err = r.root(joliet); err != nil {
			return nil, err
		}
	}
	return r.tree(top, root)
}

// descriptors returns the primary volume descriptor, and that of Joliet or nil.
func (r *reader) descriptors() (primary, joliet []byte, err error) {
	for i := range maxDescriptors {
		p, err := r.file.Bytes("volume descriptor", uint64(primaryBlock+i)*blockSize, blockSize)
		if err != nil {
			return nil, nil, err
		}
		if string(p[1:descriptorVersionAt]) != standardIdentifier {
			if i == 0 {
				return nil, nil, fmt.Errorf("%w: %q where %s belongs, at %d", container.ErrFormat, p[1:descriptorVersionAt], standardIdentifier, primaryBlock*blockSize+1)
			}
			break // volumes without an end of descriptors exist
		}
		switch {
		case p[0] == descriptorPrimary && primary == nil:
			primary = p
		case p[0] == descriptorSupplementary && joliet == nil && isJoliet(p):
			joliet = p
		}
		if p[0] == descriptorEnd {
			break
		}
	}
	if primary == nil {
		return nil, nil, fmt.Errorf("%w: no primary volume descriptor", container.ErrFormat)
	}
	return primary, joliet, nil
}

// isJoliet reports whether a supplementary descriptor is of Joliet: of UCS-2 at
// one of its three levels.
func isJoliet(p []byte) bool {
	switch string(p[escapeSequencesAt : escapeSequencesAt+3]) {
	case "%/@", "%/C", "%/E":
		return true
	}
	return false
}

// root returns the record of the root directory that a descriptor holds. Numbers
// in both byte orders are read from the first, as Linux does: some programs
// forget about the second.
func (r *reader) root(descriptor []byte) (record, error) {
	r.blockSize = int64(little.Uint16(descriptor[logicalBlockSizeAt:]))
	if r.blockSize != 512 && r.blockSize != 1024 && r.blockSize != blockSize {
		return record{}, fmt.Errorf("%w: blocks of %d bytes, expected 512, 1024 or 2048", container.ErrFormat, r.blockSize)
	}
	root, err := decodeRecord(descriptor[rootRecordAt : rootRecordAt+recordNameAt+1])
	if err != nil {
		return record{}, fmt.Errorf("root directory: %w", err)
	}
	if root.flags&flagDirectory == 0 {
		return record{}, fmt.Errorf("%w: the root is not a directory", container.ErrFormat)
	}
	return root, nil
}

// offset returns where a block stands in the file.
func (r *reader) offset(block int64) uint64 { return uint64(block) * uint64(r.blockSize) }

// spend returns n bytes of directories or continuation areas. It refuses to read
// more of them than the volume has bytes: then some are used twice.
func (r *reader) spend(what string, off uint64, n int64) ([]byte, error) {
	if r.spent += n; r.spent > r.file.Size {
		return nil, fmt.Errorf("%w: directories and continuation areas overlap: they have more bytes than the volume", container.ErrFormat)
	}
	return r.file.Bytes(what, off, n)
}
