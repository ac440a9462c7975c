package converter

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/converter/ova"
	"github.com/cloudlets/cloudlets/extent"
)

// ErrUnreadable is wrapped by errors about container formats that nothing here
// reads.
var ErrUnreadable = errors.New("nothing here reads the disk in it")

// containerOVA is a package of machines, of which the disk of one is read.
const containerOVA = "ova"

// Reads reports whether a disk is taken out of files of the format, by its reader
// or by whoever opens the file before that.
func (f Format) Reads() bool {
	switch f.Name {
	case formatCow: // its reader says what to do instead
		return false
	case containerOVA, formatRawGzip, formatRawZst, formatRawXz:
		return true
	}
	return f.Open != nil
}

// Open reads the disk in a file of size bytes, by the reader of the container
// format that the file is declared to be in; nothing is probed. source is the
// digest by which the disk's map names the file. The error wraps ErrUnreadable
// where there is no such reader.
func Open(ctx context.Context, format string, r io.ReaderAt, size int64, source extent.Digest) (*container.Disk, error) {
	return OpenOver(ctx, format, r, size, source, nil)
}

// OpenOver is [Open] for a file that may leave content to the parent that find
// knows. The map of the disk names that by its digest.
func OpenOver(ctx context.Context, format string, r io.ReaderAt, size int64, source extent.Digest, find container.FindParent) (*container.Disk, error) {
	if format == containerOVA {
		return openOVA(ctx, r, size, source)
	}
	f, err := FindFormat(format)
	if err != nil || f.Open == nil {
		return nil, fmt.Errorf("container format %s: %w", format, ErrUnreadable)
	}
	open := f.Open
	if f.OpenOver != nil {
		open = func(r io.ReaderAt, size int64, source extent.Digest) (*container.Disk, error) {
			return f.OpenOver(r, size, source, find)
		}
	}
	disk, err := open(r, size, source)
	if err != nil {
		return nil, fmt.Errorf("open the disk in a %s: %w", format, err)
	}
	return disk, nil
}

// openOVA reads the only disk of a package.
func openOVA(ctx context.Context, r io.ReaderAt, size int64, source extent.Digest) (*container.Disk, error) {
	p, err := ova.Open(r, size, source)
	if err != nil {
		return nil, err
	}
	if _, err := p.Verify(ctx); err != nil {
		return nil, err
	}
	if len(p.Disks) != 1 {
		return nil, fmt.Errorf("%w: the package has %d disks, expected one: take them out of it with tar", container.ErrUnsupported, len(p.Disks))
	}
	return p.Disks[0].Disk, nil
}
