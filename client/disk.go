package client

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"

	"github.com/cloudlets/cloudlets/api"
	"github.com/cloudlets/cloudlets/blobstore/frame"
	"github.com/cloudlets/cloudlets/converter"
	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image/kind"
)

// localDisk names the content of a file that nobody has hashed.
const localDisk extent.Digest = "local:disk"

// openDisk opens the disk or the filesystem in a file with the reader of the
// container format that was decided on. Files of other kinds stay as they are.
func (f *File) openDisk(ctx context.Context, o FileOptions) error {
	if f.Kind.Type != kind.Disk && f.Kind.Type != kind.Filesystem {
		return nil
	}
	disk, err := f.openContainer(ctx, o.Parent)
	if errors.Is(err, converter.ErrUnreadable) {
		return fmt.Errorf("%w: take the file as it is, with --verbatim", err)
	}
	if err != nil {
		return adviseParent(err)
	}
	if err := o.checkSize(disk.Map.Size()); err != nil {
		return err
	}
	if f.Kind.Container == kind.Raw {
		if disk.Map, err = dataOf(f.content, f.size, localDisk); err != nil {
			return err
		}
	}
	f.disk, f.Kind.Container = disk, kind.Raw
	return nil
}

// openContainer opens what is in the file with the reader of the container format
// that was decided on, over the parent that the file may leave content to, or nil.
func (f *File) openContainer(ctx context.Context, parent *Image) (*container.Disk, error) {
	if f.opened != nil {
		return f.opened, nil
	}
	find, err := f.findParent(ctx, parent)
	if err != nil {
		return nil, err
	}
	disk, err := converter.OpenOver(ctx, string(f.Kind.Container), f.content, f.size, localDisk, find)
	if err != nil {
		return nil, err
	}
	f.opened = disk
	return disk, nil
}

// dataOf returns the map of a file that it names source, with its holes as zeros.
func dataOf(f *os.File, size int64, source extent.Digest) (*extent.Map, error) {
	var b extent.Builder
	for b.Size() < size {
		start, err := unix.Seek(int(f.Fd()), b.Size(), unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) || err == nil && start >= size {
			b.ZeroTo(size) // holes up to the end
			break
		}
		if err != nil {
			return nil, fmt.Errorf("look for the holes of a file: %w", err)
		}
		end, err := unix.Seek(int(f.Fd()), start, unix.SEEK_HOLE)
		if err != nil {
			return nil, fmt.Errorf("look for the holes of a file: %w", err)
		}
		b.ZeroTo(start)
		b.Source(source, start, min(end, size)-start)
	}
	return b.Build()
}

// pushDisk pushes the disk in a file as frames on a grid, of which only those
// are sent that the registry lacks.
func (r *Repository) pushDisk(ctx context.Context, f *File) (ocispec.Descriptor, error) {
	step := r.client.step("push", f.disk.Map.Size())
	l, err := r.pushLayer(ctx, func(w io.Writer) (*layer, error) {
		return writeDisk(ctx, f.disk.Map, f.blobs(f.disk), w, &counter{step: step})
	})
	step.End(err)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	d := l.descriptor
	d.MediaType = api.MediaTypeFramed(string(f.Kind.Type))
	d.Annotations = maps.Clone(d.Annotations)
	if f.name != "" {
		d.Annotations[ocispec.AnnotationTitle] = strings.TrimSuffix(f.name, filepath.Ext(f.name)) + ".raw.zst"
	}
	return d, nil
}

// writeDisk writes a disk as frames on a grid to w. progress is written the raw
// disk.
func writeDisk(ctx context.Context, disk *extent.Map, open extent.Opener, w, progress io.Writer) (*layer, error) {
	l, err := writeFramed(w, func(frames *frame.Writer, content hash.Hash) (err error) {
		grid := frame.NewGrid(frames)
		reader := extent.NewReader(ctx, disk, open)
		defer func() { err = errors.Join(err, reader.Close()) }()
		if _, err := reader.WriteTo(io.MultiWriter(content, grid, progress)); err != nil {
			return fmt.Errorf("read the disk: %w", err)
		}
		return grid.Close()
	})
	if err != nil {
		return nil, err
	}
	l.descriptor.Annotations[api.AnnotationContentDigest] = l.diffID.String()
	l.descriptor.Annotations[api.AnnotationContentSize] = strconv.FormatInt(disk.Size(), 10)
	return l, nil
}

// PullFile writes the file of an artifact to w and verifies it: of a disk that
// is kept as frames, the raw disk.
func (r *Repository) PullFile(ctx context.Context, d ocispec.Descriptor, w io.Writer) error {
	content, _, ok := api.FramedContent(d.MediaType, d.Annotations)
	if !ok {
		return r.PullBlob(ctx, d, w)
	}
	return r.PullLayer(ctx, d, content, w)
}
