package volume

import (
	"errors"
	"testing"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/converter/erofs"
	"github.com/cloudlets/cloudlets/converter/ext4"
	"github.com/cloudlets/cloudlets/converter/formattest"
	"github.com/cloudlets/cloudlets/converter/gpt"
	"github.com/cloudlets/cloudlets/converter/iso9660"
	"github.com/cloudlets/cloudlets/converter/squashfs"
	"github.com/cloudlets/cloudlets/extent"
)

// FuzzOpen changes bytes of disks, with and without a partition table. What opens
// has its partitions within it, and the files of each can be read or give errors.
func FuzzOpen(f *testing.F) {
	disks := fuzzDisks(f)
	for i := range disks {
		f.Add(byte(i), []byte{})
		f.Add(byte(i), []byte{0, 0, 24, 1, 0, 1, 0, 9, 0, 2, 0, 200})
	}
	f.Fuzz(func(t *testing.T, which byte, changes []byte) {
		b := disks[int(which)%len(disks)].Changed(changes)
		size := int64(len(b))
		d, err := openMap(size, convertertest.Blob(b))
		if err != nil {
			if !errors.Is(err, container.ErrFormat) && !errors.Is(err, gpt.ErrFormat) && !errors.Is(err, ErrNoFiles) {
				t.Fatalf("an error of no known kind: %v", err)
			}
			return
		}
		for _, p := range d.Partitions {
			if p.Start < 0 || p.Size < 0 || p.Start > size-p.Size {
				t.Fatalf("%s: %d bytes at %d of a disk of %d", p, p.Size, p.Start, size)
			}
			readPartition(t, d, p)
		}
		if _, err := d.Files(t.Context(), Options{}); err != nil && !isKnown(err) {
			t.Fatalf("its files: an error of no known kind: %v", err)
		}
	})
}

// readPartition reads the start of every file of a partition.
func readPartition(t *testing.T, d *Disk, p Partition) {
	t.Helper()
	tree, blobs, err := d.Filesystem(t.Context(), p)
	if err != nil {
		if !isKnown(err) {
			t.Fatalf("%s: an error of no known kind: %v", p, err)
		}
		return
	}
	for _, n := range tree.Walk() {
		_, _ = n.Read(t.Context(), blobs, 1<<16) // may fail, but not panic
	}
}

func isKnown(err error) bool {
	return errors.Is(err, container.ErrFormat) || errors.Is(err, container.ErrUnsupported) || errors.Is(err, ErrNoFiles)
}

// fuzzDisks are one small disk of each filesystem that fits on one, and one with a
// partition table.
func fuzzDisks(f *testing.F) []formattest.Victim {
	f.Helper()
	tree, _ := formattest.SmallTree()
	plan := func(m *extent.Map, err error) *extent.Map {
		f.Helper()
		if err != nil {
			f.Fatal(err)
		}
		return m
	}
	linux := plan(ext4.Plan(tree, ext4.Options{UUID: [16]byte{1}, FreeInodes: 8}))
	var disks []formattest.Victim
	for _, m := range []*extent.Map{
		linux,
		plan(squashfs.Plan(f.Context(), tree, squashfs.Options{})),
		plan(erofs.Plan(f.Context(), tree, erofs.Options{UUID: [16]byte{1}})),
		plan(iso9660.Plan(f.Context(), tree, iso9660.Options{})),
		plan(gpt.Plan(gpt.Layout{ID: gpt.GUID{1}, Alignment: 4096, Partitions: []gpt.Partition{{Type: gpt.TypeLinuxFilesystem, ID: gpt.GUID{2}, Map: linux}}})),
	} {
		disks = append(disks, formattest.NewVictim(convertertest.Bytes(f, m, nil)))
	}
	return disks
}
