package client

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/cloudlets/cloudlets/image/kind"
	"github.com/cloudlets/cloudlets/image/tarball"
)

const (
	// DefaultMaxSize is how large the disk in a file may be, in bytes, unless
	// more is allowed.
	DefaultMaxSize = 1 << 40
	// maxExpansion is how many bytes that are not zero may come out of one byte
	// of a compressed stream, once more than freeExpansion have. Disks stay far
	// below it; zeros cost nothing and do not count.
	maxExpansion  = 200
	freeExpansion = 1 << 30
)

// ErrTooLarge is wrapped by errors about disks that are larger than allowed.
var ErrTooLarge = errors.New("more than is allowed")

// maxSize returns how large a disk may be.
func (o FileOptions) maxSize() int64 {
	if o.MaxSize > 0 {
		return o.MaxSize
	}
	return DefaultMaxSize
}

// checkSize refuses disks that are too large.
func (o FileOptions) checkSize(size int64) error {
	if size > o.maxSize() {
		return fmt.Errorf("the disk has %d bytes, %w, which is %d: allow more with --max-size", size, ErrTooLarge, o.maxSize())
	}
	return nil
}

// packedDisk reports whether a file is a compressed disk: one that is declared to
// be a disk or a filesystem and is compressed, or one that shows it.
func (f *File) packedDisk(o FileOptions) (bool, error) {
	compressed, err := isCompressed(f.content)
	if err != nil || o.Verbatim || !compressed {
		return false, err
	}
	found, err := kind.Detect(f.content, f.size)
	if o.Declared.Type == kind.Disk || o.Declared.Type == kind.Filesystem {
		return !found.Tar || !o.Rootfs, err
	}
	return found.Packed, err
}

// isCompressed reports whether a file begins as compressed ones do.
func isCompressed(f io.ReaderAt) (bool, error) {
	var head [16]byte // more than any magic number of a compression
	n, err := f.ReadAt(head[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	return tarball.DetectCompression(head[:n]) != tarball.Uncompressed, nil
}

// unpack replaces a compressed file by a temporary one with its content, which
// has holes for zeros.
func (c *Client) unpack(f *File, o FileOptions) (err error) {
	packed := &stepReader{r: f.Content(), step: c.progress.Step("decompress", f.size)}
	stream, _, err := tarball.Decompress(packed)
	if err != nil {
		return err
	}
	spool, err := newSpool()
	if err != nil {
		return errors.Join(err, stream.Close())
	}
	sparse := &SparseFile{file: spool, tail: make([]byte, 0, hole)}
	_, err = io.Copy(&expansion{out: sparse, options: o, packed: packed}, stream)
	if err == nil {
		err = sparse.finish()
	}
	if err = errors.Join(err, stream.Close()); err != nil {
		return errors.Join(err, spool.Close())
	}
	compressed := f.content
	f.name, f.content, f.size = strings.TrimSuffix(f.name, filepath.Ext(f.name)), spool, sparse.size
	return compressed.Close()
}

// expansion bounds what comes out of a compressed stream.
type expansion struct {
	out     *SparseFile
	options FileOptions
	packed  *stepReader
	size    int64
}

func (e *expansion) Write(p []byte) (int, error) {
	e.size += int64(len(p))
	if err := e.options.checkSize(e.size); err != nil {
		return 0, err
	}
	n, err := e.out.Write(p)
	if err == nil && e.options.MaxSize == 0 && e.out.data > freeExpansion && e.out.data/maxExpansion > e.packed.n {
		err = fmt.Errorf("%d compressed bytes have become %d, %w without --max-size", e.packed.n, e.out.data, ErrTooLarge)
	}
	return n, err
}
