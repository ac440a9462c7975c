package gpt

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/extent"
)

const mib, gib = int64(1) << 20, int64(1) << 30

// id returns a GUID that differs for each n.
func id(n int) GUID { return GUID{0: 0xc0, 1: byte(n >> 8), 2: byte(n), 6: 0x40, 8: 0x80, 15: 0x01} }

func planFile(t convertertest.TB, l Layout, blobs convertertest.Blobs, path string) *extent.Map {
	t.Helper()
	disk, err := Plan(l)
	if err != nil {
		t.Fatalf("Plan: %v", err)
	}
	convertertest.WriteFile(t, disk, blobs, path)
	return disk
}

// verify asks sgdisk whether the disk at path is sound.
func verify(t convertertest.TB, path string) {
	t.Helper()
	out := convertertest.Run(t, "sgdisk", "-v", path)
	if !strings.Contains(out, "No problems found") || strings.Contains(out, "aution") {
		t.Fatalf("sgdisk -v finds fault:\n%s", out)
	}
}

// hybrid is the disk the converter makes: BIOS boot, ESP and a root that fills it.
func hybrid(t convertertest.TB, blobs convertertest.Blobs) Layout {
	core := blobs.Add(bytes.Repeat([]byte("core"), 40_000))
	return Layout{
		ID:       id(0),
		BootCode: bytes.Repeat([]byte{0x90}, maxBootCode),
		Partitions: []Partition{
			{Type: TypeBIOSBoot, ID: id(1), Name: "bios", Size: mib,
				Map: convertertest.Build(t, func(b *extent.Builder) { b.Source(core, 0, 144_000) })},
			{Type: TypeESP, ID: id(2), Name: "esp", Attributes: AttributeRequired,
				Map: convertertest.Build(t, func(b *extent.Builder) { b.Inline([]byte("fat")); b.Zero(64*mib - 3) })},
			{Type: TypeLinuxRootX8664, ID: id(3), Name: "root ☁ 𝄞", Attributes: AttributeGrowFileSystem, Fill: true,
				Map: convertertest.Build(t, func(b *extent.Builder) { b.Zero(3 * mib); b.Inline([]byte("ext4")); b.Zero(12345) })},
		},
	}
}

// sfdiskTable is what sfdisk -J prints.
type sfdiskTable struct {
	PartitionTable struct {
		Label, ID         string
		FirstLBA, LastLBA int64
		SectorSize        int64
		Partitions        []struct {
			Node             string
			Start, Size      int64
			Type, UUID, Name string
			Attrs            string
		}
	}
}

func TestPlanIsWhatSgdiskAndSfdiskExpect(t *testing.T) {
	convertertest.Need(t, "sgdisk", "gdisk")
	convertertest.Need(t, "sfdisk", "fdisk")
	for _, size := range []int64{0, 2 * gib, 3*gib + 512} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			blobs := convertertest.Blobs{}
			l := hybrid(t, blobs)
			l.Size = size
			path := filepath.Join(t.TempDir(), "disk")
			planFile(t, l, blobs, path)
			verify(t, path)
			convertertest.Run(t, "sfdisk", "--verify", path)
			checkSfdisk(t, l, path)
		})
	}
}

// checkSfdisk compares what sfdisk reads with what was asked for.
func checkSfdisk(t *testing.T, l Layout, path string) {
	t.Helper()
	var got sfdiskTable
	if err := json.Unmarshal([]byte(convertertest.Run(t, "sfdisk", "-J", path)), &got); err != nil {
		t.Fatal(err)
	}
	table := got.PartitionTable
	if table.Label != "gpt" || !strings.EqualFold(table.ID, l.ID.String()) || table.FirstLBA != firstUsable {
		t.Errorf("sfdisk reads the table as %+v", table)
	}
	spans, err := l.Place()
	if err != nil {
		t.Fatal(err)
	}
	attributes := map[Attributes]string{0: "", AttributeRequired: "RequiredPartition", AttributeGrowFileSystem: "GUID:59"}
	for i, p := range l.Partitions {
		g := table.Partitions[i]
		gotText := fmt.Sprintln(g.Start, g.Size, strings.ToLower(g.Type), strings.ToLower(g.UUID), g.Name, g.Attrs)
		wantText := fmt.Sprintln(spans[i].FirstBlock(), spans[i].Length/blockSize, p.Type, p.ID, p.Name, attributes[p.Attributes])
		if gotText != wantText {
			t.Errorf("sfdisk reads partition %d as %s, want %s", i+1, gotText, wantText)
		}
	}
}

