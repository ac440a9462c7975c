package container

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/extent"
)

// change returns a disk that has one place of another overwritten.
func change(t *rapid.T, m *extent.Map, blobs convertertest.Blobs) *extent.Map {
	off := rapid.Int64Range(0, m.Size()).Draw(t, "change at")
	disk, err := extent.Overlay(m, off, convertertest.DrawMap(t, blobs, 1<<14))
	if err != nil {
		t.Fatal(err)
	}
	return disk
}

// A grain differs where any of its bytes does, whatever the maps say.
func TestBaseRunsAreWhatDiffers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		blobs := convertertest.Blobs{}
		parent := convertertest.DrawMap(t, blobs, 1<<20)
		disk := change(t, parent, blobs)
		grain := rapid.SampledFrom([]int64{512, 4096, 64 << 10}).Draw(t, "grain")
		mine, theirs := convertertest.Bytes(t, disk, blobs), convertertest.Bytes(t, parent, blobs)
		whole := func(p []byte) *extent.Map {
			return convertertest.Build(t, func(b *extent.Builder) { b.Source(blobs.Add(p), 0, int64(len(p))) })
		}
		c := Comparison{Disk: disk, Parent: parent, Digest: blobs.Add(theirs), Open: blobs}
		if rapid.Bool().Draw(t, "disk in one piece") {
			c.Disk = whole(mine)
		}
		if rapid.Bool().Draw(t, "parent in one piece") {
			c.Parent = whole(theirs)
		}
		base, err := c.Base(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		length := max(len(mine), len(theirs)) + int(grain)
		mine, theirs = pad(mine, length), pad(theirs, length)
		var want []Run
		for off := int64(0); off < AlignUp(disk.Size(), baseSector); off += grain {
			end := min(off+grain, AlignUp(disk.Size(), baseSector))
			if !bytes.Equal(mine[off:end], theirs[off:end]) {
				want = AppendGrain(want, off/grain)
			}
		}
		if got := base.Runs(grain); !slices.Equal(got, want) {
			t.Fatalf("%v differs, want %v", got, want)
		}
	})
}

func pad(p []byte, n int) []byte { return append(slices.Clone(p), make([]byte, n-len(p))...) }

// Beyond its end a disk is zero, and formats pad disks to whole sectors.
func TestDisksOfDifferentSizesAreCompared(t *testing.T) {
	inline := func(content ...string) *extent.Map {
		return convertertest.Build(t, func(b *extent.Builder) {
			for _, c := range content {
				b.Inline([]byte(c))
			}
		})
	}
	x, zeros := strings.Repeat("x", 1024), strings.Repeat("\x00", 2048)
	for name, test := range map[string]struct {
		disk, parent *extent.Map
		want         []Run
	}{
		"zeros beyond the parent":      {inline("y", x[1:], zeros), inline(x), []Run{{0, 1}}},
		"data beyond the parent":       {inline(x, zeros, "y"), inline(x), []Run{{6, 1}}},
		"cut in a sector":              {inline(x[:600]), inline(x), []Run{{1, 1}}},
		"cut between sectors":          {inline(x[:512]), inline(x), nil},
		"a parent cut in zeros":        {inline("y", zeros), inline("y", zeros[:100]), nil},
		"a parent cut in other things": {inline(x), inline(x[:600]), []Run{{1, 1}}},
	} {
		base, err := Comparison{Disk: test.disk, Parent: test.parent, Digest: convertertest.Blobs{}.Add(nil)}.Base(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := base.Runs(512); !slices.Equal(got, test.want) {
			t.Errorf("%s: %v differs, want %v", name, got, test.want)
		}
	}
}

// What the maps have from one place, and what has one name, is not read.
func TestComparisonReadsNoMoreThanItMust(t *testing.T) {
	source := func(d extent.Digest) *extent.Map {
		return convertertest.Build(t, func(b *extent.Builder) { b.Source(d, 0, 1<<40) })
	}
	digest := convertertest.Blobs{}.Add(nil)
	named := func(e extent.Extent) extent.Extent {
		e.Digest, e.Length = "the frame", min(e.Length, 1<<36)
		return e
	}
	for name, c := range map[string]Comparison{
		"one source": {Disk: source("a"), Parent: source("a"), Digest: digest},
		"one name":   {Disk: source("a"), Parent: source("b"), Digest: digest, Name: named},
	} {
		base, err := c.Base(context.Background())
		if err != nil || len(base.Runs(4096)) > 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	c := Comparison{Disk: source("a"), Parent: source("b"), Digest: digest, Open: convertertest.Blobs{}}
	if _, err := c.Base(context.Background()); err == nil {
		t.Error("two sources that nobody has were found the same")
	}
}

func TestOnlyADigestNamesABase(t *testing.T) {
	for _, d := range []extent.Digest{"", "base.vhd", "sha256:00"} {
		if _, err := (Comparison{Disk: &extent.Map{}, Parent: &extent.Map{}, Digest: d}).Base(context.Background()); err == nil {
			t.Errorf("%q is accepted", d)
		}
	}
}

func TestSplitZeroTellsDataFromZeros(t *testing.T) {
	disk := convertertest.Build(t, func(b *extent.Builder) {
		b.Zero(1000)
		b.Inline([]byte("x"))
		b.ZeroTo(4096)
		b.Inline([]byte("y"))
		b.ZeroTo(10_000)
	})
	data, zero := SplitZero(disk, []Run{{0, 4}, {6, 1}, {7, 12}}, 512)
	if want := []Run{{1, 1}, {8, 1}}; !slices.Equal(data, want) {
		t.Errorf("data %v, want %v", data, want)
	}
	if want := []Run{{0, 1}, {2, 2}, {6, 1}, {7, 1}, {9, 10}}; !slices.Equal(zero, want) {
		t.Errorf("zero %v, want %v", zero, want)
	}
}

var errBroken = errors.New("broken")

type broken struct{}

func (broken) OpenBlob(context.Context, extent.Digest) (extent.Blob, error) { return nil, errBroken }

func TestComparisonFailsWhereContentCannotBeRead(t *testing.T) {
	disk := convertertest.Build(t, func(b *extent.Builder) { b.Source("a", 0, 512) })
	c := Comparison{Disk: disk, Parent: &extent.Map{}, Digest: convertertest.Blobs{}.Add(nil), Open: broken{}}
	if _, err := c.Base(context.Background()); !errors.Is(err, errBroken) {
		t.Errorf("got %v", err)
	}
}
