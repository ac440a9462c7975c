package client

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"

	"github.com/cloudlets/cloudlets/converter"
	"github.com/cloudlets/cloudlets/converter/boot"
	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/converter/tar"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
	"github.com/cloudlets/cloudlets/image/configure"
)

// Local is a render on this machine, without a registry that renders.
type Local struct {
	Setup
	converter.Parameters
	// Volatile keeps the volatile paths.
	Volatile bool
	// Kit is the image of a boot kit, or nil. It must stay open as long as the
	// output is read.
	Kit *Image
	// Parent is the image whose disk the output leaves content to, or nil. It must
	// stay open as long as the output is read.
	Parent *Image
	// Spool keeps what is compressed; nil where nothing is. It must stay open as
	// long as the output is read.
	Spool *container.Files
}

// Rendered is the output of a local render.
type Rendered struct {
	converter.Output
	Open   extent.Opener // gives what the files' maps refer to
	Unused []string      // parts of the configuration without effect

	images     []*Image // that it is made of
	input      converter.Input
	parameters converter.Parameters
}

// RenderHere renders the image on this machine. The error wraps
// [converter.ErrNoFiles] where something is asked of a disk that only files can give.
func (i *Image) RenderHere(ctx context.Context, l Local) (r Rendered, err error) {
	if i.Content != nil && (l.Volatile || l.Config != nil) {
		return r, fmt.Errorf("a configuration and volatile paths change files: %w", converter.ErrNoFiles)
	}
	var tree *image.Tree
	if i.Tree != nil {
		if tree, r.Unused, err = i.configured(ctx, l); err != nil {
			return r, err
		}
		if l.Disk.Seed, err = i.seed(ctx); err != nil {
			return r, err
		}
	}
	r.Open, r.images = i, []*Image{i}
	if l.Kit != nil {
		if l.Disk.Kit = l.Kit.Tree; l.Disk.Kit == nil {
			return r, fmt.Errorf("boot kit %s is a %s, expected bootloader files, as cloudlets bootkit pushes them", l.Kit.Name, l.Kit.Content.Type)
		}
		r.Open, r.images = openers{i, l.Kit}, []*Image{i, l.Kit}
	}
	l.Parameters.Manifest = l.Setup.Manifest
	in := converter.Input{Tree: tree, Content: i.Content}
	if l.Spool != nil {
		in.Spool, r.Open = l.Spool, openers{l.Spool, r.Open}
	}
	if l.Parent != nil {
		if in.Parent, err = l.Parent.parentDisk(ctx, l); err != nil {
			return r, fmt.Errorf("parent %s: %w", l.Parent.Name, err)
		}
		r.Open, r.images = openers{r.Open, l.Parent}, append(r.images, l.Parent)
	}
	in.Open = r.Open
	r.input, r.parameters = in, l.Parameters
	r.Output, err = converter.Render(ctx, r.input, r.parameters)
	return r, err
}

// Direct returns what starts the system on a rendered disk without its bootloader:
// the kernel, whose report has the command line, and the ramdisk, nil where the
// kernel has none. The error wraps [converter.ErrNoFiles] of a disk that was pushed.
func (r Rendered) Direct(ctx context.Context) (kernel, ramdisk *Rendered, err error) {
	if r.input.Tree == nil {
		return nil, nil, fmt.Errorf("the kernel of a disk is a file on it: %w", converter.ErrNoFiles)
	}
	first, err := boot.FirstKernel(r.input.Tree)
	if err != nil {
		return nil, nil, err
	}
	if kernel, err = r.part(ctx, converter.TypeKernel); err != nil || first.Initrd == nil {
		return kernel, nil, err
	}
	ramdisk, err = r.part(ctx, converter.TypeRamdisk)
	return kernel, ramdisk, err
}

// part renders a part of the same system, as it was configured.
func (r Rendered) part(ctx context.Context, outputType string) (*Rendered, error) {
	p := r.parameters
	p.Format, p.Type, p.Compress, p.Disk.Size, p.Disk.FreeSpace = "raw", outputType, "", 0, 0
	var err error
	if r.Output, err = converter.Render(ctx, r.input, p); err != nil {
		return nil, fmt.Errorf("take the %s out of the image: %w", outputType, err)
	}
	return &r, nil
}

// configured returns the tree of a render, as a registry makes it: the
// configuration may bring back what was volatile.
func (i *Image) configured(ctx context.Context, l Local) (t *image.Tree, unused []string, err error) {
	t = i.Tree
	if !l.Volatile {
		if t, err = image.DropVolatile(t, l.Setup.Manifest); err != nil {
			return nil, nil, err
		}
	}
	if !configure.Needed(t, l.Setup.Manifest, l.Config) {
		return t, nil, nil
	}
	return i.configure(ctx, t, l.Setup)
}

// seed returns what UUIDs are made of: the digest of the image, as in a registry.
// A directory or a tar has none, and it is made of what its tar would say of its
// files.
func (i *Image) seed(ctx context.Context) (string, error) {
	if i.Manifest != nil {
		return i.Manifest.Descriptor.Digest.String(), nil
	}
	m, err := tar.Plan(ctx, i.Tree)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	for n := range m.Len() {
		start, e := m.At(n)
		fmt.Fprintf(sum, "%d %d ", start, e.Length)
		sum.Write(e.Data)
	}
	return "local:" + hex.EncodeToString(sum.Sum(nil)), nil
}

// openers open what the first of them has.
type openers []extent.Opener

func (o openers) OpenBlob(ctx context.Context, d extent.Digest) (extent.Blob, error) {
	for _, open := range o {
		blob, err := open.OpenBlob(ctx, d)
		if !errors.Is(err, fs.ErrNotExist) {
			return blob, err
		}
	}
	return nil, fmt.Errorf("layer %s: %w", d, fs.ErrNotExist)
}
