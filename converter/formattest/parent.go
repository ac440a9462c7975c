package formattest

import (
	"bytes"
	"errors"
	"testing"

	"pgregory.net/rapid"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/extent"
)

// testParent writes disks over a parent: with it they are read as what was
// written, and without it not at all.
func (f Format) testParent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		blobs := convertertest.Blobs{}
		parent := convertertest.DrawMap(t, blobs, 64*mib)
		off := rapid.Int64Range(0, parent.Size()).Draw(t, "change at")
		disk, err := extent.Overlay(parent, off, convertertest.DrawMap(t, blobs, 16<<10))
		if err != nil {
			t.Fatal(err)
		}
		base := &container.Base{Digest: blobs.Add(convertertest.Bytes(t, parent, blobs)), Map: parent}
		written, err := f.WriteOver(disk, base)
		if err != nil {
			t.Fatal(err)
		}
		blobs[Source] = convertertest.Bytes(t, written, blobs)

		file := bytes.NewReader(blobs[Source])
		got, err := f.OpenOver(file, file.Size(), Source, func(d extent.Digest) (container.Parent, error) {
			if d != base.Digest {
				t.Fatalf("asked for %s", d)
			}
			return container.Parent{Digest: d, Size: parent.Size()}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(convertertest.Bytes(t, got.Map, blobs), convertertest.Bytes(t, f.pad(t, disk), blobs)) {
			t.Fatal("the disk differs from what was written")
		}
		if _, err := f.Open(file, file.Size(), Source); !errors.Is(err, container.ErrUnsupported) {
			t.Fatalf("opened without its parent: %v", err)
		}
	})
}
