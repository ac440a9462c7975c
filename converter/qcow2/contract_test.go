package qcow2

import (
	"bytes"
	"context"
	"testing"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/converter/formattest"
	"github.com/cloudlets/cloudlets/extent"
)

var format = formattest.Format{
	QEMU:    "qcow2",
	Checked: true,
	Write:   func(disk *extent.Map) (*extent.Map, error) { return Write(disk, Options{}) },
	Open:    Open,
	WriteOver: func(disk *extent.Map, parent *container.Base) (*extent.Map, error) {
		return Write(disk, Options{Parent: parent})
	},
	OpenOver: OpenOver,
	Variants: [][]string{
		{"-o", "compat=0.10"},
		{"-o", "compat=1.1,lazy_refcounts=on"},
		{"-c"},
		{"-c", "-o", "compat=0.10,cluster_size=512"},
		{"-c", "-o", "compression_type=zstd,cluster_size=2M"},
	},
}

func TestContract(t *testing.T) { formattest.Run(t, format) }

func TestVersion2KeepsTheContract(t *testing.T) {
	f := over(Options{Version: 2})
	f.Variants = nil
	f.Write = func(disk *extent.Map) (*extent.Map, error) { return Write(disk, Options{Version: 2}) }
	formattest.Run(t, f)
}

func TestCompressedFilesKeepTheContract(t *testing.T) {
	tests := map[string]struct {
		compression Compression
		options     Options
	}{
		"zlib":            {Zlib, Options{}},
		"zlib, version 2": {Zlib, Options{Version: 2}},
		"zlib, 512 bytes": {Zlib, Options{ClusterSize: 512}},
		"zstd":            {Zstd, Options{}},
		"zstd, 2 MiB":     {Zstd, Options{ClusterSize: 2 << 20}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			f := format
			f.Variants, f.Write, f.WriteOver = nil, nil, nil
			f.WriteWith = func(ctx context.Context, disk *extent.Map, open extent.Opener, spool container.Spool) (*extent.Map, error) {
				return WriteCompressed(ctx, disk, open, spool, test.compression, test.options)
			}
			formattest.Run(t, f)
		})
	}
}

func TestCompressedFilesAreShort(t *testing.T) {
	blobs := convertertest.Blobs{}
	disk := convertertest.Build(t, func(b *extent.Builder) {
		b.Source(blobs.Add(bytes.Repeat([]byte("content "), 1<<17)), 0, mib)
		b.Inline(make([]byte, mib)) // zeros that no extent shows
	})
	for _, c := range []Compression{Zlib, Zstd} {
		var spool container.Files
		file, err := WriteCompressed(t.Context(), disk, blobs, &spool, c, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if most := int64(6 * DefaultClusterSize); file.Size() > most {
			t.Errorf("compression %d: a file of %d bytes, want at most %d", c, file.Size(), most)
		}
		if err := spool.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestVersion2KnowsNoZstd(t *testing.T) {
	disk := convertertest.Build(t, func(b *extent.Builder) { b.Zero(mib) })
	if _, err := WriteCompressed(t.Context(), disk, nil, nil, Zstd, Options{Version: 2}); err == nil {
		t.Error("a version 2 file was compressed with zstd")
	}
}
