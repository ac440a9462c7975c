package vmdk

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/converter/formattest"
	"github.com/cloudlets/cloudlets/extent"
)

// streamSample returns a small sound file: grains at the sectors 128 and 257,
// the marker of the grain table at 386 and the table at 387, the marker of the
// directory at 391 and the directory at 392, the footer from 393 on.
func streamSample(t convertertest.TB) []byte {
	disk := convertertest.Build(t, func(b *extent.Builder) {
		b.Inline(bytes.Repeat([]byte("a"), grainSize))
		b.Zero(grainSize)
		b.Inline(bytes.Repeat([]byte("b"), grainSize))
		b.Zero(grainSize)
	})
	file, err := WriteStored(context.Background(), disk, nil, Options{})
	if err != nil {
		t.Fatalf("WriteStored: %v", err)
	}
	return convertertest.Bytes(t, file, nil)
}

func TestOpenRefusesUnsoundStreams(t *testing.T) {
	const sector = sectorSize
	const grain, table, directory, footer, end = 128 * sector, 387 * sector, 392 * sector, 394 * sector, 395 * sector
	testDamages(t, streamSample(t), []damage{
		{"nothing", func([]byte) {}, nil},
		{"grain of another sector", put64(grain, 128), container.ErrFormat},
		{"grain of no bytes", put32(grain+8, 0), container.ErrFormat},
		{"grain of too many bytes", put32(grain+8, 2*grainSize+1), container.ErrFormat},
		{"grain over the next", put32(grain+8, 66049), container.ErrFormat},
		{"table outside", put32(directory, 1<<31), container.ErrFormat},
		{"table is the directory", put32(directory, 392), container.ErrFormat},
		{"grain outside", put32(table, 1<<31), container.ErrFormat},
		{"grain is the table", put32(table, 387), container.ErrFormat},
		{"footer of another size", put64(footer+12, 1), container.ErrFormat},
		{"footer with another grain size", put64(footer+20, 64), container.ErrFormat},
		{"directory outside", put64(footer+56, 1<<40), container.ErrFormat},
		{"directory at the end, says the footer", put64(footer+56, directoryAtEnd), container.ErrFormat},
		{"no footer, but markers", put32(footer, 0), nil},
		{"neither footer nor end", func(p []byte) { put32(footer, 0)(p); put32(end+12, 7)(p) }, container.ErrFormat},
		{"grains larger than units may be", put64(20, 8192), container.ErrFormat},
	})
}

// Without a footer, the markers say what there is.
func withoutFooter(t convertertest.TB) []byte {
	file := streamSample(t)
	return slices.Concat(file[:len(file)-footerSectors*sectorSize], make([]byte, sectorSize))
}

func TestOpenReadsAStreamWithoutAFooter(t *testing.T) {
	want := sparse.OpenBytes(t, streamSample(t))
	file := withoutFooter(t)
	if !bytes.Equal(sparse.OpenBytes(t, file), want) {
		t.Error("the disk differs from that of the whole file")
	}
	const sector = sectorSize
	const grain, second, table = 128 * sector, 257 * sector, 386 * sector
	testDamages(t, file, []damage{
		{"grain between grains", put64(grain, 1), container.ErrFormat},
		{"grain outside the disk", put64(grain, 512), container.ErrFormat},
		{"grain far outside the disk", put64(grain, 1<<63), container.ErrFormat},
		{"grains in another order", func(p []byte) { put64(grain, 256)(p); put64(second, 0)(p) }, nil},
		{"the same grain twice", put64(second, 0), container.ErrFormat},
		{"grain over the end", put32(second+8, 2*grainSize), container.ErrFormat},
		{"long table", put64(table, 1<<60), container.ErrFormat},
		{"table to the end", put64(table, 7), container.ErrFormat},
		{"unknown marker", put32(table+12, 9), container.ErrFormat},
		{"starts outside", put64(64, 1<<40), container.ErrFormat},
		{"starts far outside", put64(64, 1<<55), container.ErrFormat},
	})
}

func TestReadingTellsDamagedGrains(t *testing.T) {
	const content = 128*sectorSize + grainHeaderSize + 2 + storedBlockHeader
	file := streamSample(t)
	file[content+1000] ^= 1
	disk, err := openFile(file)
	if err != nil {
		t.Fatal(err)
	}
	r := disk.NewReader(t.Context(), formattest.Source, convertertest.Blob(file))
	defer func() { _ = r.Close() }()
	if _, err := r.ReadAt(make([]byte, 1), 0); !errors.Is(err, container.ErrFormat) {
		t.Errorf("error %v, want ErrFormat: the checksum is wrong", err)
	}
}

// A grain that decompresses to more than a grain is a bomb.
func TestReadingStopsAtTheSizeOfAGrain(t *testing.T) {
	compress, err := newDeflater()
	if err != nil {
		t.Fatal(err)
	}
	bomb, err := compress(nil, make([]byte, 4*mib))
	if err != nil {
		t.Fatal(err)
	}
	if err := newInflater(grainSize).decode(make([]byte, grainSize), bomb); err == nil {
		t.Error("no error")
	}
}

// The file of a real system is about as large as what QEMU makes of it.
func TestCompressedFilesAreAsSmallAsQEMUs(t *testing.T) {
	convertertest.Need(t, "qemu-img", "qemu-utils")
	text, err := os.ReadFile("/usr/bin/qemu-img")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	raw, theirs := filepath.Join(dir, "raw"), filepath.Join(dir, "vmdk")
	blobs := convertertest.Blobs{}
	source := blobs.Add(text)
	disk := convertertest.Build(t, func(b *extent.Builder) { b.Source(source, 0, int64(len(text))); b.Zero(-b.Size() & (mib - 1)) })
	convertertest.WriteFile(t, disk, blobs, raw)
	convertertest.Run(t, "qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized", raw, theirs)
	info, err := os.Stat(theirs)
	if err != nil {
		t.Fatal(err)
	}
	var spool container.Files
	defer func() { _ = spool.Close() }()
	file, err := WriteCompressed(t.Context(), disk, blobs, &spool, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := file.Size(); got > info.Size()*103/100 {
		t.Errorf("%d bytes, QEMU needs %d", got, info.Size())
	}
}

func TestStreamsSayWhyTheyAreNotWritten(t *testing.T) {
	disk := convertertest.Build(t, func(b *extent.Builder) { b.Zero(1); b.Source("sha256:00", 0, maxSectors*sectorSize) })
	if _, err := WriteStored(t.Context(), disk, nil, Options{}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a disk of more than 2 TiB: %v", err)
	}
	small := convertertest.Build(t, func(b *extent.Builder) { b.Source("sha256:00", 0, 10) })
	if _, err := WriteStored(t.Context(), small, convertertest.Blobs{}, Options{}); err == nil {
		t.Error("a disk that cannot be read: no error")
	}
}
