package qcow

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/klauspost/compress/flate"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/converter/formattest"
)

func FuzzOpen(f *testing.F) {
	f.Add(sample(f))
	format.Fuzz(f)
}

// sample returns a small sound file with clusters of 512 bytes: the header, the
// L1 table at 48, the L2 table at 512, then a cluster of data and a compressed
// one of 100 bytes.
func sample(t convertertest.TB) []byte {
	t.Helper()
	const end = 1536 // of the cluster of data
	file := header{magic: magic, version: version, size: 4 * 512, clusterBits: 9, l2Bits: 6, l1: 48}.encode()
	file = binary.BigEndian.AppendUint64(file, 512)
	file = append(file, make([]byte, 512-len(file))...)
	file = binary.BigEndian.AppendUint64(file, 1024)
	file = binary.BigEndian.AppendUint64(file, 0)
	file = binary.BigEndian.AppendUint64(file, flagCompressed|100<<(63-9)|end)
	file = append(file, make([]byte, 1024-len(file))...)
	file = append(file, bytes.Repeat([]byte("a"), 512)...)
	packed := bytes.NewBuffer(file)
	w, err := flate.NewWriter(packed, flate.BestSpeed)
	if err != nil {
		t.Fatalf("%v", err)
	}
	if _, err := w.Write(bytes.Repeat([]byte("b"), 512)); err != nil {
		t.Fatalf("%v", err)
	}
	if err := w.Close(); err != nil {
		t.Fatalf("%v", err)
	}
	return append(packed.Bytes(), make([]byte, end+100-packed.Len())...)
}

func TestOpenReadsCompressedClusters(t *testing.T) {
	want := slices.Concat(bytes.Repeat([]byte("a"), 512), make([]byte, 512), bytes.Repeat([]byte("b"), 512), make([]byte, 512))
	if got := format.OpenBytes(t, sample(t)); !bytes.Equal(got, want) {
		t.Errorf("the disk is %q", got)
	}
}

// QEMU compresses one cluster at a time: qemu-img convert -c fails.
func TestOpenReadsWhatQEMUCompresses(t *testing.T) {
	convertertest.Need(t, "qemu-io", "qemu-utils")
	path := filepath.Join(t.TempDir(), "qcow")
	convertertest.Run(t, "qemu-img", "create", "-f", "qcow", path, "5M")
	convertertest.Run(t, "qemu-io", "-f", "qcow", path, "-c", "write -c -P 1 0 4k", "-c", "write -c -P 2 4k 4k",
		"-c", "write -P 3 8k 8k", "-c", "write -c -P 4 4M 4k")
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := make([]byte, 5<<20)
	for i, n := range []int{0, 1, 2, 3, 1024} {
		copy(want[n*clusterSize:], bytes.Repeat([]byte{[]byte{1, 2, 3, 3, 4}[i]}, clusterSize))
	}
	if got := format.OpenBytes(t, file); !bytes.Equal(got, want) {
		t.Error("the disk differs from what was written")
	}
}

func TestOpenRefusesUnsoundFiles(t *testing.T) {
	const l1, l2, data, packed = 48, 512, 1024, 1536
	patch := formattest.Patch{Order: binary.BigEndian}
	put32, put64 := patch.Uint32, patch.Uint64
	tests := []struct {
		name   string
		change func([]byte)
		want   error // nil: it must open
	}{
		{"nothing", func([]byte) {}, nil},
		{"magic", put32(0, 1), container.ErrFormat},
		{"version 2", put32(4, 2), container.ErrUnsupported},
		{"backing file", put64(8, 100), container.ErrUnsupported},
		{"AES", put32(36, cryptAES), container.ErrUnsupported},
		{"clusters of 256 bytes", func(p []byte) { p[32] = 8 }, container.ErrFormat},
		{"clusters of 128 KiB", func(p []byte) { p[32] = 17 }, container.ErrFormat},
		{"L2 tables of 32 entries", func(p []byte) { p[33] = 5 }, container.ErrFormat},
		{"L2 tables of 2^255 entries", func(p []byte) { p[33] = 255 }, container.ErrFormat},
		{"disk larger than the L1 table", put64(24, 64*512*1000), container.ErrFormat},
		{"disk of 2^64 bytes", put64(24, 1<<64-1), container.ErrFormat},
		{"disk that ends within a sector", put64(24, 4*512-1), nil},
		{"no disk", put64(24, 0), nil},
		{"L1 table is the header", put64(40, 8), container.ErrFormat},
		{"L1 table outside", put64(40, 1<<40), container.ErrFormat},
		{"no L2 table", put64(l1, 0), nil},
		{"L2 table outside", put64(l1, 1<<63), container.ErrFormat},
		{"L2 table is L1", put64(l1, l1), container.ErrFormat},
		{"data outside", put64(l2, packed+100), container.ErrFormat},
		{"data is L2", put64(l2, l2), container.ErrFormat},
		{"compressed to nothing", put64(l2+16, flagCompressed|packed), container.ErrFormat},
		{"compressed outside", put64(l2+16, flagCompressed|101<<54|packed), container.ErrFormat},
		{"compressed over data", put64(l2+16, flagCompressed|100<<54|(packed-1)), container.ErrFormat},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			file := slices.Clone(sample(t))
			test.change(file)
			format.CheckOpen(t, file, test.want)
		})
	}
}

func TestOpenRefusesWhatQEMUEncrypts(t *testing.T) {
	convertertest.Need(t, "qemu-img", "qemu-utils")
	path := filepath.Join(t.TempDir(), "qcow")
	convertertest.Run(t, "qemu-img", "create", "-f", "qcow", "--object", "secret,id=key,data=geheim",
		"-o", "encrypt.format=aes,encrypt.key-secret=key", path, "10M")
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(bytes.NewReader(file), int64(len(file)), formattest.Source); !errors.Is(err, container.ErrUnsupported) {
		t.Errorf("error %v, want ErrUnsupported", err)
	}
}

func TestWriteRefusesALargerDisk(t *testing.T) { format.CheckLargest(t, maxDisk, ErrTooLarge) }

// A guest must be able to write to the disk: that adds tables and clusters.
func TestGuestsWriteToTheDisk(t *testing.T) { format.CheckGuestWrites(t, 200<<20) }
