package vhdx

import (
	"bytes"
	"testing"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/converter/formattest"
	"github.com/cloudlets/cloudlets/extent"
)

func format(opts Options, variants ...[]string) formattest.Format {
	return formattest.Format{
		QEMU:     "vhdx",
		Checked:  true,
		NoHoles:  true,
		Write:    func(disk *extent.Map) (*extent.Map, error) { return Write(disk, opts) },
		Open:     Open,
		OpenOver: OpenOver,
		SameSize: true,
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
	formattest.Run(t, differencing(format(Options{},
		[]string{"-o", "subformat=dynamic"}, []string{"-o", "subformat=dynamic,block_size=1M"},
		[]string{"-o", "subformat=dynamic,block_size=256M,log_size=4M"}, []string{"-o", "subformat=fixed,block_size=8M"})))
}

func TestContractOfLargeBlocks(t *testing.T) {
	f := format(Options{BlockSize: 32 * mib})
	f.Open = nil // reading is tested with the small ones
	formattest.Run(t, f)
}

// reseal corrects the checksums of a file after it was changed.
func reseal(file []byte) {
	for _, s := range []struct{ at, size, checksum int }{
		{headerAt, headerSize, headerChecksum}, {headerCopyAt, headerSize, headerChecksum},
		{regionAt, regionSize, regionChecksum}, {regionCopyAt, regionSize, regionChecksum},
	} {
		if s.at+s.size <= len(file) {
			seal(file[s.at:s.at+s.size], s.checksum)
		}
	}
}

func FuzzOpen(f *testing.F) { fuzzStructures(f, format(Options{}), sample(f)) }

// FuzzOpenOver has blocks that are the parent's, and one that is in part.
func FuzzOpenOver(f *testing.F) {
	disk := convertertest.Build(f, func(b *extent.Builder) {
		b.Inline([]byte("changed\n"))
		b.Inline(bytes.Repeat([]byte("parent!\n"), 2*mib/8-1))
	})
	over, file := differencing(format(Options{BlockSize: mib})).OverParent(f, disk)
	fuzzStructures(f, over, file)
}

// fuzzStructures fuzzes the first bytes of every structure: a file is mostly air.
func fuzzStructures(f *testing.F, format formattest.Format, whole []byte) {
	const slice = 192
	places := []int{0, headerAt, headerCopyAt, regionAt, metadataAt, metadataAt + metadataTableSize, tableAt}
	var seed []byte
	for _, at := range places {
		seed = append(seed, whole[at:at+slice]...)
	}
	f.Add(seed)
	f.Fuzz(func(t *testing.T, p []byte) {
		file := bytes.Clone(whole)
		for _, at := range places {
			p = p[copy(file[at:at+slice], p):]
		}
		copy(file[regionCopyAt:], file[regionAt:regionAt+regionSize])
		reseal(file)
		format.OpenHostile(t, file)
	})
}
