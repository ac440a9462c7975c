package mbr

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/converter/convertertest"
)

const diskBlocks = 200_000

// script is what sfdisk makes a table of: two primary and four logical partitions,
// in an order of their own.
const script = `label: dos
label-id: 0x1badcafe
start=2048, size=10000, type=83, bootable
start=20480, size=100000, type=f
start=150000, size=40000, type=8e
start=22528, size=1000, type=82
start=60000, size=1000, type=83
start=30000, size=1000, type=7
start=40000, size=1000, type=c
`

// table makes a disk with sfdisk.
func table(t testing.TB) (path string, content []byte) {
	t.Helper()
	convertertest.Need(t, "sfdisk", "fdisk")
	path = filepath.Join(t.TempDir(), "disk")
	if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Truncate(path, diskBlocks*blockSize)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", "PATH=$PATH:/usr/sbin:/sbin; exec sfdisk -q "+path)
	cmd.Stdin = strings.NewReader(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("sfdisk: %v\n%s", err, out)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return path, content
}

func TestReadReadsWhatSfdiskMakes(t *testing.T) {
	path, content := table(t)
	got, err := Read(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	dump := convertertest.Run(t, "sfdisk", "--dump", path)
	if !strings.Contains(dump, fmt.Sprintf("label-id: %#08x", got.ID)) {
		t.Errorf("ID %#08x, sfdisk says\n%s", got.ID, dump)
	}
	for _, p := range got.Partitions {
		line := fmt.Sprintf("%s%d : start=%12d, size=%12d, type=%x", path, p.Number, p.Start/blockSize, p.Size/blockSize, p.Type)
		if p.Active {
			line += ", bootable"
		}
		if !strings.Contains(dump, line+"\n") {
			t.Errorf("%s\nis not what sfdisk says:\n%s", line, dump)
		}
	}
	if len(got.Partitions) != 6 {
		t.Errorf("found %d partitions, want 6", len(got.Partitions))
	}
	if id := got.PartitionID(5); id != "1badcafe-05" {
		t.Errorf("partition 5 has the ID %s", id)
	}
}

func TestReadRefusesWhatIsUnsound(t *testing.T) {
	_, content := table(t)
	const extended = 20480 * blockSize
	put := func(b []byte, block, number, field int, x uint32) {
		binary.LittleEndian.PutUint32(b[block+firstRecord+number*recordSize+field:], x)
	}
	for name, test := range map[string]struct {
		change  func(b []byte)
		message string
	}{
		"no signature":        {func(b []byte) { b[signature] = 0 }, "block 0 ends in"},
		"odd status":          {func(b []byte) { b[firstRecord] = 7 }, "status 0x07"},
		"outside":             {func(b []byte) { put(b, 0, 2, 12, 1<<31) }, "partition 3"},
		"at the table":        {func(b []byte) { put(b, 0, 0, 8, 0) }, "partition 1"},
		"overlap":             {func(b []byte) { put(b, 0, 0, 12, 20000) }, "partition 1 and the extended partition overlap"},
		"two extended":        {func(b []byte) { b[firstRecord+2*recordSize+4] = typeExtended }, "a second extended"},
		"extended outside":    {func(b []byte) { put(b, 0, 1, 12, 1<<31) }, "extended partition 2"},
		"chain into itself":   {func(b []byte) { put(b, extended, 1, 8, 0) }, "leads back"},
		"chain out of it":     {func(b []byte) { put(b, extended, 1, 8, 1<<20) }, "outside the extended partition"},
		"chain to no table":   {func(b []byte) { put(b, extended, 1, 8, 3) }, "block 20483 ends in"},
		"logical outside":     {func(b []byte) { put(b, extended, 0, 12, 150_000) }, "partition 5"},
		"logical overlapping": {func(b []byte) { put(b, extended, 0, 12, 30_000) }, "overlap"},
	} {
		t.Run(name, func(t *testing.T) {
			b := bytes.Clone(content)
			test.change(b)
			if _, err := Read(bytes.NewReader(b), int64(len(b))); !errors.Is(err, container.ErrFormat) || !strings.Contains(err.Error(), test.message) {
				t.Errorf("got %v, want an error with %q", err, test.message)
			}
		})
	}
	for n := range 512 {
		if _, err := Read(bytes.NewReader(content[:n]), int64(n)); !errors.Is(err, container.ErrFormat) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
}

// FuzzRead asserts that partitions lie within the disk and apart.
func FuzzRead(f *testing.F) {
	_, content := table(f)
	extended := content[20480*blockSize:][:blockSize]
	f.Add(content[:blockSize], extended)
	f.Fuzz(func(t *testing.T, first, second []byte) {
		b := make([]byte, 64<<10)
		copy(b, first)
		copy(b[min(len(first), blockSize):], second)
		got, err := Read(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		used := make([]bool, len(b))
		for _, p := range got.Partitions {
			for i := p.Start; i < p.Start+p.Size; i++ {
				if used[i] {
					t.Fatalf("byte %d is in two partitions: %+v", i, got)
				}
				used[i] = true
			}
		}
	})
}
