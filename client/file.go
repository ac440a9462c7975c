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
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cloudlets/cloudlets/api"
	"github.com/cloudlets/cloudlets/converter"
	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image/cloudlet"
	"github.com/cloudlets/cloudlets/image/kind"
)

// File is a file to push that is an image by itself: a kernel, a ramdisk, a
// filesystem, an ISO, a disk. It must be closed.
type File struct {
	Kind kind.Kind

	name    string
	content *os.File
	size    int64
	parts   []filePart
	opened  *container.Disk // what the file or its parts contain; nil before it was opened
	leaves  bool            // content to a parent
	disk    *container.Disk // nil where the file is pushed as it is
	parents container.Blobs // that the disk refers to
}

// Close ends reading.
func (f *File) Close() error {
	errs := []error{f.content.Close()}
	for _, p := range f.parts {
		errs = append(errs, p.content.Close())
	}
	for _, p := range f.parents {
		errs = append(errs, p.Close())
	}
	return errors.Join(errs...)
}

// Content returns the content, which can be read until the file is closed.
func (f *File) Content() *io.SectionReader { return io.NewSectionReader(f.content, 0, f.size) }

// FileOptions say how a file is opened.
type FileOptions struct {
	// Declared is what the file is said to be; either fact may be missing.
	Declared kind.Kind
	// Verbatim takes every file as it is. Otherwise the disk or the filesystem in
	// a file is opened, whatever contains it.
	Verbatim bool
	// MaxSize is how large a disk may be, in bytes; 0 is DefaultMaxSize, and a
	// limit to what compressed data may expand to.
	MaxSize int64
	// Parts are the files that hold the disk which the file describes: those of a
	// VMDK that is in several. The names in such a file are compared with theirs,
	// and never opened.
	Parts []string
	// Rootfs says that a tar is a rootfs, whatever is declared.
	Rootfs bool
	// Parent is the disk that a file leaves content to, as an image; nil is none.
	// It must stay open as long as the file.
	Parent *Image
}

