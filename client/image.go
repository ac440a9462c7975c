package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cloudlets/cloudlets/api"
	"github.com/cloudlets/cloudlets/client/lazy"
	"github.com/cloudlets/cloudlets/converter"
	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
	"github.com/cloudlets/cloudlets/image/cloudlet"
	"github.com/cloudlets/cloudlets/image/tarball"
)

// Image is an image that was opened, wherever it is: its rootfs, and the content
// of its files. It must be closed.
type Image struct {
	// Name is what it was opened by.
	Name string
	// Descriptor and Manifest are those of the image's OCI manifest; zero and
	// nil for a directory or a tar.
	Descriptor ocispec.Descriptor
	Manifest   *Manifest
	// Config is the OCI config; nil for a directory or a tar.
	Config *ocispec.Image
	// Tree is the rootfs; nil of an image that is none.
	Tree *image.Tree
	// Content is an image that is no rootfs, and refers to blobs that the image
	// opens; nil of one that is.
	Content *converter.Content

	blobs   container.Blobs // of Content that was fetched whole
	layers  map[extent.Digest]layerContent
	closers []io.Closer
}

// layerContent is the tar of a layer, open for reading.
type layerContent interface {
	io.ReaderAt
	Size() int64
}

var _ extent.Opener = (*Image)(nil)

// OpenBlob opens the content of a layer, or of a disk, that the image refers to.
func (i *Image) OpenBlob(ctx context.Context, d extent.Digest) (extent.Blob, error) {
	if l, ok := i.layers[d]; ok {
		return openLayer{l}, nil
	}
	if i.Content != nil {
		return i.blobs.OpenBlob(ctx, d)
	}
	return nil, fmt.Errorf("%s has no layer %s: %w", i.Name, d, fs.ErrNotExist)
}

// openLayer is a layer that the image closes.
type openLayer struct{ layerContent }

func (openLayer) Close() error { return nil }

// ReadNow fills p with content that is at hand.
func (l openLayer) ReadNow(p []byte, off int64) bool {
	now, ok := l.layerContent.(extent.NowReader)
	return ok && now.ReadNow(p, off)
}

