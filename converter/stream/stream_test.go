package stream

import (
	"bytes"
	"context"
	"hash/crc32"
	"os/exec"
	"testing"

	"pgregory.net/rapid"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/extent"
)

const mib = 1 << 20

// writers are the ways to write a stream, with the tool that reads it.
var writers = []struct {
	name, tool string
	write      func(ctx context.Context, disk *extent.Map, open extent.Opener, spool container.Spool) (*extent.Map, error)
}{
	{"stored gzip", "gzip", StoreGzip},
	{"gzip", "gzip", CompressGzip},
	{"stored zstd", "zstd", func(_ context.Context, disk *extent.Map, _ extent.Opener, _ container.Spool) (*extent.Map, error) {
		return StoreZstd(disk)
	}},
	{"zstd", "zstd", CompressZstd},
	{"xz", "xz", CompressXz},
}

// decompress has a tool read a stream.
func decompress(t convertertest.TB, tool string, stream []byte) []byte {
	t.Helper()
	convertertest.Need(t, tool, map[string]string{"xz": "xz-utils"}[tool])
	cmd := exec.Command(tool, "-dc")
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(stream), &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s -dc: %v: %s", tool, err, stderr.String())
	}
	return out
}

func TestToolsReadTheStreams(t *testing.T) {
	for _, w := range writers {
		t.Run(w.name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				blobs := convertertest.Blobs{}
				disk := convertertest.DrawMap(t, blobs, mib)
				want := convertertest.Bytes(t, disk, blobs)
				m, err := w.write(context.Background(), disk, blobs, blobs)
				if err != nil {
					t.Fatal(err)
				}
				if got := decompress(t, w.tool, convertertest.Bytes(t, m, blobs)); !bytes.Equal(got, want) {
					t.Fatalf("%d bytes that differ from the disk's %d", len(got), len(want))
				}
			})
		})
	}
}

func TestLongDisksAreStreams(t *testing.T) {
	blobs := convertertest.Blobs{}
	var b extent.Builder
	b.Source(blobs.Add(bytes.Repeat([]byte("content "), mib)), 5, 5*mib)
	b.Zero(40*mib + 3)
	b.Inline(bytes.Repeat([]byte{7}, 3*mib+100))
	b.Zero(9 * mib)
	disk, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	want := convertertest.Bytes(t, disk, blobs)
	for _, w := range writers {
		t.Run(w.name, func(t *testing.T) {
			m, err := w.write(t.Context(), disk, blobs, blobs)
			if err != nil {
				t.Fatal(err)
			}
			if got := decompress(t, w.tool, convertertest.Bytes(t, m, blobs)); !bytes.Equal(got, want) {
				t.Error("the stream differs from the disk")
			}
			if m.Size() > disk.DataSize()+disk.DataSize()/1000+1<<17 {
				t.Errorf("a stream of %d bytes for a disk with %d", m.Size(), disk.DataSize())
			}
		})
	}
}

func TestStoredStreamsOfZerosAreShort(t *testing.T) {
	var b extent.Builder
	b.Zero(30 << 30)
	disk, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	blobs := convertertest.Blobs{}
	for _, w := range writers[:3] {
		m, err := w.write(t.Context(), disk, blobs, blobs)
		if err != nil {
			t.Fatal(err)
		}
		if m.Size() > disk.Size()/900 || m.InlineSize() > 2*mib {
			t.Errorf("%s: %d bytes, %d of them inline, for 30 GiB of zeros", w.name, m.Size(), m.InlineSize())
		}
	}
}

func TestChecksumsOfPiecesMakeThatOfTheWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var sum checksum
		var whole []byte
		for range rapid.IntRange(0, 6).Draw(t, "pieces") {
			piece := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(t, "piece")
			if rapid.Bool().Draw(t, "zeros") {
				clear(piece)
				sum.addZeros(int64(len(piece)))
			} else {
				sum.add(crc32.ChecksumIEEE(piece), int64(len(piece)))
			}
			whole = append(whole, piece...)
		}
		if want := crc32.ChecksumIEEE(whole); sum.sum != want {
			t.Fatalf("checksum %#x, want %#x", sum.sum, want)
		}
	})
}
