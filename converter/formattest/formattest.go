package formattest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/extent"
)

const mib, gib = int64(1) << 20, int64(1) << 30

// Source is the name under which files are opened.
const Source = extent.Digest("sha256:the-file")

// Format is what is tested.
type Format struct {
	// QEMU is the name that qemu-img has for the format: "vpc".
	QEMU string
	// Checked says that qemu-img check knows the format.
	Checked bool
	// Write writes a disk; nil where the format is only read.
	Write func(disk *extent.Map) (*extent.Map, error)
	// WriteWith writes a disk whose content it reads, instead of Write.
	WriteWith func(ctx context.Context, disk *extent.Map, open extent.Opener, spool container.Spool) (*extent.Map, error)
	// Open reads one; nil where the format is only written.
	Open func(r io.ReaderAt, size int64, source extent.Digest) (*container.Disk, error)
	// WriteOver writes what differs from a parent, and OpenOver reads it; nil where
	// the format knows no parents.
	WriteOver func(disk *extent.Map, parent *container.Base) (*extent.Map, error)
	OpenOver  func(r io.ReaderAt, size int64, source extent.Digest, find container.FindParent) (*container.Disk, error)
	// SameSize says that a parent must have the size of the disk.
	SameSize bool
	// Variants are options of qemu-img convert, -o and others, that give files of
	// which Open reads the disk.
	Variants [][]string
	// Unit is what the size of a disk is rounded up to, in bytes; 0 is 512.
	Unit int64
	// MaxSize bounds the disks that are drawn; 0 is 8 MiB.
	MaxSize int64
	// NoHoles says that QEMU does not see the holes of the format: it compares
	// them byte by byte, so no disk has wide ones.
	NoHoles bool

	parent container.Parent // that files may refer to; zero is none
}

// Run runs all tests of a format.
func Run(t *testing.T, f Format) {
	if f.writes() {
		t.Run("QEMU reads what is written", f.testWrite)
		t.Run("equal disks give equal files", f.testEqual)
		t.Run("reads at random are those of the stream", f.testRandomReads)
	}
	if f.Open != nil {
		t.Run("what QEMU writes is read", f.testOpen)
	}
	if f.writes() && f.Open != nil {
		t.Run("what is written is read", f.testRoundTrip)
		t.Run("a file cut short is an error or the same disk", f.testTruncated)
	}
	if f.Write != nil && f.Open != nil {
		t.Run("a disk in many pieces takes little memory", f.testMemory)
	}
	if f.WriteOver != nil {
		f.CheckParent(t)
	}
}

func (f Format) writes() bool { return f.Write != nil || f.WriteWith != nil }

// disks are disks with content at every place that is easily got wrong.
func (f Format) disks(t testing.TB) (map[string]*extent.Map, convertertest.Blobs) {
	blobs := convertertest.Blobs{}
	source := blobs.Add(bytes.Repeat([]byte("content "), 1<<19)) // 4 MiB
	build := func(f func(b *extent.Builder)) *extent.Map { return convertertest.Build(t, f) }
	hole := 8 * gib
	if f.NoHoles {
		hole = 64 * mib
	}
	return map[string]*extent.Map{
		"zeros":             build(func(b *extent.Builder) { b.Zero(3 * mib) }),
		"one sector":        build(func(b *extent.Builder) { b.Source(source, 7, 512) }),
		"a full mebibyte":   build(func(b *extent.Builder) { b.Source(source, 0, mib) }),
		"a partial grain":   build(func(b *extent.Builder) { b.Source(source, 3, 64<<10+512) }),
		"data at both ends": build(func(b *extent.Builder) { b.Inline([]byte("a")); b.Zero(hole - 2); b.Inline([]byte("z")) }),
		"many pieces": build(func(b *extent.Builder) {
			for i := range int64(100) {
				b.Source(source, i*11, 512*(i%17))
				b.Zero(512 * (i * i % 4099))
			}
		}),
	}, blobs
}

