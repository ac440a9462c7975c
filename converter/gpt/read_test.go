package gpt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/extent"
)

func TestReadReadsWhatPlanPlans(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		blobs := convertertest.Blobs{}
		l := drawLayout(t, blobs)
		disk, err := Plan(l)
		if err != nil {
			t.Fatal(err)
		}
		spans, err := l.Place()
		if err != nil {
			t.Fatal(err)
		}
		want := &Table{ID: l.ID}
		for i, p := range l.Partitions {
			want.Partitions = append(want.Partitions, Entry{
				Number: i + 1, Type: p.Type, ID: p.ID, Name: p.Name, Attributes: p.Attributes, Span: spans[i],
			})
		}
		got, err := Read(extent.NewReader(t.Context(), disk, blobs), disk.Size())
		if err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("Read = %v, want %v", got, want)
		}
	})
}

func TestReadReadsWhatSgdiskWrites(t *testing.T) {
	convertertest.Need(t, "sgdisk", "gdisk")
	path := filepath.Join(t.TempDir(), "disk")
	if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, 64*mib)); err != nil {
		t.Fatal(err)
	}
	const disk, root = "11111111-2222-4333-8444-555555555555", "66666666-7777-4888-9999-aaaaaaaaaaaa"
	// Numbers with gaps, out of order on the disk, and a table of another length.
	convertertest.Run(t, "sgdisk", "-S", "256", "-U", disk,
		"-n", "14:2048:+4M", "-t", "14:ef02", "-n", "15:0:+10M", "-t", "15:ef00", "-c", "15:Ünï",
		"-n", "1:0:0", "-t", "1:8304", "-u", "1:"+root, "-A", "1:set:59", path)
	// The disk is made larger; the backup table stays where it was.
	if err := os.Truncate(path, 128*mib); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	got, err := Read(f, 128*mib)
	if err != nil {
		t.Fatal(err)
	}
	if got.ID.String() != disk || len(got.Partitions) != 3 {
		t.Fatalf("Read = %+v", got)
	}
	first := got.Partitions[0]
	if first.Number != 1 || first.Type != TypeLinuxRootX8664 || first.ID.String() != root || first.Attributes != AttributeGrowFileSystem {
		t.Errorf("partition 1 reads as %+v", first)
	}
	if esp := got.Partitions[2]; esp.Number != 15 || esp.Type != TypeESP || esp.Name != "Ünï" || esp.Span != (Span{5 * mib, 10 * mib}) {
		t.Errorf("partition 15 reads as %+v", esp)
	}
}

// smallDisk returns the content of a disk with two partitions of a block each.
func smallDisk(t convertertest.TB) []byte {
	t.Helper()
	disk, err := Plan(Layout{ID: id(0), Alignment: blockSize, Partitions: []Partition{
		{Type: TypeESP, ID: id(1), Name: "esp", Size: blockSize},
		{Type: TypeLinuxFilesystem, ID: id(2), Name: "root", Size: blockSize},
	}})
	if err != nil {
		t.Fatalf("Plan: %v", err)
	}
	return convertertest.Bytes(t, disk, nil)
}

// seal makes the primary checksums right again, as an attacker would.
func seal(disk []byte) {
	le := binary.LittleEndian
	h := disk[blockSize : 2*blockSize]
	table, size := le.Uint64(h[72:])*blockSize, uint64(le.Uint32(h[80:]))*uint64(le.Uint32(h[84:]))
	if length := uint64(len(disk)); table < length && size <= length-table {
		le.PutUint32(h[88:], crc32.ChecksumIEEE(disk[table:table+size]))
	}
	if n := le.Uint32(h[12:]); n >= headerSize && n <= blockSize {
		le.PutUint32(h[16:], headerCRC(h[:n]))
	}
}

