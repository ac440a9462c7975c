package vmdk

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/converter/formattest"
	"github.com/cloudlets/cloudlets/extent"
)

const mib, gib = int64(1) << 20, int64(1) << 30

func openFile(file []byte) (*container.Disk, error) {
	return Open(bytes.NewReader(file), int64(len(file)), formattest.Source)
}

func FuzzOpen(f *testing.F) {
	f.Add(streamSample(f))
	f.Add(withoutFooter(f))
	f.Add(cowdSample())
	sparse.Fuzz(f)
}

// sample returns a small sound file with the descriptor at sector 1, the
// redundant directory at 21, its table at 22, the primary ones at 26 and 27, and
// grains at sectors 128 and 256.
func sample(t convertertest.TB) []byte {
	disk := convertertest.Build(t, func(b *extent.Builder) {
		b.Inline(bytes.Repeat([]byte("a"), grainSize))
		b.Zero(grainSize)
		b.Inline(bytes.Repeat([]byte("b"), grainSize))
		b.Zero(grainSize)
	})
	file, err := Write(disk, Options{})
	if err != nil {
		t.Fatalf("Write: %v", err)
	}
	return convertertest.Bytes(t, file, nil)
}

// change is a change to a file.
type change func(file []byte)

func put32(off int, v uint32) change {
	return func(p []byte) { binary.LittleEndian.PutUint32(p[off:], v) }
}

func put64(off int, v uint64) change {
	return func(p []byte) { binary.LittleEndian.PutUint64(p[off:], v) }
}

// replace changes text in the descriptor. Both are of one length.
func replace(from, to string) change {
	return func(p []byte) {
		at := bytes.Index(p, []byte(from))
		copy(p[at:], to)
	}
}

// damage is a changed file and what opening it should give; nil is a disk.
type damage struct {
	name   string
	change change
	want   error
}

func testDamages(t *testing.T, sound []byte, damages []damage) {
	t.Helper()
	for _, test := range damages {
		t.Run(test.name, func(t *testing.T) {
			file := slices.Clone(sound)
			test.change(file)
			_, err := openFile(file)
			if !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
				t.Errorf("error %v, want %v", err, test.want)
			}
		})
	}
}

func TestOpenRefusesUnsoundFiles(t *testing.T) {
	const directory, table, sector = 26 * sectorSize, 27 * sectorSize, sectorSize
	testDamages(t, sample(t), []damage{
		{"nothing", func([]byte) {}, nil},
		{"magic", put32(0, 1), container.ErrFormat},
		{"version 0", put32(4, 0), container.ErrUnsupported},
		{"version 2", put32(4, 2), nil},
		{"version 4", put32(4, 4), container.ErrUnsupported},
		{"unknown flags", put32(8, 1<<20), container.ErrUnsupported},
		{"compressed without an algorithm", put32(8, flagCompressed|flagMarkers), container.ErrUnsupported},
		{"compressed without markers", func(p []byte) { put32(8, flagCompressed)(p); p[77] = 1 }, container.ErrUnsupported},
		{"line ends changed", func(p []byte) { p[lineEndsAt] = '\r' }, container.ErrFormat},
		{"line ends that do not count", func(p []byte) { p[lineEndsAt] = '\r'; p[8] = 2 }, nil},
		{"a disk larger than its tables", put64(12, 1<<40), container.ErrFormat},
		{"a disk of 2^64 sectors", put64(12, 1<<64-1), container.ErrFormat},
		{"no grain size", put64(20, 0), container.ErrFormat},
		{"odd grain size", put64(20, 127), container.ErrFormat},
		{"huge grains", put64(20, 1<<40), container.ErrFormat},
		{"no table entries", put32(44, 0), container.ErrFormat},
		{"huge tables", put32(44, 1<<31), container.ErrFormat},
		{"no descriptor", put64(28, 0), container.ErrUnsupported},
		{"descriptor outside", put64(28, 1<<40), container.ErrFormat},
		{"descriptor far outside", put64(28, 1<<63), container.ErrFormat},
		{"huge descriptor", put64(36, 1<<54), container.ErrFormat},
		{"descriptor is no descriptor", put64(28, 128), container.ErrFormat},
		{"descriptor over the directory", put64(36, 30), container.ErrFormat},
		{"directory outside", put64(56, 1<<40), container.ErrFormat},
		{"directory far outside", put64(56, 1<<63), container.ErrFormat},
		{"directory in the descriptor", put64(56, 2), container.ErrFormat},
		{"directory at the end of a sparse file", put64(56, directoryAtEnd), container.ErrFormat},
		{"no table", put32(directory, 0), nil},
		{"table is the header", put32(directory, 0), nil}, // 0 is none
		{"table is the directory", put32(directory, 26), container.ErrFormat},
		{"table outside", put32(directory, 1<<31), container.ErrFormat},
		{"grain outside", put32(table, 1<<31), container.ErrFormat},
		{"grain past the end by one", put32(table, 257), container.ErrFormat},
		{"grain is the table", put32(table, 27), container.ErrFormat},
		{"grain is the descriptor", put32(table, zeroGrain), container.ErrFormat},
		{"zero grain", func(p []byte) { put32(table, zeroGrain)(p); p[8] |= flagZeroGrains }, nil},
		{"grain used twice", put32(table, 256), container.ErrFormat},
		{"grains overlap", put32(table, 255), container.ErrFormat},
		{"parent", replace("parentCID=ffffffff", "parentCID=12345678"), container.ErrUnsupported},
		{"parent's name", replace(`encoding="UTF-8"`+"\n", "parentFileNameHint=\"/etc/passwd\"\n#"), container.ErrUnsupported},
		{"type", replace("monolithicSparse", "monolithicFlat\"#"), container.ErrUnsupported},
		{"unknown line", replace("version=1", "verbose 1"), container.ErrFormat},
		{"line twice", replace("version=1\nenc", "CID=000\n#  "), container.ErrFormat},
		{"no extent", replace("RW 512", "#     "), container.ErrFormat},
		{"flat extent", replace(`SPARSE "disk.vmdk"`, `FLAT "/etc/shadow"`), container.ErrFormat},
		{"no number of sectors", replace("RW 512", "RW xyz"), container.ErrFormat},
		{"name not in quotes", replace(`"disk.vmdk"`, "=disk.vmdk="), container.ErrFormat},
		{"name of another file", replace(`"disk.vmdk"`, `"/dev/sda1"`), nil}, // nothing opens it
	})
}

