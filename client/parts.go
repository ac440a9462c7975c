package client

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strconv"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/converter/vmdk"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image/kind"
)

// ErrParts is wrapped by errors about disks in several files.
var ErrParts = errors.New("give with --part each file that the disk is in")

// maxDescriptor is how much is read of what describes a disk in other files, in
// bytes: more than any has.
const maxDescriptor = 1 << 20

// filePart is a file that holds some of a disk which another file describes.
type filePart struct {
	name    string
	content *os.File
	size    int64
	source  extent.Digest // by which the disk's map names it
}

// openParts opens the files that hold the disk which this one describes. What they
// are called says which is which.
func (f *File) openParts(paths []string) error {
	for i, path := range paths {
		content, err := os.Open(path)
		if err != nil {
			return err
		}
		p := filePart{name: filepath.Base(path), content: content, source: localDisk + extent.Digest("."+strconv.Itoa(i))}
		f.parts = append(f.parts, p)
		info, err := content.Stat()
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return fmt.Errorf("%s: expected a file that holds some of a disk", path)
		}
		f.parts[i].size = info.Size()
	}
	return nil
}

// detect looks at the content of the file. Where that is the descriptor of a disk
// in other files, it is whole with those that were given. The error wraps ErrParts
// where they are not those that it names.
func (f *File) detect() (kind.Finding, error) {
	found, err := kind.Detect(f.content, f.size)
	if err != nil {
		return found, err
	}
	if found.Missing != kind.MissingParts {
		if len(f.parts) > 0 {
			err = fmt.Errorf("the file has %s, expected a VMDK descriptor, which names other files", found.Describe())
		}
		return found, err
	}
	disk, err := f.join()
	if err != nil {
		return found, err
	}
	if len(f.parts) > 0 {
		f.opened, found.Missing = disk, ""
	}
	return found, nil
}

// join opens the disk that the file describes, and its parts hold.
func (f *File) join() (*container.Disk, error) {
	text, err := io.ReadAll(io.NewSectionReader(f.content, 0, min(f.size, maxDescriptor)))
	if err != nil {
		return nil, err
	}
	var parts []vmdk.Part
	for _, p := range f.parts {
		parts = append(parts, vmdk.Part{Name: p.name, Reader: p.content, Size: p.size, Source: p.source})
	}
	disk, err := vmdk.OpenParts(text, parts)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, ErrParts)
	}
	if disk.Map, err = f.partsData(disk.Map); err != nil {
		return nil, err
	}
	return disk, nil
}

// partsData returns the map of the disk in the parts, with their holes as zeros.
func (f *File) partsData(disk *extent.Map) (*extent.Map, error) {
	data := make(map[extent.Digest]*extent.Map)
	for _, p := range f.parts {
		m, err := dataOf(p.content, p.size, p.source)
		if err != nil {
			return nil, err
		}
		data[p.source] = m
	}
	var b extent.Builder
	for i := range disk.Len() {
		_, e := disk.At(i)
		if e.Kind == extent.Source {
			b.Slice(data[e.Digest], e.Offset, e.Length)
			continue
		}
		b.Extent(e)
	}
	return b.Build()
}

// blobs returns what the map of the disk in the file refers to.
func (f *File) blobs(disk *container.Disk) container.Blobs {
	blobs := disk.Blobs(localDisk, openLayer{sizedFile{f.content, f.size}})
	for _, p := range f.parts {
		blobs[p.source] = openLayer{sizedFile{p.content, p.size}}
	}
	maps.Copy(blobs, f.parents)
	return blobs
}