func TestReadRefuses(t *testing.T) {
	const h, e = blockSize, entriesBlock * blockSize
	put32 := func(off int, v uint32) func([]byte) {
		return func(p []byte) { binary.LittleEndian.PutUint32(p[off:], v) }
	}
	put64 := func(off int, v uint64) func([]byte) {
		return func(p []byte) { binary.LittleEndian.PutUint64(p[off:], v) }
	}
	tests := []struct {
		name     string
		change   func([]byte)
		unsealed bool // the checksums are left as they were
		sound    bool
	}{
		{name: "nothing", change: func([]byte) {}, sound: true},
		{name: "MBR signature", change: put32(508, 0)},
		{name: "MBR type", change: put32(450, 0x83)},
		{name: "signature", change: put32(h, 0)},
		{name: "revision 2", change: put32(h+8, 0x20000)},
		{name: "short header", change: put32(h+12, 91)},
		{name: "long header", change: put32(h+12, 513)},
		{name: "header of a whole block", change: put32(h+12, 512), sound: true},
		{name: "header CRC", change: put32(h+56, 1), unsealed: true},
		{name: "entries CRC", change: put32(e+56, 1), unsealed: true},
		{name: "its own address", change: put64(h+24, 2)},
		{name: "first usable block in the table", change: put64(h+40, 3)},
		{name: "first usable block negative", change: put64(h+40, 1<<63)},
		{name: "last usable block outside", change: put64(h+48, 1000)},
		{name: "last usable block before the first", change: put64(h+48, 5)},
		{name: "entries in the header", change: put64(h+72, 1)},
		{name: "entries outside", change: put64(h+72, 1000)},
		{name: "entries far outside", change: put64(h+72, 1<<63-1)},
		{name: "entries among the partitions", change: put64(h+72, 34)},
		{name: "too many entries", change: put32(h+80, 1<<31)},
		{name: "small entries", change: put32(h+84, 64)},
		{name: "no entry size", change: put32(h+84, 0)},
		{name: "odd entry size", change: put32(h+84, 384)},
		{name: "huge entries", change: put32(h+84, 1<<31)},
		{name: "partition before the usable blocks", change: put64(e+32, 33)},
		{name: "partition after the usable blocks", change: put64(e+128+40, 36)},
		{name: "partition ends before it starts", change: put64(e+40, 33)},
		{name: "partition far outside", change: put64(e+40, 1<<63)},
		{name: "partitions overlap", change: put64(e+40, 35)},
		{name: "partition removed", change: func(p []byte) { clear(p[e : e+16]) }, sound: true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			disk := slices.Clone(smallDisk(t))
			test.change(disk)
			if !test.unsealed {
				seal(disk)
			}
			_, err := Read(bytes.NewReader(disk), int64(len(disk)))
			if (err == nil) != test.sound || err != nil && !errors.Is(err, ErrFormat) {
				t.Errorf("error %v; sound is %v", err, test.sound)
			}
		})
	}
	disk := smallDisk(t)
	for n := range len(disk) - tableBlocks*blockSize {
		if _, err := Read(bytes.NewReader(disk[:n]), int64(n)); !errors.Is(err, ErrFormat) {
			t.Fatalf("%d of %d bytes: error %v, want ErrFormat", n, len(disk), err)
		}
	}
}

// A table as long as the header likes must not be allocated, nor looked for
// outside the disk.
func TestReadBoundsTheTable(t *testing.T) {
	tests := []struct {
		name  string
		field int // of the header
		value uint32
		want  string
	}{
		{"over 1 MiB", 80, maxTableSize/entrySize + 1, "want at most"},
		{"over the disk", 80, maxTableSize / entrySize, "outside the disk"},
		{"at the end of the disk", 72, 60, "outside the disk"},
	}
	for _, test := range tests {
		disk := smallDisk(t)
		binary.LittleEndian.PutUint32(disk[blockSize+test.field:], test.value)
		seal(disk)
		_, err := Read(bytes.NewReader(disk), int64(len(disk)))
		if !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: error %v, want one with %q", test.name, err, test.want)
		}
	}
}

func FuzzRead(f *testing.F) {
	f.Add(smallDisk(f))
	f.Fuzz(func(t *testing.T, disk []byte) {
		if len(disk) >= 2*blockSize {
			seal(disk)
		}
		table, err := Read(bytes.NewReader(disk), int64(len(disk)))
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Fatalf("an error of another kind: %v", err)
			}
			return
		}
		for _, p := range table.Partitions {
			if p.Span.Offset < 0 || p.Span.Length <= 0 || p.Span.End() > int64(len(disk)) {
				t.Fatalf("partition %+v lies outside a disk of %d bytes", p, len(disk))
			}
		}
	})
}
