package qcow2

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/converter/formattest"
	"github.com/cloudlets/cloudlets/extent"
)

const fileDigest = extent.Digest("sha256:the-file")

// openBytes opens a file and returns its disk's content.
func openBytes(t convertertest.TB, file []byte) []byte {
	t.Helper()
	return format.OpenBytes(t, file)
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	p, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// rawDisk writes a disk with data, holes and written zeros to a file.
func rawDisk(t convertertest.TB, path string) {
	blobs := convertertest.Blobs{}
	disk := pieces(t, blobs.Add(bytes.Repeat([]byte("content "), 1<<15)), 60)
	disk = convertertest.Build(t, func(b *extent.Builder) {
		b.Map(disk)
		b.Zero(20 * mib)
		b.Inline(append(make([]byte, 100_000), "end"...))
		b.ZeroTo((b.Size() + 511) / 512 * 512)
	})
	convertertest.WriteFile(t, disk, blobs, path)
}

func TestOpenReadsWhatQEMUWrites(t *testing.T) {
	convertertest.Need(t, "qemu-img", "qemu-utils")
	dir := t.TempDir()
	raw := filepath.Join(dir, "raw")
	rawDisk(t, raw)
	want := readFile(t, raw)
	var options []string
	for bits := minClusterBits; bits <= maxClusterBits; bits++ {
		for _, compat := range []string{"0.10", "1.1"} {
			options = append(options, fmt.Sprintf("compat=%s,cluster_size=%d", compat, 1<<bits))
		}
	}
	for bits := minExtendedClusterBits; bits <= maxClusterBits; bits++ {
		options = append(options, fmt.Sprintf("extended_l2=on,cluster_size=%d", 1<<bits))
	}
	options = append(options, "refcount_bits=1", "refcount_bits=64", "lazy_refcounts=on", "compression_type=zstd",
		"preallocation=metadata", "preallocation=falloc", "preallocation=full", "extended_l2=on,preallocation=metadata")
	for _, o := range options {
		t.Run(o, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "qcow2")
			convertertest.Run(t, "qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-o", o, raw, path)
			if got := openBytes(t, readFile(t, path)); !bytes.Equal(got, want) {
				t.Error("the disk differs from what was converted")
			}
		})
	}
}

// A disk that was written to by a guest: zero clusters, discards, snapshots, a
// larger size.
func TestOpenReadsAUsedDisk(t *testing.T) {
	convertertest.Need(t, "qemu-io", "qemu-utils")
	for _, options := range []string{"extended_l2=off", "extended_l2=on"} {
		t.Run(options, func(t *testing.T) { readUsedDisk(t, options) })
	}
}

func readUsedDisk(t *testing.T, options string) {
	dir := t.TempDir()
	path, raw := filepath.Join(dir, "qcow2"), filepath.Join(dir, "raw")
	convertertest.Run(t, "qemu-img", "create", "-f", "qcow2", "-o", options, path, "100M")
	io := func(commands ...string) {
		args := []string{"-f", "qcow2", "-d", "unmap", path}
		for _, c := range commands {
			args = append(args, "-c", c)
		}
		convertertest.Run(t, "qemu-io", args...)
	}
	io("write -P 1 0 10M", "write -P 2 50M 10M", "write -P 3 99M 1M")
	convertertest.Run(t, "qemu-img", "snapshot", "-c", "before", path)
	io("write -P 4 5M 1M", "write -z 51M 3M", "write -z -u 55M 1M", "discard 99M 512k", "write -P 5 70M 512")
	convertertest.Run(t, "qemu-img", "snapshot", "-c", "between", path)
	convertertest.Run(t, "qemu-img", "resize", "-f", "qcow2", path, "3G")
	io("write -P 6 2G 3M", "write -z 9M 2M", "write -P 7 90M 3k", "write -P 8 94385152 9k", "write -z 94389248 3k", "discard 59M 5k")
	convertertest.Run(t, "qemu-img", "convert", "-f", "qcow2", "-O", "raw", path, raw)

	file := readFile(t, path)
	disk, err := Open(bytes.NewReader(file), int64(len(file)), fileDigest)
	if err != nil {
		t.Fatal(err)
	}
	again := filepath.Join(dir, "again")
	convertertest.WriteFile(t, disk.Map, convertertest.Blobs{fileDigest: file}, again)
	convertertest.Run(t, "qemu-img", "compare", "-f", "raw", "-F", "raw", raw, again)
	if data := disk.Map.DataSize(); data > 30*mib {
		t.Errorf("%d bytes of the disk are data: holes and zero clusters are lost", data)
	}
}

