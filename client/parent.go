package client

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/cloudlets/cloudlets/converter"
	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/extent"
)

// parentDisk returns the disk of an image as the parent of a render. It refers to
// blobs that the image opens.
func (i *Image) parentDisk(ctx context.Context, l Local) (*converter.Parent, error) {
	if c := i.Content; c != nil && c.Digest != "" {
		return &converter.Parent{Digest: c.Digest, Map: c.Map, Frames: c.Frames}, nil
	}
	m, err := i.CloudletManifest(ctx)
	if err != nil {
		return nil, err
	}
	l.Setup, l.Parent, l.Parameters = Setup{Manifest: m}, nil, l.ForParent(i.Content != nil)
	l.Volatile = l.Volatile && i.Content == nil
	r, err := i.RenderHere(ctx, l)
	if err != nil {
		return nil, err
	}
	disk := r.Files[0].Map
	d, err := contentDigest(ctx, disk, r.Open, io.Discard)
	return &converter.Parent{Digest: d, Map: disk}, err
}

// findParent returns what finds the disk that the file leaves content to: the one
// of an image, whatever name the file has for it; nil where none is given.
func (f *File) findParent(ctx context.Context, i *Image) (container.FindParent, error) {
	if i == nil {
		return nil, nil
	}
	if i.Content == nil {
		return nil, fmt.Errorf("parent %s: it is a root filesystem, expected a disk: give the digest of the artifact that was rendered from it", i.Name)
	}
	p, err := i.parentDisk(ctx, Local{})
	if err != nil {
		return nil, fmt.Errorf("parent %s: %w", i.Name, err)
	}
	d := extent.Digest(p.Digest)
	f.parents = container.Blobs{d: extent.NewReader(ctx, p.Map, i)}
	given := container.GivenParent(container.Parent{Digest: d, Size: p.Map.Size()})
	return func(name string) (container.Parent, error) {
		if name == f.name {
			return container.Parent{}, fmt.Errorf("the file names itself, %s, as its parent", name)
		}
		return given(name)
	}, nil
}

// errNoParent refuses a parent that nothing is left to.
var errNoParent = errors.New("it leaves nothing to a parent: leave --parent out")

// adviseParent says what to do about a file whose parent was not given.
func adviseParent(err error) error {
	var missing *container.ParentError
	if errors.As(err, &missing) {
		return fmt.Errorf("%w: push the parent first, and name it with --parent REFERENCE@DIGEST", err)
	}
	return err
}
