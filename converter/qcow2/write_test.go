package qcow2

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"

	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/extent"
)

const mib, gib = int64(1) << 20, int64(1) << 30

func write(t convertertest.TB, disk *extent.Map, opts Options) *extent.Map {
	t.Helper()
	file, err := Write(disk, opts)
	if err != nil {
		t.Fatalf("Write: %v", err)
	}
	return file
}

// checkWithQEMU writes the disk as raw and as qcow2 and asks qemu-img whether
// the second is sound and equal to the first.
func checkWithQEMU(t convertertest.TB, dir string, disk *extent.Map, blobs convertertest.Blobs, opts Options) (qcow2Path string) {
	t.Helper()
	rawPath, qcow2Path := filepath.Join(dir, "disk.raw"), filepath.Join(dir, "disk.qcow2")
	convertertest.WriteFile(t, disk, blobs, rawPath)
	convertertest.WriteFile(t, write(t, disk, opts), blobs, qcow2Path)
	convertertest.Run(t, "qemu-img", "check", "-f", "qcow2", qcow2Path)
	convertertest.Run(t, "qemu-img", "compare", "-f", "raw", "-F", "qcow2", rawPath, qcow2Path)
	return qcow2Path
}

func TestWriteIsWhatQEMUExpects(t *testing.T) {
	convertertest.Need(t, "qemu-img", "qemu-utils")
	text := bytes.Repeat([]byte("content "), 1<<15)
	blobs := convertertest.Blobs{}
	source := blobs.Add(text)
	disks := map[string]*extent.Map{
		"empty":              convertertest.Build(t, func(*extent.Builder) {}),
		"one byte":           convertertest.Build(t, func(b *extent.Builder) { b.Inline([]byte{1}) }),
		"zeros":              convertertest.Build(t, func(b *extent.Builder) { b.Zero(3 * mib) }),
		"a full cluster":     convertertest.Build(t, func(b *extent.Builder) { b.Source(source, 0, 64<<10) }),
		"a partial cluster":  convertertest.Build(t, func(b *extent.Builder) { b.Source(source, 3, 64<<10+512) }),
		"not whole sectors":  convertertest.Build(t, func(b *extent.Builder) { b.Zero(mib); b.Source(source, 0, 1000) }),
		"data at both ends":  convertertest.Build(t, func(b *extent.Builder) { b.Inline([]byte("a")); b.Zero(8*gib - 2); b.Inline([]byte("z")) }),
		"many blobs' pieces": pieces(t, source, 500),
	}
	for name, disk := range disks {
		for bits := minClusterBits; bits <= maxClusterBits; bits += 3 {
			t.Run(fmt.Sprintf("%s/%d", name, 1<<bits), func(t *testing.T) {
				checkWithQEMU(t, t.TempDir(), disk, blobs, Options{ClusterSize: 1 << bits})
			})
		}
	}
}

// pieces returns a disk of n runs of source at odd places.
func pieces(t convertertest.TB, source extent.Digest, n int) *extent.Map {
	return convertertest.Build(t, func(b *extent.Builder) {
		for i := range int64(n) {
			b.Zero(i * 997 % 70000)
			b.Source(source, i*31, 1+i*73%9000)
		}
		b.ZeroTo((b.Size() + mib) / mib * mib)
	})
}

func TestWriteAnyDisk(t *testing.T) {
	convertertest.Need(t, "qemu-img", "qemu-utils")
	if testing.Short() {
		t.Skip("asks qemu-img about a hundred disks")
	}
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		blobs := convertertest.Blobs{}
		disk := convertertest.DrawMap(t, blobs, 64*mib)
		clusterSize := 1 << rapid.IntRange(minClusterBits, maxClusterBits).Draw(t, "clusterBits")
		checkWithQEMU(t, dir, disk, blobs, Options{ClusterSize: clusterSize})
	})
}

func TestWriteSaysWhatItIs(t *testing.T) {
	convertertest.Need(t, "qemu-img", "qemu-utils")
	disk := convertertest.Build(t, func(b *extent.Builder) { b.Inline([]byte("boot")); b.Zero(gib - 4) })
	path := checkWithQEMU(t, t.TempDir(), disk, nil, Options{})
	var info struct {
		VirtualSize int64  `json:"virtual-size"`
		ClusterSize int    `json:"cluster-size"`
		Format      string `json:"format"`
		Specific    struct {
			Data struct {
				Compat       string `json:"compat"`
				RefcountBits int    `json:"refcount-bits"`
				Corrupt      bool   `json:"corrupt"`
			} `json:"data"`
		} `json:"format-specific"`
	}
	out := convertertest.Run(t, "qemu-img", "info", "--output=json", path)
	if err := json.Unmarshal([]byte(out), &info); err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(info.Format, info.VirtualSize, info.ClusterSize, info.Specific.Data)
	want := fmt.Sprint("qcow2", gib, DefaultClusterSize, struct {
		string
		int
		bool
	}{"1.1", 16, false})
	if got != want {
		t.Errorf("qemu-img info says %s, want %s", got, want)
	}
}

// qemuMap returns the ranges, as offset and length, that qemu-img map says hold
// data. Neighbours are joined: qemu-img splits them where the file has holes.
func qemuMap(t convertertest.TB, path string) (ranges [][2]int64) {
	t.Helper()
	var entries []struct {
		Start, Length int64
		Data          bool
	}
	out := convertertest.Run(t, "qemu-img", "map", "-f", "qcow2", "--output=json", path)
	if err := json.Unmarshal([]byte(out), &entries); err != nil {
		t.Fatalf("qemu-img map: %v", err)
	}
	for _, e := range entries {
		last := len(ranges) - 1
		switch {
		case !e.Data:
		case last >= 0 && ranges[last][0]+ranges[last][1] == e.Start:
			ranges[last][1] += e.Length
		default:
			ranges = append(ranges, [2]int64{e.Start, e.Length})
		}
	}
	return ranges
}