func TestOpenReadsWhatWriteWrites(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		blobs := convertertest.Blobs{}
		disk := convertertest.DrawMap(t, blobs, 8*mib)
		clusterSize := 1 << rapid.IntRange(minClusterBits, maxClusterBits).Draw(t, "clusterBits")
		want := convertertest.Bytes(t, disk, blobs)
		want = append(want, make([]byte, -len(want)&(sectorSize-1))...)
		file := convertertest.Bytes(t, write(t, disk, Options{ClusterSize: clusterSize}), blobs)
		if !bytes.Equal(openBytes(t, file), want) {
			t.Fatal("the disk differs from what was written")
		}
	})
}

func TestOpenRefusesQEMUFeaturesByName(t *testing.T) {
	convertertest.Need(t, "qemu-img", "qemu-utils")
	dir := t.TempDir()
	raw, base, path := filepath.Join(dir, "raw"), filepath.Join(dir, "base"), filepath.Join(dir, "qcow2")
	rawDisk(t, raw)
	convertertest.Run(t, "qemu-img", "create", "-f", "qcow2", base, "10M")
	tests := []struct {
		name string
		make []string
		want string
	}{
		{"backing file", []string{"create", "-f", "qcow2", "-b", base, "-F", "qcow2", path}, "differs from its parent"},
		{"data file", []string{"create", "-f", "qcow2", "-o", "data_file=" + filepath.Join(dir, "data"), path, "10M"}, "in another file"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			convertertest.Run(t, "qemu-img", test.make...)
			file := readFile(t, path)
			_, err := Open(bytes.NewReader(file), int64(len(file)), fileDigest)
			if !errors.Is(err, container.ErrUnsupported) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want container.ErrUnsupported with %q", err, test.want)
			}
		})
	}
}

// sample returns a small sound file: the header, the refcount table at cluster
// 1, its block at 2, L1 at 3, an L2 table at 4 and two data clusters.
func sample(t convertertest.TB) []byte {
	disk := convertertest.Build(t, func(b *extent.Builder) {
		b.Inline(bytes.Repeat([]byte("a"), 512))
		b.Zero(512)
		b.Inline(bytes.Repeat([]byte("b"), 512))
		b.Zero(512)
	})
	return convertertest.Bytes(t, write(t, disk, Options{ClusterSize: 512}), nil)
}

