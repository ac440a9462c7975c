package formattest

import (
	"errors"
	"strconv"
	"testing"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/image"
)

// layout is one to which pieces are added that are no neighbours.
type layout struct{ container.Layout }

func newLayout() *layout {
	const huge = 1 << 50
	return &layout{container.Layout{File: container.File{Size: huge}, Size: huge, Grain: 512}}
}

func (l *layout) add(i int64) error { return l.Add(2*i, uint64(i*l.Grain)) }

// What readers keep of a disk is refused before it takes more than there is for
// all of it, however small the file.
func TestPiecesAreBounded(t *testing.T) {
	layout := newLayout()
	var ranges container.Ranges
	sectors := container.Sectors{Source: Source}
	everyOther := container.Bitmap{0b0100_0000}
	for name, add := range map[string]func(i int64) error{
		"grains":  layout.add,
		"ranges":  func(i int64) error { return ranges.Join("block", 2*i, 1) },
		"sectors": func(i int64) error { return sectors.Choose(everyOther, 512, i*1024, 1024) },
	} {
		CheckMemory(t, MaxMemory, func() {
			var err error
			for i := int64(0); err == nil && i <= container.MaxPieces; i++ {
				err = add(i)
			}
			if !errors.Is(err, container.ErrUnsupported) {
				t.Errorf("%s: got %v", name, err)
			}
		})
	}
}

// As many pieces as there may be are a disk.
func TestDisksOfManyPiecesAreBounded(t *testing.T) {
	l := newLayout()
	CheckMemory(t, MaxMemory, func() {
		for i := range int64(container.MaxPieces) {
			if err := l.add(i); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := l.Disk(Source, nil); err != nil {
			t.Error(err)
		}
	})
}

// endless is a filesystem with a directory of files without end.
type endless struct{}

func (endless) ReadInode(id uint64) (*image.Inode, error) {
	if id == 0 {
		return &image.Inode{Mode: image.TypeDir}, nil
	}
	return &image.Inode{Mode: image.TypeRegular}, nil
}

func (endless) ReadDirectory(_ uint64, link func(name string, id uint64) error) error {
	for id := uint64(1); ; id++ {
		if err := link(strconv.FormatUint(id, 36), id); err != nil {
			return err
		}
	}
}

func TestFilesAreBounded(t *testing.T) {
	const limit = 128 << 20
	CheckMemory(t, limit, func() {
		_, err := container.ReadTree(0, endless{}, &container.Memory{Limit: limit})
		if !errors.Is(err, container.ErrUnsupported) {
			t.Errorf("got %v", err)
		}
	})
}