func TestOpenSaysWhatToDoWithADescriptor(t *testing.T) {
	text := descriptor(monolithicFlat, 2048, `FLAT "/etc/passwd" 0`, [16]byte{})
	_, err := openFile(text)
	if !errors.Is(err, container.ErrUnsupported) || !strings.Contains(err.Error(), "qemu-img convert") {
		t.Errorf("error %v, want ErrUnsupported with what to do", err)
	}
}

// cowdSample returns a sparse file of ESX: the directory at sector 4, its table at
// 5, a grain of one sector at 37 for sector 3 of the disk, which has 6.
func cowdSample() []byte {
	file := make([]byte, 38*sectorSize)
	copy(file, cowdMagic)
	for i, v := range []uint32{1, 3, 6, 1, 4, 1} {
		binary.LittleEndian.PutUint32(file[4+4*i:], v)
	}
	binary.LittleEndian.PutUint32(file[4*sectorSize:], 5)
	binary.LittleEndian.PutUint32(file[5*sectorSize+3*entrySize:], 37)
	copy(file[37*sectorSize:], "content")
	return file
}

func TestOpenReadsSparseFilesOfESX(t *testing.T) {
	convertertest.Need(t, "qemu-img", "qemu-utils")
	file := cowdSample()
	dir := t.TempDir()
	path, raw := filepath.Join(dir, "vmdk"), filepath.Join(dir, "raw")
	for name, content := range map[string][]byte{ // QEMU wants a descriptor
		"vmdk": descriptor("vmfsSparse", 6, `VMFSSPARSE "part"`, [16]byte{}),
		"part": file,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	convertertest.Run(t, "qemu-img", "convert", "-f", "vmdk", "-O", "raw", path, raw)
	want, err := os.ReadFile(raw)
	if err != nil {
		t.Fatal(err)
	}
	if got := sparse.OpenBytes(t, file); !bytes.Equal(got, want) || !bytes.HasPrefix(got[3*sectorSize:], []byte("content")) {
		t.Error("the disk differs from what QEMU reads")
	}
	testDamages(t, file, []damage{
		{"version", put32(4, 2), container.ErrUnsupported},
		{"parent", put32(8, 2), container.ErrUnsupported},
		{"huge disk", put32(12, 1<<31), container.ErrFormat},
		{"directory outside", put32(20, 1<<31), container.ErrFormat},
		{"grain outside", put32(5*sectorSize, 1<<31), container.ErrFormat},
	})
}