func TestOpenRefusesUnsoundFiles(t *testing.T) {
	const cluster, l1, l2, data = 512, 3 * 512, 4 * 512, 5 * 512
	patch := formattest.Patch{Order: binary.BigEndian}
	put32, put64 := patch.Uint32, patch.Uint64
	tests := []struct {
		name   string
		change func([]byte)
		want   error // nil: it must open
	}{
		{"nothing", func([]byte) {}, nil},
		{"magic", put32(0, 0x514649fa), container.ErrFormat},
		{"version 1", put32(4, 1), container.ErrUnsupported},
		{"version 4", put32(4, 4), container.ErrUnsupported},
		{"version 2", put32(4, 2), nil},
		{"backing file that cuts the extensions", put64(8, 0x100), container.ErrFormat},
		{"clusters of 256 bytes", put32(20, 8), container.ErrFormat},
		{"clusters of 4 MiB", put32(20, 22), container.ErrFormat},
		{"clusters of 2^288 bytes", put32(20, 288), container.ErrFormat},
		{"disk larger than its L1 table", put64(24, 32769), container.ErrFormat},
		{"negative disk size", put64(24, 1<<63), container.ErrFormat},
		{"AES", put32(32, 1), container.ErrUnsupported},
		{"L1 table over the limit", put32(36, maxL1Size/8+1), container.ErrFormat},
		{"L1 table over the file", put32(36, 1000), container.ErrFormat},
		{"L1 table at odd offset", put64(40, l1+8), container.ErrFormat},
		{"L1 table in the header", put64(40, 0), container.ErrFormat},
		{"L1 table far outside", put64(40, 1<<63), container.ErrFormat},
		{"refcount table over the limit", put32(56, 16385), container.ErrFormat},
		{"refcount table outside", put64(48, 1<<40), container.ErrFormat},
		{"refcount table over L1", put64(48, l1), container.ErrFormat},
		{"refcount block outside", put64(cluster, 1<<40), container.ErrFormat},
		{"refcount block over L1", put64(cluster, l1), container.ErrFormat},
		{"refcounts of 128 bits", put32(96, 7), container.ErrFormat},
		{"short header", put32(100, 96), container.ErrFormat},
		{"odd header", put32(100, 106), container.ErrFormat},
		{"header over its cluster", put32(100, 520), container.ErrFormat},
		{"dirty", put64(72, incompatibleDirty), nil},
		{"corrupt", put64(72, incompatibleCorrupt), container.ErrUnsupported},
		{"data file", put64(72, incompatibleDataFile), container.ErrUnsupported},
		{"extended L2 with clusters of 512 bytes", put64(72, incompatibleExtendedL2), container.ErrFormat},
		{"unknown feature", put64(72, 1<<63), container.ErrUnsupported},
		{"long extension", put32(108, 1<<31), container.ErrFormat},
		{"data file extension", put32(104, extensionDataFile), container.ErrUnsupported},
		{"encryption extension", put32(104, extensionEncryption), container.ErrUnsupported},
		{"unknown extension", put32(104, 0x12345678), nil},
		{"end after a padded extension", func(p []byte) { put32(104, 1)(p); put32(108, 3)(p); put32(120, extensionEnd)(p) }, nil},
		{"data file after a padded extension", func(p []byte) { put32(104, 1)(p); put32(108, 3)(p); put32(120, extensionDataFile)(p) }, container.ErrUnsupported},
		{"reserved L1 bit", put64(l1, flagCopied|l2|1), container.ErrFormat},
		{"no L2 table", put64(l1, 0), nil},
		{"L2 table is L1", put64(l1, flagCopied|l1), container.ErrFormat},
		{"L2 table outside", put64(l1, flagCopied|1<<40), container.ErrFormat},
		{"L2 table past the end by one", put64(l1, flagCopied|7*512), container.ErrFormat},
		{"reserved L2 bit", put64(l2, flagCopied|data|2), container.ErrFormat},
		{"compressed, used once", put64(l2, flagCopied|flagCompressed|data), container.ErrFormat},
		{"compressed at the header", put64(l2, flagCompressed), container.ErrFormat},
		{"compressed over a table", put64(l2, flagCompressed|1), container.ErrFormat},
		{"compressed outside", put64(l2, flagCompressed|1<<40), container.ErrFormat},
		{"data is the L2 table", put64(l2, flagCopied|l2), container.ErrFormat},
		{"shared data is the L2 table", put64(l2, l2), container.ErrFormat},
		{"data is the header", put64(l2, flagCopied|flagZero), nil}, // offset 0 is none
		{"data outside", put64(l2, flagCopied|7*512), container.ErrFormat},
		{"data used twice", put64(l2, flagCopied|data+512), container.ErrFormat},
		{"data used twice, marked once", put64(l2, data+512), container.ErrFormat},
		{"data shared", func(p []byte) { put64(l2, data)(p); put64(l2+16, data)(p) }, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			file := slices.Clone(sample(t))
			test.change(file)
			format.CheckOpen(t, file, test.want)
		})
	}
}

