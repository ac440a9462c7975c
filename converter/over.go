package converter

import (
	"errors"
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/blobstore/frame"
	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/extent"
)

// Parent is the disk that an output leaves content to.
type Parent struct {
	Digest digest.Digest // of the disk, raw
	Map    *extent.Map
	// Frames are those that the disk is kept in; nil where it is not.
	Frames *frame.Index
}

// ForParent returns the parameters of the parent's disk, raw: see
// [api.RenderRequest.ForParent].
func (p Parameters) ForParent(content bool) Parameters {
	if content {
		return Parameters{Format: formatRaw}
	}
	p.Format, p.Parent, p.Compress = formatRaw, "", ""
	return p
}

// checkParent returns what is wrong with asking for an output over a parent.
func (p Parameters) checkParent(f Format) error {
	if p.Parent == "" {
		return nil
	}
	if err := p.Parent.Validate(); err != nil {
		return fmt.Errorf("parent %q: %w", p.Parent, err)
	}
	if f.over == nil {
		var names []string
		for _, f := range Formats() {
			if f.over != nil {
				names = append(names, f.Name)
			}
		}
		return fmt.Errorf("the format %s leaves nothing to a parent: expected one of %s", f.Name, strings.Join(names, ", "))
	}
	if p.Compress != "" {
		return errors.New("an output over a parent is not compressed")
	}
	return nil
}

// writeOver writes what differs of content from the parent.
func (r *render) writeOver(f Format, content *extent.Map) (*extent.Map, error) {
	parent := r.Input.Parent
	if parent == nil {
		return nil, fmt.Errorf("the parent %s was not given", r.Parameters.Parent)
	}
	names := frameNames{extent.Digest(parent.Digest): parent.Frames}
	if r.Content != nil {
		names[extent.Digest(r.Content.Digest)] = r.Content.Frames
	}
	base, err := container.Comparison{
		Disk: content, Parent: parent.Map, Digest: extent.Digest(parent.Digest), Open: r.Open, Name: names.name,
	}.Base(r.ctx)
	if err != nil {
		return nil, err
	}
	r.notes = append(r.notes, fmt.Sprintf("the file holds only what differs from the disk %s, which is the output of render --format raw for its parent", parent.Digest))
	if f.rebase != "" {
		r.notes = append(r.notes, "before another program opens it, name the file of the parent in it: "+f.rebase)
	}
	return f.over(content, base)
}

// frameNames are the frames of contents by their digests. A frame that several
// disks have has one name.
type frameNames map[extent.Digest]*frame.Index

// name names content by its frame, up to where that ends.
func (n frameNames) name(e extent.Extent) extent.Extent {
	index := n[e.Digest]
	if index == nil {
		return e
	}
	i := index.Find(e.Offset)
	if i >= index.Len() {
		return e
	}
	f := index.At(i)
	within := e.Offset - f.ContentOffset
	return extent.Extent{
		Kind: extent.Source, Length: min(e.Length, f.ContentSize-within), Digest: extent.Digest(f.Digest[:]), Offset: within,
	}
}