func TestSgdiskKnowsTheTypes(t *testing.T) {
	convertertest.Need(t, "sgdisk", "gdisk")
	types := map[GUID]string{
		TypeESP:             "EFI system partition",
		TypeBIOSBoot:        "BIOS boot partition",
		TypeLinuxRootX8664:  "Linux x86-64 root (/)",
		TypeLinuxFilesystem: "Linux filesystem",
	}
	for kind, name := range types {
		l := Layout{ID: id(0), Partitions: []Partition{
			{Type: kind, ID: id(1), Size: mib, Attributes: AttributeLegacyBIOSBootable},
		}}
		path := filepath.Join(t.TempDir(), "disk")
		planFile(t, l, nil, path)
		out := convertertest.Run(t, "sgdisk", "-i", "1", path)
		for _, want := range []string{strings.ToUpper(kind.String()), "(" + name + ")", "Attribute flags: 0000000000000004"} {
			if !strings.Contains(out, want) {
				t.Errorf("sgdisk -i lacks %q:\n%s", want, out)
			}
		}
	}
}

func TestDiskCanGrow(t *testing.T) {
	convertertest.Need(t, "sgdisk", "gdisk")
	blobs := convertertest.Blobs{}
	l := hybrid(t, blobs)
	path := filepath.Join(t.TempDir(), "disk")
	planFile(t, l, blobs, path)
	if err := os.Truncate(path, 4*gib); err != nil {
		t.Fatal(err)
	}
	convertertest.Run(t, "sgdisk", "-e", path)
	verify(t, path)
	spans, err := l.Place()
	if err != nil {
		t.Fatal(err)
	}
	// What growpart does next: the same partition again, up to the end.
	convertertest.Run(t, "sgdisk", "-d", "3", "-n", fmt.Sprintf("3:%d:0", spans[2].FirstBlock()), path)
	if out := convertertest.Run(t, "sgdisk", "-v", path); !strings.Contains(out, "No problems found") {
		t.Fatalf("sgdisk -v finds fault:\n%s", out)
	}
}

func TestPartitionsHoldTheirMaps(t *testing.T) {
	blobs := convertertest.Blobs{}
	l := hybrid(t, blobs)
	disk, err := Plan(l)
	if err != nil {
		t.Fatal(err)
	}
	content := convertertest.Bytes(t, disk, blobs)
	spans, err := l.Place()
	if err != nil {
		t.Fatal(err)
	}
	for i, span := range spans {
		want := make([]byte, span.Length)
		copy(want, convertertest.Bytes(t, l.Partitions[i].Map, blobs))
		if !bytes.Equal(content[span.Offset:span.End()], want) {
			t.Errorf("partition %d does not hold its map", i+1)
		}
	}
	if !bytes.Equal(content[:len(l.BootCode)], l.BootCode) {
		t.Error("block 0 does not hold the boot code")
	}
}

// The rules of OpenStack's image inspection (oslo.utils format_inspector,
// GPTInspector), by which clouds refuse disks.
func TestMBRPassesInspection(t *testing.T) {
	blobs := convertertest.Blobs{}
	disk, err := Plan(hybrid(t, blobs))
	if err != nil {
		t.Fatal(err)
	}
	mbr := convertertest.Bytes(t, disk, blobs)[:blockSize]
	if !bytes.Equal(mbr[510:], []byte{0x55, 0xaa}) {
		t.Errorf("signature % x", mbr[510:])
	}
	if want := []byte{0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff, 1, 0, 0, 0}; !bytes.Equal(mbr[446:458], want) {
		t.Errorf("partition record % x, want % x", mbr[446:458], want)
	}
	if got, want := int64(binary.LittleEndian.Uint32(mbr[458:])), disk.Size()/blockSize-1; got != want {
		t.Errorf("the partition has %d blocks, want %d: all but the first", got, want)
	}
	if !bytes.Equal(mbr[462:510], make([]byte, 48)) {
		t.Error("more than one partition record is used")
	}
}

func TestPlaceNeedsNoContent(t *testing.T) {
	l := Layout{Size: 10 * gib, Partitions: []Partition{
		{Size: 1}, {Size: 64 * mib}, {Fill: true},
	}}
	got, err := l.Place()
	if err != nil {
		t.Fatal(err)
	}
	want := []Span{{mib, mib}, {2 * mib, 64 * mib}, {66 * mib, 10*gib - 67*mib}}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("Place() = %v, want %v", got, want)
	}
	if size, err := l.DiskSize(); size != l.Size || err != nil {
		t.Errorf("DiskSize() = %d, %v", size, err)
	}
}

func TestDiskIsAsSmallAsItsAlignmentAllows(t *testing.T) {
	l := Layout{Partitions: []Partition{{Size: mib}}}
	if size, err := l.DiskSize(); size != 3*mib || err != nil {
		t.Errorf("DiskSize() = %d, %v; want 3 MiB", size, err)
	}
	l.Alignment = blockSize
	want := int64(firstUsable+tableBlocks)*blockSize + mib
	if size, err := l.DiskSize(); size != want || err != nil {
		t.Errorf("DiskSize() = %d, %v; want %d", size, err, want)
	}
}