func TestOpenRefusesTruncatedFiles(t *testing.T) {
	file := sample(t)
	// QEMU ends a file within its last data cluster.
	last := len(file) - 512
	for n := range len(file) {
		_, err := Open(bytes.NewReader(file[:n]), int64(n), fileDigest)
		if (err == nil) != (n > last) {
			t.Fatalf("%d of %d bytes: error %v", n, len(file), err)
		}
		// The reader ends before the size that was promised.
		if _, err := Open(bytes.NewReader(file[:n]), int64(len(file)), fileDigest); err == nil && n < last-512 {
			t.Fatalf("%d of %d bytes, all promised: no error", n, len(file))
		}
	}
}

func TestOpenReadsAFileThatEndsInItsLastCluster(t *testing.T) {
	whole := sample(t)
	want := openBytes(t, whole)
	clear(want[len(want)-512-100 : len(want)-512]) // the disk ends in an unallocated cluster
	if got := openBytes(t, whole[:len(whole)-100]); !bytes.Equal(got, want) {
		t.Error("what the file does not hold of the cluster is not zeros")
	}
}

func TestOpenRefusesTablesUsedTwice(t *testing.T) {
	disk := convertertest.Build(t, func(b *extent.Builder) {
		b.Inline([]byte("a"))
		b.ZeroTo(32768) // what one L2 table maps
		b.Inline([]byte("b"))
		b.ZeroTo(65536)
	})
	file := convertertest.Bytes(t, write(t, disk, Options{ClusterSize: 512}), nil)
	const l1 = 3 * 512
	copy(file[l1:l1+8], file[l1+8:l1+16])
	_, err := Open(bytes.NewReader(file), int64(len(file)), fileDigest)
	if !errors.Is(err, container.ErrFormat) || !strings.Contains(err.Error(), "L2 table at") {
		t.Errorf("error %v, want container.ErrFormat about the L2 table", err)
	}
}

func FuzzOpen(f *testing.F) {
	f.Add(sample(f))
	extended, _ := extendedSample(f)
	f.Add(extended)
	format.Fuzz(f)
}

// Clusters that are not marked as copied may be used any number of times: each
// entry of a table, of 8 bytes, is a piece of the disk.
func TestOpenBoundsTheMemoryOfSharedClusters(t *testing.T) {
	format.CheckHostileMemory(t, fileOfPieces(t, container.MaxPieces+1, 0), container.ErrUnsupported)
	format.CheckHostileMemory(t, fileOfPieces(t, container.MaxPieces, flagCompressed), nil)
}

// fileOfPieces returns a file in which all clusters of the disk stand in two
// places, in turns.
func fileOfPieces(t *testing.T, clusters int64, flags uint64) []byte {
	const size, perTable = 512, 512 / entrySize
	be := binary.BigEndian
	tables := container.DivideUp(clusters, perTable)
	l2 := container.AlignUp(size+tables*entrySize, size)
	data := uint64(l2 + tables*size)
	file := append(make([]byte, 0, data+3*size), sample(t)[:size]...)
	be.PutUint64(file[24:], uint64(clusters*size))
	be.PutUint32(file[36:], uint32(tables))
	be.PutUint64(file[40:], size)
	be.PutUint32(file[56:], 0) // no refcounts
	for i := range tables {
		file = be.AppendUint64(file, uint64(l2+i*size))
	}
	file = file[:l2]
	for i := range uint64(tables * perTable) {
		file = be.AppendUint64(file, flags|data+i%2*2*size) // which are no neighbours
	}
	return append(file, make([]byte, 3*size)...)
}
