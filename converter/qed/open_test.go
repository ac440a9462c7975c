package qed

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/converter/formattest"
	"github.com/cloudlets/cloudlets/extent"
)

func FuzzOpen(f *testing.F) {
	f.Add(sample(f))
	format.Fuzz(f)
}

// small are the tables of the sample: clusters of 4 KiB, tables of one.
var small = container.TwoLevels{Order: binary.LittleEndian, Entries: 512, Grain: 4096}

// sample returns a small sound file: the header, the L1 table at cluster 1, the
// L2 table at 2, data at 3 and 4.
func sample(t convertertest.TB) []byte {
	t.Helper()
	var disk extent.Builder
	disk.Inline(bytes.Repeat([]byte("a"), 4096))
	disk.Zero(4096)
	disk.Inline([]byte("b"))
	disk.ZeroTo(4 * 4096)
	m, err := disk.Build()
	if err != nil {
		t.Fatalf("%v", err)
	}
	var b extent.Builder
	b.Inline(header{clusterSize: 4096, tableSize: 1, headerSize: 1, l1: 4096, size: 4 * 4096}.encode())
	b.ZeroTo(4096)
	small.Append(&b, m, 2*4096)
	file, err := b.Build()
	if err != nil {
		t.Fatalf("%v", err)
	}
	return convertertest.Bytes(t, file, nil)
}

func TestOpenRefusesUnsoundFiles(t *testing.T) {
	const l1, l2, data = 4096, 2 * 4096, 3 * 4096
	patch := formattest.Patch{Order: binary.LittleEndian}
	put32, put64 := patch.Uint32, patch.Uint64
	tests := []struct {
		name   string
		change func([]byte)
		want   error // nil: it must open
	}{
		{"nothing", func([]byte) {}, nil},
		{"magic", put32(0, 1), container.ErrFormat},
		{"clusters of 2 KiB", put32(4, 2048), container.ErrFormat},
		{"clusters of 128 MiB", put32(4, 128<<20), container.ErrFormat},
		{"odd clusters", put32(4, 4097), container.ErrFormat},
		{"no tables", put32(8, 0), container.ErrFormat},
		{"large tables", put32(8, 32), container.ErrFormat},
		{"odd tables", put32(8, 3), container.ErrFormat},
		{"no header", put32(12, 0), container.ErrFormat},
		{"header over the L1 table", put32(12, 2), container.ErrFormat},
		{"header over all", put32(12, 1<<31), container.ErrFormat},
		{"backing file", put64(16, featureBackingFile), container.ErrUnsupported},
		{"not closed", put64(16, featureNeedCheck), container.ErrUnsupported},
		{"format of no backing file", put64(16, featureNoProbe), nil},
		{"unknown feature", put64(16, 1<<40), container.ErrUnsupported},
		{"unknown compatible feature", put64(24, 1), nil},
		{"L1 table at odd offset", put64(40, 4104), container.ErrFormat},
		{"L1 table is the header", put64(40, 0), container.ErrFormat},
		{"L1 table outside", put64(40, 1<<40), container.ErrFormat},
		{"L1 table far outside", put64(40, 1<<63), container.ErrFormat},
		{"disk of half a sector", put64(48, 256), container.ErrFormat},
		{"disk larger than tables", put64(48, 1<<31), container.ErrFormat},
		{"disk of 2^63 bytes", put64(48, 1<<63), container.ErrFormat},
		{"no disk", put64(48, 0), nil},
		{"no L2 table", put64(l1, 0), nil},
		{"L2 table is L1", put64(l1, l1), container.ErrFormat},
		{"L2 table at odd offset", put64(l1, l2+8), container.ErrFormat},
		{"L2 table outside", put64(l1, 1<<40), container.ErrFormat},
		{"zero cluster", put64(l2, zeroCluster), nil},
		{"data at odd offset", put64(l2, data+8), container.ErrFormat},
		{"data outside", put64(l2, 5*4096), container.ErrFormat},
		{"data far outside", put64(l2, 1<<63), container.ErrFormat},
		{"data is L2", put64(l2, l2), container.ErrFormat},
		{"data used twice", put64(l2, data+4096), container.ErrFormat},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			file := slices.Clone(sample(t))
			test.change(file)
			format.CheckOpen(t, file, test.want)
		})
	}
}
