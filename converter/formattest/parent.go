package formattest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/extent"
)

// CheckParent runs the tests of a format whose files may have parents.
func (f Format) CheckParent(t *testing.T) {
	t.Helper()
	t.Run("what is written over a parent is read over it", f.testOver)
	t.Run("a small change makes a small file", f.testSmallChange)
	t.Run("a parent of another size", f.testParentSize)
	t.Run("digests of other disks are refused", f.testOtherParent)
}

// Base compares a disk with its parent.
func Base(t convertertest.TB, disk, parent *extent.Map, blobs convertertest.Blobs) *container.Base {
	t.Helper()
	digest := blobs.Add(convertertest.Bytes(t, parent, blobs))
	base, err := container.Comparison{Disk: disk, Parent: parent, Digest: digest, Open: blobs}.Base(context.Background())
	if err != nil {
		t.Fatalf("compare the disk with its parent: %v", err)
	}
	return base
}

// over writes a disk over a parent, and returns the bytes with the parent.
func (f Format) over(t convertertest.TB, disk, parent *extent.Map, blobs convertertest.Blobs) ([]byte, container.Parent) {
	t.Helper()
	base := Base(t, disk, parent, blobs)
	m, err := f.WriteOver(disk, base)
	if err != nil {
		t.Fatalf("write over a parent: %v", err)
	}
	return convertertest.Bytes(t, m, blobs), container.Parent{Digest: base.Digest, Size: parent.Size()}
}

func (f Format) testOver(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		blobs := convertertest.Blobs{}
		parent := convertertest.DrawMap(t, blobs, 8*mib)
		off := rapid.Int64Range(0, parent.Size()).Draw(t, "change at")
		disk, err := extent.Overlay(parent, off, convertertest.DrawMap(t, blobs, 1<<17))
		if err != nil {
			t.Fatal(err)
		}
		size := parent.Size()
		if !f.SameSize {
			size = rapid.Int64Range(0, 2*disk.Size()).Draw(t, "size")
		}
		disk = sized(t, disk, size)
		file, p := f.over(t, disk, parent, blobs)
		blobs[Source] = file
		got, err := f.OpenOver(bytes.NewReader(file), int64(len(file)), Source, container.GivenParent(p))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(convertertest.Bytes(t, got.Map, blobs), convertertest.Bytes(t, f.pad(t, disk), blobs)) {
			t.Fatal("the disk differs from what was written")
		}
	})
}

// sized returns a disk cut to a size, or with zeros up to it.
func sized(t convertertest.TB, disk *extent.Map, size int64) *extent.Map {
	t.Helper()
	return convertertest.Build(t, func(b *extent.Builder) {
		b.Slice(disk, 0, min(disk.Size(), size))
		b.ZeroTo(size)
	})
}

// overlay returns a disk of 16 MiB, a parent, with some bytes changed.
func overlay(t convertertest.TB, blobs convertertest.Blobs) (disk, parent *extent.Map) {
	t.Helper()
	content := blobs.Add(bytes.Repeat([]byte("content "), 16<<17))
	parent = convertertest.Build(t, func(b *extent.Builder) { b.Source(content, 0, 16*mib) })
	disk, err := extent.Overlay(parent, 10*mib, convertertest.Build(t, func(b *extent.Builder) { b.Inline([]byte("changed")) }))
	if err != nil {
		t.Fatalf("%v", err)
	}
	return disk, parent
}

func (f Format) testSmallChange(t *testing.T) {
	blobs := convertertest.Blobs{}
	disk, parent := overlay(t, blobs)
	file, p := f.over(t, disk, parent, blobs)
	if len(file) > int(6*mib) {
		t.Errorf("seven changed bytes make a file of %d", len(file))
	}
	var missing *container.ParentError
	if _, err := f.OpenOver(bytes.NewReader(file), int64(len(file)), Source, nil); !errors.As(err, &missing) || missing.Name != string(p.Digest) {
		t.Errorf("without its parent %s: %v", p.Digest, err)
	}
}

func (f Format) testParentSize(t *testing.T) {
	blobs := convertertest.Blobs{}
	disk, parent := overlay(t, blobs)
	file, p := f.over(t, disk, parent, blobs)
	for _, size := range []int64{0, 1, 16*mib - 512, 16*mib + 512, 1 << 60} {
		p.Size = size
		_, err := f.OpenOver(bytes.NewReader(file), int64(len(file)), Source, container.GivenParent(p))
		if (err != nil) != f.SameSize || err != nil && !errors.Is(err, container.ErrFormat) {
			t.Errorf("opened over a parent of %d bytes: %v", size, err)
		}
	}
	longer := sized(t, disk, disk.Size()+4096)
	if _, err := f.WriteOver(longer, Base(t, longer, parent, blobs)); (err != nil) != f.SameSize {
		t.Errorf("written over a shorter parent: %v", err)
	}
}

func (f Format) testOtherParent(t *testing.T) {
	blobs := convertertest.Blobs{}
	disk, parent := overlay(t, blobs)
	file, p := f.over(t, disk, parent, blobs)
	other := container.Parent{Digest: blobs.Add([]byte("another disk")), Size: p.Size}
	for _, d := range []extent.Digest{other.Digest, Source, ""} {
		other.Digest = d
		if _, err := f.OpenOver(bytes.NewReader(file), int64(len(file)), Source, container.GivenParent(other)); !errors.Is(err, container.ErrUnsupported) {
			t.Errorf("opened over %q: %v", d, err)
		}
	}
}

// OverParent returns the format for files over a parent that says "parent!" in each
// of its lines, and a file of a disk over that.
func (f Format) OverParent(t convertertest.TB, disk *extent.Map) (over Format, file []byte) {
	t.Helper()
	parent := convertertest.Build(t, func(b *extent.Builder) { b.Inline(bytes.Repeat([]byte("parent!\n"), int(disk.Size()/8))) })
	over = f
	file, over.parent = f.over(t, disk, parent, convertertest.Blobs{})
	over.Open = func(r io.ReaderAt, size int64, source extent.Digest) (*container.Disk, error) {
		return f.OpenOver(r, size, source, container.GivenParent(over.parent))
	}
	return over, file
}

// FuzzOver has OpenOver read mutations of a small file over a parent, as
// [Format.Fuzz] does; prepare corrects what would be found wrong first, such as
// checksums, and may be nil.
func (f Format) FuzzOver(fz *testing.F, disk *extent.Map, prepare func(file []byte)) {
	f, file := f.OverParent(fz, disk)
	fz.Add(file)
	fz.Fuzz(func(t *testing.T, file []byte) {
		if prepare != nil {
			file = slices.Clone(file)
			prepare(file)
		}
		f.OpenHostile(t, file)
	})
}
