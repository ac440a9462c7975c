package client

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cloudlets/cloudlets/api"
	"github.com/cloudlets/cloudlets/blobstore/frame"
	"github.com/cloudlets/cloudlets/converter"
	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image/kind"
)

// openContent opens a file that is a rootfs or not.
func (c *Client) openContent(ctx context.Context, name string, info fs.FileInfo, o OpenOptions) (*Image, error) {
	o.File.Rootfs = true
	f, err := c.OpenFile(ctx, name, nil, o.File)
	if err != nil {
		return nil, err
	}
	if f == nil {
		return c.openFile(name, info)
	}
	i := &Image{Name: name}
	i.closers = append(i.closers, f)
	if err := i.checkContent(f.Kind.Type); err != nil {
		return nil, errors.Join(err, i.Close())
	}
	disk := f.disk
	if disk == nil { // a kernel or a ramdisk
		if disk, err = f.openContainer(ctx, nil); err != nil {
			return nil, errors.Join(err, i.Close())
		}
	}
	i.Content = &converter.Content{Type: string(f.Kind.Type), Map: disk.Map}
	i.blobs = f.blobs(disk)
	return i, nil
}

// checkContent refuses types that are not rendered.
func (i *Image) checkContent(t kind.Type) error {
	if !slices.Contains(converter.ContentTypes(), string(t)) {
		return fmt.Errorf("%s: an image of the type %s is not rendered", i.Name, t)
	}
	return nil
}

// openContent opens an artifact that holds an image which is no rootfs: frames in
// pieces where that is wanted and possible, else what was fetched whole.
func (r *Repository) openContent(ctx context.Context, m *Manifest, o OpenOptions) (_ *Image, err error) {
	k, _ := m.Kind()
	i := &Image{Name: r.Reference.String(), Descriptor: m.Descriptor, Manifest: m}
	if err := i.checkContent(k.Type); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("open %s: %w", i.Name, err), i.Close())
		}
	}()
	layer := m.Layers[0]
	i.Content = &converter.Content{Type: string(k.Type)}
	d, size, framed := api.FramedContent(layer.MediaType, layer.Annotations)
	if framed {
		pieces, index, err := r.openPieces(ctx, layer, o)
		if err != nil {
			return nil, err
		}
		if pieces != nil {
			return i, i.usePieces(pieces, index, d, size)
		}
	}
	spool, err := newSpool()
	if err != nil {
		return nil, err
	}
	i.closers = append(i.closers, spool)
	if err := r.PullBlob(ctx, layer, spool); err != nil {
		return nil, err
	}
	if framed {
		return i, i.useFrames(ctx, layer, d, spool)
	}
	return i, i.useFile(ctx, k, layer, sizedFile{spool, layer.Size})
}

// usePieces takes the content from frames that are fetched when they are read. Each
// is verified then; the digest of the whole is only a name.
func (i *Image) usePieces(pieces layerContent, index *frame.Index, content digest.Digest, size int64) (err error) {
	if pieces.Size() != size {
		return fmt.Errorf("its frames hold %d bytes, its descriptor says %d", pieces.Size(), size)
	}
	i.layers = map[extent.Digest]layerContent{extent.Digest(content): pieces}
	i.Content.Map, err = index.Map(extent.Digest(content))
	return err
}

// useFrames takes the content from a blob of frames, and verifies that it has the
// digest that the blob's descriptor says.
func (i *Image) useFrames(ctx context.Context, layer ocispec.Descriptor, content digest.Digest, stored *os.File) error {
	offset, size, sum, ok := api.FrameIndexPosition(layer.Annotations)
	if !ok {
		return fmt.Errorf("blob %s has no annotations that say where its index is", layer.Digest)
	}
	index, err := frame.ReadIndex(stored, frame.Position{Offset: offset, Size: size, Digest: sum})
	if err != nil {
		return err
	}
	if err := i.useIndex(index, content, stored); err != nil {
		return err
	}
	hash := content.Algorithm().Digester()
	reader := extent.NewReader(ctx, i.Content.Map, i)
	_, err = reader.WriteTo(hash.Hash())
	if err := errors.Join(err, reader.Close()); err != nil {
		return err
	}
	if got := hash.Digest(); got != content {
		return fmt.Errorf("blob %s: its content has the digest %s, its descriptor says %s", layer.Digest, got, content)
	}
	return nil
}

// useIndex takes the content from frames that are stored in a file.
func (i *Image) useIndex(index *frame.Index, content digest.Digest, stored *os.File) (err error) {
	i.Content.Digest, i.Content.Frames = content, index
	if i.Content.Map, err = index.Map(extent.Digest(content)); err != nil {
		return err
	}
	decoder, err := frame.NewDecoder(decodedBudget)
	if err != nil {
		return err
	}
	i.blobs = container.Blobs{extent.Digest(content): openLayer{frame.NewReader(stored, index, decoder)}}
	return nil
}

// useFile takes the content from a file that was pushed as it is. What is
// compressed in it becomes frames, as it does in a registry, so that all refer to
// it by the same digest.
func (i *Image) useFile(ctx context.Context, k kind.Kind, layer ocispec.Descriptor, file sizedFile) error {
	source := extent.Digest(layer.Digest)
	disk, err := converter.Open(ctx, string(k.Container), file, file.size, source)
	if err != nil {
		return err
	}
	i.blobs = disk.Blobs(source, openLayer{file})
	if disk.Units == nil {
		i.Content.Map = disk.Map
		return nil
	}
	spool, err := newSpool()
	if err != nil {
		return err
	}
	i.closers = append(i.closers, spool)
	l, err := writeDisk(ctx, disk.Map, i.blobs, spool, &counter{step: silentStep{}})
	if err != nil {
		return err
	}
	return i.useIndex(l.index, l.diffID, spool)
}
