package container

import (
	"bytes"
	"compress/flate"
	"context"
	"errors"
	"io"
	"io/fs"
	"testing"

	"pgregory.net/rapid"

	"github.com/cloudlets/cloudlets/converter/convertertest"
)

// deflate compresses with the standard library.
func deflate() (Compress, error) {
	return func(dst, src []byte) ([]byte, error) {
		out := bytes.NewBuffer(dst)
		w, err := flate.NewWriter(out, flate.BestSpeed)
		if err != nil {
			return nil, err
		}
		_, err = w.Write(src)
		err = errors.Join(err, w.Close())
		return out.Bytes(), err
	}, nil
}

func TestPackedGrainsHoldTheDisk(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		blobs := convertertest.Blobs{}
		disk := convertertest.DrawMap(t, blobs, 4<<20)
		grain := rapid.SampledFrom([]int64{512, 4096, 65536}).Draw(t, "grain")
		keepLarge := rapid.Bool().Draw(t, "keep large")
		want := convertertest.Bytes(t, disk, blobs)
		want = append(want, make([]byte, -int64(len(want))&(grain-1))...)

		var spool Files
		defer func() { _ = spool.Close() }()
		packed, err := Pack(context.Background(), Packing{
			Disk: disk, Open: blobs, Grain: grain, Compressor: deflate, KeepLarge: keepLarge,
		}, &spool)
		if err != nil {
			t.Fatal(err)
		}
		blob, err := spool.OpenBlob(context.Background(), packed.Blob)
		if err != nil || blob.Size() != packed.Size {
			t.Fatalf("open what was kept: %v", err)
		}
		got := make([]byte, len(want))
		for _, g := range packed.Grains {
			place := got[g.Number*grain : (g.Number+1)*grain]
			if g.Length == 0 && !keepLarge {
				copy(place, want[g.Number*grain:])
				continue
			}
			r := flate.NewReader(io.NewSectionReader(blob, g.Offset, g.Length))
			if err := Decompress(place, r); err != nil {
				t.Fatalf("grain %d: %v", g.Number, err)
			}
		}
		if !bytes.Equal(got, want) {
			t.Fatal("the grains differ from the disk")
		}
	})
}

func TestPackPassesErrorsOn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		disk := convertertest.DrawMap(t, convertertest.Blobs{}, 4<<20)
		if len(disk.Digests()) == 0 {
			return
		}
		var spool Files
		_, err := Pack(context.Background(), Packing{Disk: disk, Open: convertertest.Blobs{}, Grain: 512, Compressor: deflate}, &spool)
		if err == nil {
			t.Fatal("a disk whose blobs are missing was compressed")
		}
	})
}

func TestFilesOpenWhatTheyKeep(t *testing.T) {
	spool := Files{Dir: t.TempDir()}
	for range 2 { // the second time it is there already
		d, size, err := spool.Keep(t.Context(), func(w io.Writer) error {
			_, err := io.WriteString(w, "kept")
			return err
		})
		if err != nil || size != 4 {
			t.Fatal(size, err)
		}
		blob, err := spool.OpenBlob(t.Context(), d)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 4)
		if err := ReadFull(blob, got, 0); err != nil || string(got) != "kept" || blob.Close() != nil {
			t.Errorf("%q, %v", got, err)
		}
	}
	if _, err := spool.OpenBlob(t.Context(), "sha256:other"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what was not kept: %v", err)
	}
	if err := spool.Close(); err != nil {
		t.Error(err)
	}
}
