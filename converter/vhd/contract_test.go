package vhd

import (
	"bytes"
	"encoding/binary"
	"io"
	"slices"
	"testing"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/converter/formattest"
	"github.com/cloudlets/cloudlets/extent"
)

func format(opts Options, variants ...[]string) formattest.Format {
	return formattest.Format{
		QEMU:     "vpc",
		Write:    func(disk *extent.Map) (*extent.Map, error) { return Write(disk, opts) },
		Open:     Open,
		OpenOver: OpenOver,
		SameSize: true,
		Unit:     max(opts.Align, sectorSize),
		Variants: variants,
	}
}

// differencing returns a format that writes differencing files, too.
func differencing(f formattest.Format) formattest.Format {
	f.WriteOver = func(disk *extent.Map, parent *container.Base) (*extent.Map, error) {
		return Write(disk, Options{Parent: parent})
	}
	return f
}

func TestContract(t *testing.T) {
	t.Run("dynamic", func(t *testing.T) {
		formattest.Run(t, differencing(format(Options{}, []string{"-o", "subformat=dynamic"}, []string{"-o", "subformat=dynamic,force_size=on"})))
	})
	t.Run("fixed", func(t *testing.T) {
		formattest.Run(t, format(Options{Fixed: true}, []string{"-o", "subformat=fixed"}, []string{"-o", "subformat=fixed,force_size=on"}))
	})
	t.Run("Azure", func(t *testing.T) { formattest.Run(t, format(Options{Fixed: true, Align: AzureAlign})) })
}

// smallFile returns a dynamic file with blocks of a sector: one held, one not.
func smallFile() []byte {
	foot := footer{typeDynamic, footerSize, creatorWindows, creatorRevision, chs(2 * sectorSize), 2 * sectorSize, [16]byte{}}
	head := header{tableOffset: footerSize + headerSize, entries: 2, blockSize: sectorSize}
	table := make([]byte, sectorSize)
	binary.BigEndian.PutUint32(table, (footerSize+headerSize+sectorSize)/sectorSize)
	binary.BigEndian.PutUint32(table[entrySize:], unallocated)
	bitmap := make([]byte, sectorSize)
	bitmap[0] = 0x80
	return slices.Concat(foot.encode(), head.encode(), table, bitmap, bytes.Repeat([]byte("data"), sectorSize/4), foot.encode())
}

// FuzzOpen corrects the checksums of what it reads, or nothing else would ever be
// looked at.
func FuzzOpen(f *testing.F) {
	fuzzed := format(Options{})
	fuzzed.Open = func(r io.ReaderAt, size int64, source extent.Digest) (*container.Disk, error) {
		file := make([]byte, size)
		if err := container.ReadFull(r, file, 0); err != nil {
			return nil, err
		}
		reseal(file)
		return Open(bytes.NewReader(file), size, source)
	}
	small := smallFile()
	fuzzed.Fuzz(f, small, small[:len(small)-footerSize], fixedFile(sectorSize, "win ", sectorSize))
}

// FuzzOpenOver reads a file that leaves its whole disk to the parent, and what may
// become of it.
func FuzzOpenOver(f *testing.F) {
	disk := convertertest.Build(f, func(b *extent.Builder) { b.Inline(bytes.Repeat([]byte("parent!\n"), 2*sectorSize/8)) })
	differencing(format(Options{})).FuzzOver(f, disk, reseal)
}
