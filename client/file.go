package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cloudlets/cloudlets/api"
	"github.com/cloudlets/cloudlets/image/kind"
)

// File is a file to push that is an image by itself: a kernel, a ramdisk, a
// filesystem, an ISO, a disk. It must be closed.
type File struct {
	Kind kind.Kind

	name    string
	content *os.File
	size    int64
}

// Close ends reading.
func (f *File) Close() error { return f.content.Close() }

// Content returns the content, which can be read until the file is closed.
func (f *File) Content() *io.SectionReader { return io.NewSectionReader(f.content, 0, f.size) }

// OpenFile opens a file, or "-" for stdin, and compares what it is declared to be
// with its content. It returns nil for what is to be pushed as a rootfs: nothing
// is declared, and the content is no image of the kinds that there are.
func (c *Client) OpenFile(path string, stdin io.Reader, declared kind.Kind) (*File, error) {
	undeclared := declared == kind.Kind{}
	if path == "-" {
		if undeclared {
			return nil, nil
		}
		return c.spoolFile(stdin, declared)
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case info.Mode().IsRegular():
	case undeclared:
		return nil, nil
	default:
		return nil, fmt.Errorf("%s: expected a file that is %s", path, declared)
	}
	content, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	f, err := identify(&File{name: filepath.Base(path), content: content, size: info.Size()}, declared)
	if f == nil {
		err = errors.Join(err, content.Close())
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return f, nil
}

// spoolFile reads a file to the end first, because its end counts too.
func (c *Client) spoolFile(stdin io.Reader, declared kind.Kind) (*File, error) {
	spool, err := newSpool()
	if err != nil {
		return nil, err
	}
	size, err := io.Copy(spool, &stepReader{r: stdin, step: c.progress.Step("read", -1)})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read the standard input: %w", err), spool.Close())
	}
	f, err := identify(&File{content: spool, size: size}, declared)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("standard input: %w", err), spool.Close())
	}
	return f, nil
}

// identify decides what a file is. It returns nil for a rootfs.
func identify(f *File, declared kind.Kind) (*File, error) {
	found, err := kind.Detect(f.content, f.size)
	if err != nil {
		return nil, err
	}
	if (declared == kind.Kind{}) && (found.Tar || !found.Known()) {
		return nil, nil
	}
	f.Kind, err = found.Decide(declared)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// PushFile pushes a file as an artifact of its kind, and tags it as the
// repository's reference says. Equal files make equal artifacts, but for their
// names and annotations.
func (r *Repository) PushFile(ctx context.Context, f *File, o PushOptions) (ocispec.Descriptor, error) {
	blob, err := r.pushFileBlob(ctx, f)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	config := ocispec.DescriptorEmptyJSON
	if _, err := r.pushBytes(ctx, config.MediaType, config.Data); err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("push config: %w", err)
	}
	config.Data = nil
	annotations := map[string]string{
		api.AnnotationImageType:       string(f.Kind.Type),
		api.AnnotationContainerFormat: string(f.Kind.Container),
	}
	if o.Created != nil {
		annotations[ocispec.AnnotationCreated] = o.Created.UTC().Format(time.RFC3339)
	}
	maps.Copy(annotations, o.Annotations)
	return r.pushManifest(ctx, ocispec.Manifest{
		Versioned:    specs.Versioned{SchemaVersion: 2},
		MediaType:    ocispec.MediaTypeImageManifest,
		ArtifactType: blob.MediaType,
		Config:       config,
		Layers:       []ocispec.Descriptor{blob},
		Annotations:  annotations,
	})
}

// pushFileBlob reads the file twice: for its digest, and to send it unless the
// repository holds it. The registry sees to it that both were the same.
func (r *Repository) pushFileBlob(ctx context.Context, f *File) (ocispec.Descriptor, error) {
	hash := digest.Canonical.Digester()
	step := r.client.step("hash", f.size)
	content := io.NewSectionReader(f.content, 0, f.size)
	n, err := io.Copy(hash.Hash(), io.TeeReader(content, &counter{step: step}))
	if err == nil && n < f.size {
		err = fmt.Errorf("it had %d bytes, and has %d now: %w", f.size, n, io.ErrUnexpectedEOF)
	}
	step.End(err)
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("read the file: %w", err)
	}
	d := ocispec.Descriptor{
		MediaType: api.ArtifactKind(string(f.Kind.Type), string(f.Kind.Container)),
		Digest:    hash.Digest(),
		Size:      f.size,
	}
	if err := r.pushWhole(ctx, d, f.content); err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("upload the file: %w", err)
	}
	if f.name != "" {
		d.Annotations = map[string]string{ocispec.AnnotationTitle: f.name}
	}
	return d, nil
}

// IdentifyDisk says what a disk is that a node may have written to: a filesystem
// or a whole disk. What names other files is refused: a guest could have written
// that.
func IdentifyDisk(path string, filesystem bool) (kind.Kind, error) {
	content, err := os.Open(path)
	if err != nil {
		return kind.Kind{}, err
	}
	defer content.Close()
	info, err := content.Stat()
	if err != nil {
		return kind.Kind{}, err
	}
	declared := kind.Kind{Type: kind.Disk}
	if filesystem {
		declared.Type = kind.Filesystem
	}
	f, err := identify(&File{content: content, size: info.Size()}, declared)
	if err != nil {
		return kind.Kind{}, fmt.Errorf("%s: %w", path, err)
	}
	return f.Kind, nil
}