func TestWriteLeavesHolesUnallocated(t *testing.T) {
	convertertest.Need(t, "qemu-img", "qemu-utils")
	disk := convertertest.Build(t, func(b *extent.Builder) {
		b.Zero(64<<10 - 1)
		b.Inline([]byte("ab")) // the last byte of cluster 0, the first of cluster 1
		b.ZeroTo(5 * gib)
		b.Inline([]byte("c"))
		b.ZeroTo(10 * gib)
	})
	path := checkWithQEMU(t, t.TempDir(), disk, nil, Options{})
	want := [][2]int64{{0, 128 << 10}, {5 * gib, 64 << 10}}
	if got := qemuMap(t, path); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("qemu-img map finds data at %v, want %v", got, want)
	}
}

func TestWriteConvertsBackToRaw(t *testing.T) {
	convertertest.Need(t, "qemu-img", "qemu-utils")
	blobs := convertertest.Blobs{}
	disk := pieces(t, blobs.Add(bytes.Repeat([]byte("content "), 1<<15)), 200)
	dir := t.TempDir()
	path := checkWithQEMU(t, dir, disk, blobs, Options{})
	back := filepath.Join(dir, "back.raw")
	convertertest.Run(t, "qemu-img", "convert", "-f", "qcow2", "-O", "raw", path, back)
	convertertest.Run(t, "cmp", back, filepath.Join(dir, "disk.raw"))
}

// A guest must be able to write to the disk: that moves clusters and refcounts.
func TestWriteCanBeWrittenTo(t *testing.T) {
	convertertest.Need(t, "qemu-io", "qemu-utils")
	disk := convertertest.Build(t, func(b *extent.Builder) { b.Inline([]byte("boot")); b.ZeroTo(gib) })
	path := checkWithQEMU(t, t.TempDir(), disk, nil, Options{})
	convertertest.Run(t, "qemu-io", "-f", "qcow2", path,
		"-c", "write -P 7 0 1M", "-c", "write -P 8 700M 3M", "-c", "discard 0 64k")
	convertertest.Run(t, "qemu-img", "resize", "-f", "qcow2", path, "4G")
	convertertest.Run(t, "qemu-img", "check", "-f", "qcow2", path)
}

func TestWriteReadsItsSourcesOnceInOrder(t *testing.T) {
	blobs := convertertest.Blobs{}
	disk := pieces(t, blobs.Add(bytes.Repeat([]byte("content "), 1<<15)), 300)
	var want, got []string
	for _, e := range disk.All() {
		if e.Kind == extent.Source {
			want = append(want, fmt.Sprint(e.Offset, e.Length))
		}
	}
	for _, e := range write(t, disk, Options{}).All() {
		if e.Kind == extent.Source {
			got = append(got, fmt.Sprint(e.Offset, e.Length))
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the file reads %v, the disk %v", got, want)
	}
}

func TestWriteOfASparseDiskIsSmall(t *testing.T) {
	const pieces = 1000
	disk := convertertest.Build(t, func(b *extent.Builder) {
		for i := range int64(pieces) {
			b.ZeroTo(i * gib / 10)
			b.Inline([]byte("x"))
		}
		b.ZeroTo(100 * gib)
	})
	file := write(t, disk, Options{})
	if got := file.InlineSize(); got > 40*pieces {
		t.Errorf("the map carries %d bytes, want at most %d", got, 40*pieces)
	}
	if got := file.Len(); got > 10*pieces {
		t.Errorf("the map has %d extents, want at most %d", got, 10*pieces)
	}
}

func TestWriteRefusesWhatQEMUWouldNotOpen(t *testing.T) {
	const digest = extent.Digest("sha256:00")
	full := func(size int64) *extent.Map {
		return convertertest.Build(t, func(b *extent.Builder) { b.Source(digest, 0, size) })
	}
	sparse := func(size int64) *extent.Map {
		return convertertest.Build(t, func(b *extent.Builder) { b.Zero(size) })
	}
	tests := []struct {
		name        string
		disk        *extent.Map
		clusterSize int
		tooLarge    bool
	}{
		{"cluster size not a power of two", sparse(mib), 65537, false},
		{"cluster size under 512", sparse(mib), 256, false},
		{"cluster size over 2 MiB", sparse(mib), 4 << 20, false},
		{"negative cluster size", sparse(mib), -512, false},
		{"L1 table over 32 MiB", sparse(128*gib + 1), 512, true},
		{"refcount table over 8 MiB", full(128 * gib), 512, true},
		{"largest map there is", sparse(1<<63 - 1), 0, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := Write(test.disk, Options{ClusterSize: test.clusterSize})
			if err == nil {
				t.Fatal("no error")
			}
			if errors.Is(err, ErrTooLarge) != test.tooLarge {
				t.Errorf("error %q: ErrTooLarge is %v, want %v", err, !test.tooLarge, test.tooLarge)
			}
		})
	}
	if _, err := Write(sparse(128*gib), Options{ClusterSize: 512}); err != nil {
		t.Errorf("the largest L1 table is refused: %v", err)
	}
}

func BenchmarkWrite(b *testing.B) { format.BenchmarkWrite(b) }
