package parallels

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/converter/formattest"
)

func FuzzOpen(f *testing.F) {
	f.Add(sample(magicSectors))
	f.Add(sample(magicClusters))
	format.Fuzz(f)
}

// sample returns a small sound file of clusters of three sectors: the header, the
// table at 64, data at the sectors 3 and 6. The disk ends within its last cluster.
func sample(magic string) []byte {
	h := header{magic: magic, version: version, cluster: 3, entries: 4, sectors: 10, inUse: closed, dataAt: 3}
	file := h.encode()
	unit := uint32(1)
	if magic == magicSectors {
		unit = 3
	}
	for _, cluster := range []uint32{2, 0, 0, 1} {
		file = binary.LittleEndian.AppendUint32(file, cluster*unit)
	}
	file = append(file, make([]byte, 3*sectorSize-len(file))...)
	file = append(file, bytes.Repeat([]byte("b"), 3*sectorSize)...)
	return append(file, bytes.Repeat([]byte("a"), 3*sectorSize)...)
}

func TestOpenReadsBothMagics(t *testing.T) {
	convertertest.Need(t, "qemu-img", "qemu-utils")
	for _, magic := range []string{magicSectors, magicClusters} {
		t.Run(magic, func(t *testing.T) {
			path, raw := filepath.Join(t.TempDir(), "hds"), filepath.Join(t.TempDir(), "raw")
			if err := os.WriteFile(path, sample(magic), 0o600); err != nil {
				t.Fatal(err)
			}
			convertertest.Run(t, "qemu-img", "convert", "-f", "parallels", "-O", "raw", path, raw)
			want, err := os.ReadFile(raw)
			if err != nil {
				t.Fatal(err)
			}
			if got := format.OpenBytes(t, sample(magic)); !bytes.Equal(got, want) || got[0] != 'a' || got[len(got)-1] != 'b' {
				t.Errorf("the disk is %q, QEMU reads %q", got, want)
			}
		})
	}
}

func TestOpenRefusesUnsoundFiles(t *testing.T) {
	const table = headerSize
	patch := formattest.Patch{Order: binary.LittleEndian}
	put32, put64 := patch.Uint32, patch.Uint64
	tests := []struct {
		name   string
		change func([]byte)
		want   error // nil: it must open
	}{
		{"nothing", func([]byte) {}, nil},
		{"magic", put32(0, 1), container.ErrFormat},
		{"version", put32(16, 3), container.ErrUnsupported},
		{"no clusters", put32(28, 0), container.ErrFormat},
		{"clusters of 2 TiB", put32(28, 1<<32-1), container.ErrFormat},
		{"fewer entries than clusters", put32(32, 3), container.ErrFormat},
		{"table over the file", put32(32, 1<<31), container.ErrFormat},
		{"table over data", put32(32, 400), container.ErrFormat},
		{"larger disk than table", put64(36, 13), container.ErrFormat},
		{"disk of 2^64 sectors", put64(36, 1<<64-1), container.ErrFormat},
		{"no disk", put64(36, 0), nil},
		{"in use", put32(44, inUse), container.ErrUnsupported},
		{"old software", put32(44, 0), nil},
		{"unknown state", put32(44, 1), container.ErrFormat},
		{"marked as empty", put32(52, flagEmpty), container.ErrFormat},
		{"marked as empty, and so", func(p []byte) { put32(52, flagEmpty)(p); clear(p[table : table+16]) }, nil},
		{"extension", put64(56, 3), container.ErrFormat},
		{"extension outside", put64(56, 7), container.ErrFormat},
		{"extension far outside", put64(56, 1<<63), container.ErrFormat},
		{"data outside", put32(table, 3), container.ErrFormat},
		{"data far outside", put32(table, 1<<32-1), container.ErrFormat},
		{"data used twice", put32(table, 1), container.ErrFormat},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			file := slices.Clone(sample(magicClusters))
			test.change(file)
			format.CheckOpen(t, file, test.want)
		})
	}
}

func TestOpenRefusesDataInTheTable(t *testing.T) {
	file := sample(magicSectors)
	binary.LittleEndian.PutUint32(file[headerSize+4:], 1)
	if _, err := Open(bytes.NewReader(file), int64(len(file)), formattest.Source); !errors.Is(err, container.ErrFormat) {
		t.Errorf("error %v, want ErrFormat", err)
	}
}

func TestWriteRefusesALargerDisk(t *testing.T) { format.CheckLargest(t, maxDisk, ErrTooLarge) }

// A guest must be able to write to the disk: that adds clusters.
func TestGuestsWriteToTheDisk(t *testing.T) { format.CheckGuestWrites(t, 200<<20) }