// OpenFile opens a file, or "-" for stdin, and compares what it is declared to be
// with its content. It returns nil for what is to be pushed as a rootfs: nothing
// is declared, and the content is no image of the kinds that there are.
func (c *Client) OpenFile(ctx context.Context, path string, stdin io.Reader, o FileOptions) (*File, error) {
	f, err := c.openFileContent(path, stdin, o.Declared)
	switch {
	case f != nil || err != nil:
	case len(o.Parts) > 0:
		err = fmt.Errorf("%s: expected a VMDK descriptor, which names other files", path)
	case o.Parent != nil:
		err = fmt.Errorf("%s: %w", path, errNoParent)
	}
	if f == nil || err != nil {
		return nil, err
	}
	known, err := c.identify(ctx, f, o)
	if err == nil && o.Parent != nil && !f.leaves {
		err = errNoParent
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", path, err)
	}
	if err != nil || !known {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// openFileContent opens what may be read at any offset: nil for what can only be
// a rootfs.
func (c *Client) openFileContent(path string, stdin io.Reader, declared kind.Kind) (*File, error) {
	undeclared := declared == kind.Kind{}
	if path == "-" {
		if undeclared {
			return nil, nil
		}
		return c.spoolFile(stdin)
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
	return &File{name: filepath.Base(path), content: content, size: info.Size()}, nil
}

// spoolFile reads a file to the end first, because its end counts too.
func (c *Client) spoolFile(stdin io.Reader) (*File, error) {
	spool, err := newSpool()
	if err != nil {
		return nil, err
	}
	size, err := io.Copy(spool, &stepReader{r: stdin, step: c.progress.Step("read", -1)})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("read the standard input: %w", err), spool.Close())
	}
	return &File{content: spool, size: size}, nil
}

// identify decides what a file is, and opens the disk in it. It reports false for
// a rootfs.
func (c *Client) identify(ctx context.Context, f *File, o FileOptions) (known bool, err error) {
	if err := c.prepare(f, o); err != nil {
		return false, err
	}
	known, err = f.decide(ctx, o)
	if err == nil && known && !o.Verbatim {
		err = f.openDisk(ctx, o)
	}
	return known, err
}

// prepare opens the parts of a file, or unpacks it.
func (c *Client) prepare(f *File, o FileOptions) error {
	if len(o.Parts) > 0 && o.Verbatim {
		return errors.New("a disk in several files becomes one, and cannot be taken as it is")
	}
	if err := f.openParts(o.Parts); err != nil {
		return err
	}
	packed, err := f.packedDisk(o)
	if err != nil || !packed {
		return err
	}
	return c.unpack(f, o)
}

// decide compares what a file is declared to be with its content. It reports
// false for a rootfs.
func (f *File) decide(ctx context.Context, o FileOptions) (known bool, err error) {
	found, err := f.detect()
	if err != nil {
		return false, err
	}
	if !o.Verbatim {
		f.leaves, found.Parent = found.Parent, false // who opens the disk says what it lacks
	}
	undeclared := o.Declared == kind.Kind{}
	if found.Tar && (undeclared || o.Rootfs) || undeclared && !found.Known() {
		return false, nil
	}
	declared := o.Declared
	if declared.Type == "" && !o.Verbatim && found.Hides() {
		if declared.Type, err = f.typeInside(ctx, found, o); err != nil {
			return false, err
		}
	}
	f.Kind, err = found.Decide(declared)
	return err == nil, err
}

// typeInside returns the image type of what a container has inside.
func (f *File) typeInside(ctx context.Context, found kind.Finding, o FileOptions) (kind.Type, error) {
	f.Kind.Container = found.Container
	disk, err := f.openContainer(ctx, o.Parent)
	if errors.Is(err, converter.ErrUnreadable) {
		return "", nil // who pushes it has to say
	}
	if err != nil {
		return "", adviseParent(err)
	}
	content := extent.NewReader(ctx, disk.Map, f.blobs(disk))
	inside, err := kind.Detect(content, content.Size())
	if err := errors.Join(err, content.Close()); err != nil {
		return "", err
	}
	if inside.Container != kind.Raw {
		return "", nil
	}
	t, err := inside.DecideInside()
	if err != nil {
		return "", fmt.Errorf("inside the %s: %w", found.Container, err)
	}
	return t, nil
}

// PushFile pushes a file as an artifact of its kind, and tags it as the
// repository's reference says. Equal files make equal artifacts, but for their
// names and annotations; so do equal disks, whatever contains them.
func (r *Repository) PushFile(ctx context.Context, f *File, o PushOptions) (ocispec.Descriptor, error) {
	annotations := make(map[string]string)
	if err := f.annotate(annotations, o); err != nil {
		return ocispec.Descriptor{}, err
	}
	push := r.pushFileBlob
	if f.disk != nil {
		push = r.pushDisk
	}
	blob, err := push(ctx, f)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	config, err := r.pushEmptyConfig(ctx)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	return r.pushManifest(ctx, ocispec.Manifest{
		ArtifactType: api.ArtifactKind(string(f.Kind.Type), string(f.Kind.Container)),
		Config:       config,
		Layers:       []ocispec.Descriptor{blob},
		Annotations:  annotations,
	})
}

// annotate adds what the OCI manifest says of a file.
func (f *File) annotate(annotations map[string]string, o PushOptions) error {
	if o.Manifest != nil {
		m, err := cloudlet.ParseManifest(o.Manifest)
		if err != nil {
			return fmt.Errorf("cloudlet manifest: %w", err)
		}
		if err := annotate(annotations, m, o.Manifest); err != nil {
			return err
		}
	}
	annotations[api.AnnotationImageType] = string(f.Kind.Type)
	annotations[api.AnnotationContainerFormat] = string(f.Kind.Container)
	if o.Created != nil {
		annotations[ocispec.AnnotationCreated] = o.Created.UTC().Format(time.RFC3339)
	}
	maps.Copy(annotations, o.Annotations)
	return nil
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

// IdentifyDisk says what a disk is that a node may have written to, and that is
// declared to be a filesystem or a whole disk. What names other files is refused: a
// guest could have written that.
func IdentifyDisk(ctx context.Context, path string, declared kind.Type) (kind.Kind, error) {
	content, err := os.Open(path)
	if err != nil {
		return kind.Kind{}, err
	}
	defer content.Close()
	info, err := content.Stat()
	if err != nil {
		return kind.Kind{}, err
	}
	f := &File{content: content, size: info.Size()}
	if _, err := f.decide(ctx, FileOptions{Declared: kind.Kind{Type: declared}, Verbatim: true}); err != nil {
		return kind.Kind{}, fmt.Errorf("%s: %w", path, err)
	}
	return f.Kind, nil
}