// Close ends reading.
func (i *Image) Close() error {
	var errs []error
	for _, c := range i.closers {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// CloudletManifest reads the cloudlet manifest of the image. It is empty where
// there is none.
func (i *Image) CloudletManifest(ctx context.Context) (*cloudlet.Manifest, error) {
	raw, err := i.ManifestFile(ctx)
	if err != nil || raw == nil {
		return &cloudlet.Manifest{}, err
	}
	return cloudlet.ParseManifest(raw)
}

// ManifestFile returns the cloudlet manifest of the image as it was written, or
// nil where it has none: the one that it was pushed with, if that is another than
// the one in its rootfs.
func (i *Image) ManifestFile(ctx context.Context) ([]byte, error) {
	var raw []byte
	var err error
	if i.Tree != nil {
		raw, err = image.ReadManifestFile(ctx, i.Tree, i)
	}
	if err != nil || i.Manifest == nil {
		return raw, err
	}
	pushed, ok := i.Manifest.Annotations[api.AnnotationManifest]
	var compact bytes.Buffer
	if !ok || json.Compact(&compact, raw) == nil && compact.String() == pushed {
		return raw, nil
	}
	return []byte(pushed), nil
}

// OpenOptions say how an image is opened.
type OpenOptions struct {
	// Stdin is what "-" names.
	Stdin io.Reader
	// Warn is told of what a directory has and a tar cannot hold; nil for nobody.
	Warn func(path, what string)
	// Arch is the architecture that is wanted of several, in OCI's words; empty
	// is amd64.
	Arch string
	// Whole says that all content will be read: layers are then fetched in one
	// piece. Otherwise only what is read is fetched, where the registry can do
	// that.
	Whole bool
	// Content says that an image may be no rootfs: a disk, a filesystem, a kernel
	// or a ramdisk. File says how the file of one is opened.
	Content bool
	File    FileOptions
	// Near keeps what is fetched, and fetches it in batches; nil for what many
	// small reads do not need. It must stay open as long as the image.
	Near *lazy.Cache
}

// OpenImage opens an image by name: a directory; a tar, as it is or compressed
// with gzip, zstd, xz or bzip2; "-", a tar from o.Stdin; or a reference to a
// registry. What exists as a file is not taken for a reference.
func (c *Client) OpenImage(ctx context.Context, name string, o OpenOptions) (*Image, error) {
	if o.Warn == nil {
		o.Warn = func(string, string) {}
	}
	if name == "-" {
		return c.openTar(name, o.Stdin, -1)
	}
	info, err := os.Stat(name)
	switch {
	case len(o.File.Parts) > 0 && (err != nil || info.IsDir()):
		return nil, fmt.Errorf("%s: expected a VMDK descriptor, which names other files", name)
	case err == nil && info.IsDir():
		return openDirectory(ctx, name, o.Warn)
	case err == nil && o.Content:
		return c.openContent(ctx, name, info, o)
	case err == nil:
		return c.openFile(name, info)
	case !errors.Is(err, fs.ErrNotExist) || !looksLikeReference(name):
		return nil, fmt.Errorf("%w (expected a directory, a tar, or HOST/REPOSITORY[:TAG|@DIGEST])", err)
	}
	repo, err := c.Repository(name)
	if err != nil {
		return nil, err
	}
	return repo.OpenImage(ctx, o)
}

// looksLikeReference reports whether a name begins with a host: one with a dot
// or a port, or localhost.
func looksLikeReference(name string) bool {
	host, _, ok := strings.Cut(name, "/")
	return ok && !isPath(name) && (host == "localhost" || strings.ContainsAny(host, ".:"))
}

// isPath reports whether a name can only be the path of a file: no host begins so.
func isPath(name string) bool { return strings.HasPrefix(name, "/") || strings.HasPrefix(name, ".") }

func openDirectory(ctx context.Context, name string, warn func(path, what string)) (*Image, error) {
	dir, err := tarball.OpenDir(ctx, name, warn)
	if err != nil {
		return nil, err
	}
	content := extent.NewReader(ctx, dir.Map, dir)
	return newLocalImage(name, content, content, dir)
}

func (c *Client) openFile(name string, info fs.FileInfo) (*Image, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	compressed, err := isCompressed(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if !compressed {
		return newLocalImage(name, sizedFile{f, info.Size()}, f)
	}
	i, err := c.openTar(name, f, info.Size())
	return i, errors.Join(err, f.Close())
}

// openTar opens a tar in a stream: its content goes to a temporary file, to be
// read at any offset.
func (c *Client) openTar(name string, stream io.Reader, size int64) (*Image, error) {
	r, err := decompressed(stream, c.progress.Step("read", size))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	spool, err := newSpool()
	if err != nil {
		return nil, errors.Join(err, r.Close())
	}
	n, err := io.Copy(spool, r)
	if err := errors.Join(err, r.Close()); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", name, err), spool.Close())
	}
	return newLocalImage(name, sizedFile{spool, n}, spool)
}

// sizedFile is a file whose size is known.
type sizedFile struct {
	*os.File
	size int64
}

func (f sizedFile) Size() int64 { return f.size }

// newLocalImage returns the image in one tar. The closers are closed with it.
func newLocalImage(name string, tar layerContent, closers ...io.Closer) (*Image, error) {
	local := extent.Digest("local:" + name) // stands for the digest of a tar that nobody has hashed
	i := &Image{Name: name, layers: map[extent.Digest]layerContent{local: tar}, closers: closers}
	tree, err := image.Merge([]image.Layer{{Digest: local, Tar: tar, Size: tar.Size()}})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", name, err), i.Close())
	}
	i.Tree = tree
	return i, nil
}
