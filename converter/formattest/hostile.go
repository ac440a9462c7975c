package formattest

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/extent"
)

// Patch makes changes of files: numbers that are put in other numbers' places.
type Patch struct{ Order binary.ByteOrder }

// Uint16 puts a number of 16 bits at off.
func (p Patch) Uint16(off int, v uint16) func(file []byte) {
	return func(file []byte) { p.Order.PutUint16(file[off:], v) }
}

// Uint32 puts a number of 32 bits at off.
func (p Patch) Uint32(off int, v uint32) func(file []byte) {
	return func(file []byte) { p.Order.PutUint32(file[off:], v) }
}

// Uint64 puts a number of 64 bits at off.
func (p Patch) Uint64(off int, v uint64) func(file []byte) {
	return func(file []byte) { p.Order.PutUint64(file[off:], v) }
}

// CheckOpen fails the test unless opening a file gives an error that wraps want,
// or none if want is nil.
func (f Format) CheckOpen(t *testing.T, file []byte, want error) {
	t.Helper()
	_, err := f.Open(bytes.NewReader(file), int64(len(file)), Source)
	if !errors.Is(err, want) || (err == nil) != (want == nil) {
		t.Errorf("error %v, want %v", err, want)
	}
}

// CheckLargest fails the test unless Write takes a disk of so many bytes, and
// refuses a larger one with an error that wraps tooLarge.
func (f Format) CheckLargest(t *testing.T, largest int64, tooLarge error) {
	t.Helper()
	for size, want := range map[int64]error{largest: nil, largest + 1: tooLarge} {
		disk := convertertest.Build(t, func(b *extent.Builder) { b.Zero(size) })
		if _, err := f.Write(disk); !errors.Is(err, want) {
			t.Errorf("a disk of %d bytes: error %v, want %v", size, err, want)
		}
	}
}

// Fuzz has Open read mutations of files: it must give an error of one of the two
// kinds, or a disk whose extents lie within the file and can be read or give
// errors. It starts from seeds, or from what Write writes if none are given;
// small ones are found out more about.
func (f Format) Fuzz(fz *testing.F, seeds ...[]byte) {
	for _, seed := range seeds {
		fz.Add(seed)
	}
	if f.writes() && len(seeds) == 0 {
		all, blobs := f.disks(fz)
		for _, name := range []string{"zeros", "one sector", "a partial grain"} {
			fz.Add(convertertest.Bytes(fz, f.write(fz, all[name], blobs), blobs))
		}
	}
	fz.Fuzz(f.OpenHostile)
}

// OpenHostile is what [Format.Fuzz] does with one file.
func (f Format) OpenHostile(t *testing.T, file []byte) {
	disk, err := f.Open(bytes.NewReader(file), int64(len(file)), Source)
	if err != nil {
		if !errors.Is(err, container.ErrFormat) && !errors.Is(err, container.ErrUnsupported) {
			t.Fatalf("an error of neither kind: %v", err)
		}
		return
	}
	f.checkExtents(t, disk, int64(len(file)))
	readSome(disk, file)
}

// checkExtents checks that a disk refers to nothing outside its file.
func (f Format) checkExtents(t *testing.T, disk *container.Disk, size int64) {
	for off, e := range disk.Map.All() {
		switch {
		case e.Kind != extent.Source:
		case e.Digest == container.Unpacked(Source):
			size := disk.Units.Size()
			if e.Offset+e.Length > size {
				t.Fatalf("extent at %d ends at %d of %d bytes of units", off, e.Offset+e.Length, size)
			}
		case e.Digest == f.parent.Digest:
			if e.Offset+e.Length > f.parent.Size {
				t.Fatalf("extent at %d ends at %d of a parent of %d bytes", off, e.Offset+e.Length, f.parent.Size)
			}
		case e.Digest != Source:
			t.Fatalf("extent at %d names %s, which nobody gave", off, e.Digest)
		case e.Offset+e.Length > size:
			t.Fatalf("extent at %d ends at %d of a file of %d bytes", off, e.Offset+e.Length, size)
		}
	}
}

// readSome reads the disk at its start, in its middle and at its end: it may be
// far larger than its file.
func readSome(disk *container.Disk, file []byte) {
	r := disk.NewReader(context.Background(), Source, convertertest.Blob(file))
	defer func() { _ = r.Close() }()
	p := make([]byte, min(r.Size(), 1<<20))
	for _, off := range []int64{0, r.Size() / 2, r.Size() - int64(len(p))} {
		_, _ = r.ReadAt(p, off)
	}
}