func TestPlanRefuses(t *testing.T) {
	good := func() Layout {
		return Layout{ID: id(0), Partitions: []Partition{
			{Type: TypeESP, ID: id(1), Size: mib},
			{Type: TypeLinuxFilesystem, ID: id(2), Size: mib},
		}}
	}
	if _, err := Plan(good()); err != nil {
		t.Fatalf("the layout the cases start from: %v", err)
	}
	tests := []struct {
		name   string
		change func(*Layout)
		want   string
	}{
		{"no disk GUID", func(l *Layout) { l.ID = GUID{} }, "disk has no GUID"},
		{"odd disk size", func(l *Layout) { l.Size = 8*mib + 1 }, "multiple of 512"},
		{"negative disk size", func(l *Layout) { l.Size = -512 }, "multiple of 512"},
		{"odd alignment", func(l *Layout) { l.Alignment = 1000 }, "multiple of 512"},
		{"huge alignment", func(l *Layout) { l.Alignment = 1 << 62 }, "at most"},
		{"small disk", func(l *Layout) { l.Size = 3 * mib }, "make it larger"},
		{"long boot code", func(l *Layout) { l.BootCode = make([]byte, 441) }, "room for 440"},
		{"no type", func(l *Layout) { l.Partitions[0].Type = GUID{} }, "partition 1 (): it has no type"},
		{"no GUID", func(l *Layout) { l.Partitions[1].ID = GUID{} }, "partition 2 (): it has no GUID"},
		{"the same GUID twice", func(l *Layout) { l.Partitions[1].ID = id(1) }, "GUID of partition 1"},
		{"long name", func(l *Layout) { l.Partitions[0].Name = strings.Repeat("𝄞", 19) }, "38 UTF-16 code units"},
		{"bad name", func(l *Layout) { l.Partitions[0].Name = "\xff" }, "valid UTF-8"},
		{"NUL in a name", func(l *Layout) { l.Partitions[0].Name = "a\x00b" }, "without NUL"},
		{"no size", func(l *Layout) { l.Partitions[0].Size = 0 }, "neither a size nor content"},
		{"negative size", func(l *Layout) { l.Partitions[0].Size = -1 }, "positive"},
		{"huge sizes", func(l *Layout) { l.Partitions[0].Size, l.Partitions[1].Size = 1<<62-mib*2, 1<<62 }, "partition 2"},
		{"fill before the last", func(l *Layout) { l.Partitions[0].Fill = true }, "only the last"},
		{"content over size", func(l *Layout) {
			l.Partitions[0].Map = convertertest.Build(t, func(b *extent.Builder) { b.Zero(mib + 1) })
		}, "larger than its size"},
		{"no partitions", func(l *Layout) { l.Partitions = nil }, "no partitions"},
		{"129 partitions", func(l *Layout) { l.Partitions = make([]Partition, 129) }, "at most 128"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l := good()
			test.change(&l)
			_, err := Plan(l)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one with %q", err, test.want)
			}
		})
	}
	small := good()
	small.Size = mib
	if _, err := Plan(small); !errors.Is(err, ErrNoRoom) {
		t.Errorf("error %v, want ErrNoRoom", err)
	}
}

// drawLayout draws a layout that can be planned.
func drawLayout(t *rapid.T, blobs convertertest.Blobs) Layout {
	l := Layout{
		ID:        id(0),
		Alignment: blockSize << rapid.IntRange(0, 13).Draw(t, "alignment"),
		BootCode:  rapid.SliceOfN(rapid.Byte(), 0, maxBootCode).Draw(t, "bootCode"),
	}
	count := rapid.IntRange(1, 12).Draw(t, "partitions")
	for i := range count {
		p := Partition{
			Type:       TypeLinuxFilesystem,
			ID:         id(i + 1),
			Name:       rapid.StringOfN(rapid.RuneFrom([]rune("aZ0 -é☁𝄞")), 0, 18, -1).Draw(t, "name"),
			Attributes: Attributes(rapid.Uint64().Draw(t, "attributes")),
			Map:        convertertest.DrawMap(t, blobs, 4*mib),
			Fill:       i == count-1 && rapid.Bool().Draw(t, "fill"),
		}
		p.Size = p.Map.Size() + rapid.Int64Range(1, mib).Draw(t, "extra")
		l.Partitions = append(l.Partitions, p)
	}
	least, err := l.DiskSize()
	if err != nil {
		t.Fatal(err)
	}
	if rapid.Bool().Draw(t, "larger") {
		l.Size = least + blockSize*rapid.Int64Range(0, 10000).Draw(t, "free")
	}
	return l
}

func TestPlanAnyLayout(t *testing.T) {
	convertertest.Need(t, "sgdisk", "gdisk")
	path := filepath.Join(t.TempDir(), "disk")
	rapid.Check(t, func(t *rapid.T) {
		blobs := convertertest.Blobs{}
		l := drawLayout(t, blobs)
		planFile(t, l, blobs, path)
		out := convertertest.Run(t, "sgdisk", "-v", path)
		if !strings.Contains(out, "No problems found") {
			t.Fatalf("sgdisk -v finds fault:\n%s", out)
		}
	})
}