func (f Format) testWrite(t *testing.T) {
	convertertest.Need(t, "qemu-img", "qemu-utils")
	all, blobs := f.disks(t)
	for name, disk := range all {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			raw, path := filepath.Join(dir, "disk.raw"), filepath.Join(dir, "disk."+f.QEMU)
			convertertest.WriteFile(t, f.pad(t, disk), blobs, raw)
			convertertest.WriteFile(t, f.write(t, disk, blobs), blobs, path)
			if f.Checked {
				convertertest.Run(t, "qemu-img", "check", "-f", f.QEMU, path)
			}
			convertertest.Run(t, "qemu-img", "compare", "-f", "raw", "-F", f.QEMU, raw, path)
			if got, want := f.virtualSize(t, path), f.pad(t, disk).Size(); got != want {
				t.Errorf("QEMU sees a disk of %d bytes, want %d", got, want)
			}
			f.testInspection(t, path, f.pad(t, disk).Size())
		})
	}
}

// testInspection checks that OpenStack lets the file of a disk of size bytes in.
func (f Format) testInspection(t *testing.T, path string, size int64) {
	// A format that it does not know is not one that it checks; QED and qcow
	// version 1 it lets in in no way.
	name, known := map[string]string{"qcow2": "qcow2", "vpc": "vhd", "vhdx": "vhdx", "vmdk": "vmdk", "vdi": "vdi"}[f.QEMU]
	if !known {
		return
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	got, err := Inspect(file, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	want := Inspection{name, size}
	if f.QEMU == "vpc" && got.Format == "raw" {
		want = Inspection{"raw", info.Size()} // all that tells a fixed VHD stands at its end
	}
	if got != want {
		t.Errorf("the inspection finds %v, want %v", got, want)
	}
}

// virtualSize returns the size of the disk in a file, in bytes, as QEMU sees it.
func (f Format) virtualSize(t *testing.T, path string) int64 {
	t.Helper()
	var info struct {
		Size int64 `json:"virtual-size"`
	}
	out := convertertest.Run(t, "qemu-img", "info", "-f", f.QEMU, "--output=json", path)
	if err := json.Unmarshal([]byte(out), &info); err != nil {
		t.Fatalf("read what qemu-img info says: %v", err)
	}
	return info.Size
}

func (f Format) testEqual(t *testing.T) {
	all, blobs := f.disks(t)
	for name, disk := range all {
		if a, b := f.write(t, disk, blobs), f.write(t, disk, blobs); !bytes.Equal(a.Encode(), b.Encode()) {
			t.Errorf("%s: two writes give two files", name)
		}
	}
}

func (f Format) testRandomReads(t *testing.T) {
	all, blobs := f.disks(t)
	file := f.write(t, all["many pieces"], blobs)
	want := convertertest.Bytes(t, file, blobs)
	r := extent.NewReader(t.Context(), file, blobs)
	defer func() { _ = r.Close() }()
	random := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		off := random.Int64N(int64(len(want)))
		n := min(random.Int64N(200_000)+1, int64(len(want))-off)
		got := make([]byte, n)
		if _, err := r.ReadAt(got, off); err != nil {
			t.Fatalf("read %d bytes at %d: %v", n, off, err)
		}
		if !bytes.Equal(got, want[off:off+n]) {
			t.Fatalf("%d bytes at %d differ from the stream", n, off)
		}
	}
}

func (f Format) testOpen(t *testing.T) {
	convertertest.Need(t, "qemu-img", "qemu-utils")
	all, blobs := f.disks(t)
	raw := filepath.Join(t.TempDir(), "disk.raw")
	convertertest.WriteFile(t, f.pad(t, all["many pieces"]), blobs, raw)
	want, err := os.ReadFile(raw)
	if err != nil {
		t.Fatal(err)
	}
	for _, options := range f.Variants {
		t.Run(fmt.Sprint(options), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "disk")
			args := append([]string{"convert", "-f", "raw", "-O", f.QEMU}, options...)
			convertertest.Run(t, "qemu-img", append(args, raw, path)...)
			file, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			got := f.OpenBytes(t, file)
			// QEMU rounds some up to whole cylinders.
			if len(got) < len(want) || !bytes.Equal(got[:len(want)], want) || len(bytes.Trim(got[len(want):], "\x00")) > 0 {
				t.Error("the disk differs from what was converted")
			}
		})
	}
}

