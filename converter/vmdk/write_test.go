package vmdk

import (
	"errors"
	"testing"

	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/extent"
)

func TestWriteOfASparseDiskIsSmall(t *testing.T) {
	const pieces = 1000
	disk := convertertest.Build(t, func(b *extent.Builder) {
		for i := range int64(pieces) {
			b.ZeroTo(i * gib / 10)
			b.Inline([]byte("x"))
		}
		b.ZeroTo(100 * gib)
	})
	file, err := Write(disk, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := file.InlineSize(); got > 60*pieces {
		t.Errorf("the map carries %d bytes, want at most %d", got, 60*pieces)
	}
	if got := file.Len(); got > 10*pieces {
		t.Errorf("the map has %d extents, want at most %d", got, 10*pieces)
	}
}

func TestWriteRefusesWhatTheFormatCannotHold(t *testing.T) {
	disk := func(zero, data int64) *extent.Map {
		return convertertest.Build(t, func(b *extent.Builder) { b.Zero(zero); b.Source("sha256:00", 0, data) })
	}
	const most = maxSectors * sectorSize
	tests := []struct {
		name     string
		disk     *extent.Map
		opts     Options
		tooLarge bool
		ok       bool
	}{
		{"2 TiB of zeros", disk(most, 0), Options{}, false, true},
		{"a sector more", disk(most+1, 0), Options{}, true, false},
		{"2 TiB of data", disk(0, most), Options{}, true, false},
		{"the largest map there is", disk(1<<63-1, 0), Options{}, true, false},
		{"a name with a slash", disk(1, 0), Options{Name: "../x"}, false, false},
		{"a name with a quote", disk(1, 0), Options{Name: `x" 0`}, false, false},
		{"a name of two lines", disk(1, 0), Options{Name: "x\nRW 1 FLAT"}, false, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := Write(test.disk, test.opts)
			if (err == nil) != test.ok || errors.Is(err, ErrTooLarge) != test.tooLarge {
				t.Errorf("error %v", err)
			}
		})
	}
}

func TestDisksHaveTheirOwnIdentity(t *testing.T) {
	file := func(content string, opts Options) string {
		disk := convertertest.Build(t, func(b *extent.Builder) { b.Inline([]byte(content)) })
		m, err := Write(disk, opts)
		if err != nil {
			t.Fatal(err)
		}
		d, err := parseDescriptor(convertertest.Bytes(t, m, nil)[sectorSize : 21*sectorSize])
		if err != nil {
			t.Fatal(err)
		}
		if id := d.fields["ddb.longcontentid"]; id[24:] != d.fields["cid"] {
			t.Errorf("content ID %s does not end in %s", id, d.fields["cid"])
		}
		return d.fields["cid"] + d.fields["ddb.uuid"]
	}
	one := file("one", Options{})
	if file("one", Options{}) != one {
		t.Error("the same disk got two identities")
	}
	if file("two", Options{}) == one || file("one", Options{Identity: [16]byte{1}}) == one {
		t.Error("two disks got the same identity")
	}
}

// A guest must be able to write to the disk: that adds tables and grains.
func TestGuestsWriteToTheDisk(t *testing.T) { sparse.CheckGuestWrites(t, gib) }

func BenchmarkWrite(b *testing.B) { sparse.BenchmarkWrite(b) }
