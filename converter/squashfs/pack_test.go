package squashfs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// both opens what two openers have.
type both struct {
	blobs convertertest.Blobs
	spool *container.Files
}

func (b both) OpenBlob(ctx context.Context, d extent.Digest) (extent.Blob, error) {
	if blob, err := b.blobs.OpenBlob(ctx, d); err == nil {
		return blob, nil
	}
	return b.spool.OpenBlob(ctx, d)
}

// mustPack packs a tree and returns the image.
func mustPack(t convertertest.TB, tree *image.Tree, o Options, c Compressor, blobs convertertest.Blobs) []byte {
	t.Helper()
	spool := &container.Files{}
	defer spool.Close()
	m, err := Pack(context.Background(), tree, o, Packing{Compressor: c, Open: blobs, Spool: spool})
	if err != nil {
		t.Fatalf("pack: %v", err)
	}
	return convertertest.Bytes(t, m, both{blobs, spool})
}

var compressors = map[string]Compressor{"gzip": Gzip, "zstd": Zstd}

// Compressors are costly to make, so that there are only some trees.
func TestWhatIsPackedIsRead(t *testing.T) {
	few := convertertest.Trees{Files: 20, FileSize: 512 << 10, Seconds: true}
	for seed := range 8 {
		blobs := convertertest.Blobs{}
		tree := rapid.Custom(func(t *rapid.T) *image.Tree { return convertertest.DrawTree(t, blobs, few) }).Example(seed)
		for name, c := range compressors {
			o := Options{BlockSize: 1 << (minBlockLog + seed)}
			t.Run(fmt.Sprint(name, " ", o.BlockSize), func(t *testing.T) {
				convertertest.SameListing(t, mustOpen(t, mustPack(t, tree, o, c, blobs)), convertertest.ListTree(t, tree, blobs))
			})
		}
	}
}

func TestKernelAndUnsquashfsReadWhatIsPacked(t *testing.T) {
	asRoot(t)
	convertertest.Need(t, "unsquashfs", "squashfs-tools")
	blobs := convertertest.Blobs{}
	// Under the race detector, compressing takes long.
	drawn := trees
	drawn.FileSize = 160 << 10
	tree := convertertest.DrawExample(drawn, blobs)
	noise := file(0o644, "")
	program, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	for _, content := range [][]byte{program[:300_077], mustPack(t, tree, Options{}, Zstd, blobs)} {
		noise.Content = append(noise.Content, extent.Extent{Kind: extent.Source, Digest: blobs.Add(content), Length: int64(len(content))})
	}
	zeros := file(0o644, "")
	zeros.Content = []extent.Extent{{Kind: extent.Source, Digest: blobs.Add(make([]byte, 300_000)), Length: 300_000}}
	tree.Root.Link("noise", noise)
	tree.Root.Link("zeros", zeros)
	want := convertertest.ListTree(t, tree, blobs)
	for name, c := range compressors {
		for _, blockSize := range []int{4096, 128 << 10} {
			t.Run(fmt.Sprint(name, " ", blockSize), func(t *testing.T) {
				data := mustPack(t, tree, Options{BlockSize: blockSize}, c, blobs)
				if !bytes.Equal(data, mustPack(t, tree, Options{BlockSize: blockSize}, c, blobs)) {
					t.Error("two images of one tree differ")
				}
				path, out := filepath.Join(t.TempDir(), "image"), filepath.Join(t.TempDir(), "out")
				if err := os.WriteFile(path, data, 0o600); err != nil {
					t.Fatal(err)
				}
				convertertest.Run(t, "unsquashfs", "-quiet", "-no-progress", "-strict-errors", "-dest", out, path)
				convertertest.SameListing(t, convertertest.ListDir(t, out), want)
				convertertest.SameListing(t, convertertest.ListDir(t, convertertest.Mount(t, path, "squashfs")), want)
			})
		}
	}
}

func TestPackRefusesOtherCompressors(t *testing.T) {
	_, err := Pack(t.Context(), image.NewTree(), Options{}, Packing{Compressor: compressorXZ})
	if !errors.Is(err, ErrOptions) {
		t.Fatalf("error %v", err)
	}
}