func (f Format) testRoundTrip(t *testing.T) {
	maxSize := f.MaxSize
	if maxSize == 0 {
		maxSize = 8 * mib
	}
	rapid.Check(t, func(t *rapid.T) {
		blobs := convertertest.Blobs{}
		disk := convertertest.DrawMap(t, blobs, maxSize)
		want := convertertest.Bytes(t, f.pad(t, disk), blobs)
		file := convertertest.Bytes(t, f.write(t, disk, blobs), blobs)
		if !bytes.Equal(f.OpenBytes(t, file), want) {
			t.Fatal("the disk differs from what was written")
		}
	})
}

// testTruncated cuts a file at every sector of its start and end, and at some
// places between.
func (f Format) testTruncated(t *testing.T) {
	all, blobs := f.disks(t)
	disk := all["a partial grain"]
	file := convertertest.Bytes(t, f.write(t, disk, blobs), blobs)
	want := convertertest.Bytes(t, f.pad(t, disk), blobs)
	const sector = 512
	step := max(1, len(file)/sector/400)
	for i := 0; i*sector < len(file); i++ {
		n := i * sector
		if i > 40 && i%step > 0 && len(file)-n > 40*sector {
			continue
		}
		opened, err := f.Open(bytes.NewReader(file[:n]), int64(n), Source)
		if err != nil {
			continue
		}
		got, err := content(t, opened, file[:n])
		if err == nil && !bytes.Equal(got, want) {
			t.Errorf("cut to %d of %d bytes, it opens as another disk", n, len(file))
		}
	}
}

// write returns the file of a disk. What is compressed for it is added to blobs.
func (f Format) write(t convertertest.TB, disk *extent.Map, blobs convertertest.Blobs) *extent.Map {
	t.Helper()
	write := f.WriteWith
	if write == nil {
		write = func(_ context.Context, disk *extent.Map, _ extent.Opener, _ container.Spool) (*extent.Map, error) {
			return f.Write(disk)
		}
	}
	m, err := write(context.Background(), disk, blobs, blobs)
	if err != nil {
		t.Fatalf("write %s: %v", f.QEMU, err)
	}
	return m
}

// pad returns a disk as long as the format makes it.
func (f Format) pad(t convertertest.TB, disk *extent.Map) *extent.Map {
	t.Helper()
	unit := f.Unit
	if unit == 0 {
		unit = 512
	}
	var b extent.Builder
	b.Map(disk)
	b.Zero(-disk.Size() & (unit - 1))
	m, err := b.Build()
	if err != nil {
		t.Fatalf("pad the disk: %v", err)
	}
	return m
}

// OpenBytes opens a file and returns its disk's content.
func (f Format) OpenBytes(t convertertest.TB, file []byte) []byte {
	t.Helper()
	disk, err := f.Open(bytes.NewReader(file), int64(len(file)), Source)
	if err != nil {
		t.Fatalf("%v", err)
	}
	got, err := content(t, disk, file)
	if err != nil {
		t.Fatalf("read the disk: %v", err)
	}
	return got
}

// content reads the disk of a file.
func content(t convertertest.TB, disk *container.Disk, file []byte) ([]byte, error) {
	t.Helper()
	r := disk.NewReader(context.Background(), Source, convertertest.Blob(file))
	defer func() { _ = r.Close() }()
	p := make([]byte, r.Size())
	if err := container.ReadFull(r, p, 0); err != nil {
		return nil, err
	}
	return p, nil
}
