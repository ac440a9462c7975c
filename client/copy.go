package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/errdef"

	"github.com/cloudlets/cloudlets/api"
	"github.com/cloudlets/cloudlets/blobstore/frame"
)

// Copy copies what a repository's reference names to another repository, of the
// same or another registry, and tags it there as that one's reference says. With
// history all versions that led to it are copied before. Digests stay what they
// are. Only what the other repository lacks is moved: of layers of frames, only
// the missing frames, where it is in a cloudlets registry.
func Copy(ctx context.Context, from, to *Repository, history bool) (ocispec.Descriptor, error) {
	d, err := copyAll(ctx, from, to, history)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	return oras.Tag(ctx, to.Repository, d.String(), to.TagOrDigest())
}

// Fetch sees that a repository has what another one's reference names, with its
// history, and returns the digest of that. It gets no tag.
func Fetch(ctx context.Context, from, to *Repository) (digest.Digest, error) {
	if from.name() == to.name() {
		d, err := from.Resolve(ctx, from.TagOrDigest())
		return d.Digest, err
	}
	return copyAll(ctx, from, to, true)
}

// copyAll copies what a reference names, without tagging it, and returns its
// digest.
func copyAll(ctx context.Context, from, to *Repository, history bool) (digest.Digest, error) {
	m, err := from.Manifest(ctx)
	if err != nil {
		return "", err
	}
	line := []digest.Digest{m.Descriptor.Digest}
	if history && !m.isIndex() {
		line = nil
		err := from.History(ctx, func(v Version) bool {
			line = append(line, v.Digest)
			return true
		})
		if err != nil {
			return "", err
		}
	}
	c := copier{from: from, to: to}
	for _, d := range slices.Backward(line) { // the oldest first: the others share its frames
		if err := c.manifest(ctx, d); err != nil {
			return "", fmt.Errorf("copy %s from %s to %s: %w", d, from.Reference, to.Reference, err)
		}
	}
	return m.Descriptor.Digest, nil
}

// copier copies between two repositories.
type copier struct{ from, to *Repository }

// manifest copies a manifest with all that it refers to.
func (c *copier) manifest(ctx context.Context, d digest.Digest) error {
	_, err := c.to.Resolve(ctx, d.String())
	if err == nil || !errors.Is(err, errdef.ErrNotFound) {
		return err
	}
	m, err := c.from.at(d.String()).Manifest(ctx)
	if err != nil {
		return err
	}
	if m.isIndex() {
		err = c.children(ctx, m)
	} else {
		err = c.blobs(ctx, m)
	}
	if err != nil {
		return err
	}
	return c.to.Manifests().Push(ctx, m.Descriptor, bytes.NewReader(m.Raw))
}

func (c *copier) children(ctx context.Context, m *Manifest) error {
	children, err := m.children()
	if err != nil {
		return err
	}
	for _, child := range children {
		if err := c.manifest(ctx, child.Digest); err != nil {
			return err
		}
	}
	return nil
}

func (c *copier) blobs(ctx context.Context, m *Manifest) error {
	for _, d := range append([]ocispec.Descriptor{m.Config}, m.Layers...) {
		if err := c.blob(ctx, d); err != nil {
			return fmt.Errorf("blob %s: %w", d.Digest, err)
		}
	}
	return nil
}

// blob sees that the other repository holds a blob.
func (c *copier) blob(ctx context.Context, d ocispec.Descriptor) error {
	held, err := c.to.Blobs().Exists(ctx, d)
	if err != nil || held {
		return err
	}
	if c.from.Reference.Registry == c.to.Reference.Registry {
		if mounted, err := c.to.mount(ctx, d.Digest, c.from.Reference.Repository); mounted || err != nil {
			return err
		}
	}
	if held, err := c.frames(ctx, d); held || err != nil {
		return err
	}
	return c.from.pullBlob(ctx, d, func(body io.Reader) error { return c.to.Blobs().Push(ctx, d, body) })
}

// mount asks the registry to take a blob from another of its repositories. It
// gives up the upload that a registry begins instead.
func (r *Repository) mount(ctx context.Context, d digest.Digest, from string) (mounted bool, err error) {
	at, err := url.Parse(r.url("/v2/" + r.Reference.Repository + "/blobs/uploads/"))
	if err != nil {
		return false, err
	}
	at.RawQuery = url.Values{"mount": {d.String()}, "from": {from}}.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at.String(), http.NoBody)
	if err != nil {
		return false, err
	}
	resp, err := r.do(req, push)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusCreated:
		return true, nil
	case http.StatusAccepted:
		upload, err := resp.Location()
		if err != nil {
			return false, err
		}
		return false, r.cancelUpload(ctx, upload)
	}
	return false, answerError(resp)
}

// frames sees that the other repository holds a layer, by the frames of it that
// it lacks. held is false where that is not possible, or nothing is gained by it.
func (c *copier) frames(ctx context.Context, d ocispec.Descriptor) (held bool, err error) {
	offset, size, sum, ok := api.FrameIndexPosition(d.Annotations)
	if !ok || size <= 0 || size > maxAnswer {
		return false, nil
	}
	elders, err := c.to.elders(ctx)
	if err != nil || elders == nil || elders.Blobs == 0 {
		return false, err
	}
	encoded := make([]byte, size)
	if _, err := c.from.readBlobAt(ctx, d, encoded, offset); err != nil {
		return false, fmt.Errorf("read the frame index: %w", err)
	}
	if got := digest.FromBytes(encoded); got != sum {
		return false, fmt.Errorf("the frame index has the digest %s, the layer's descriptor says %s", got, sum)
	}
	index, err := frame.Decode(encoded)
	if err != nil {
		return false, err
	}
	return c.to.sendFrames(ctx, "copy", d.Digest, index, encoded, func(wanted frame.Set, runs []api.FrameRange) (io.ReadCloser, error) {
		return c.from.fetchFrames(ctx, d, index, wanted, runs)
	})
}

// fetchFrames returns some frames of a layer as they are stored: in one answer of
// a registry that serves layers in pieces, else a range at a time.
func (r *Repository) fetchFrames(ctx context.Context, d ocispec.Descriptor, x *frame.Index, wanted frame.Set, runs []api.FrameRange) (io.ReadCloser, error) {
	body, err := r.postWanted(ctx, d, wanted)
	if !hasStatus(err, http.StatusNotFound, http.StatusMethodNotAllowed) {
		return body, err
	}
	var parts []io.Reader
	for _, run := range runs {
		first, last := x.At(run.First), x.At(run.First+run.Count-1)
		parts = append(parts, &blobRange{ctx: ctx, repo: r, blob: d, offset: first.Offset, end: last.Offset + last.Size})
	}
	return io.NopCloser(io.MultiReader(parts...)), nil
}

// blobRange reads a part of a blob, in requests of at most rangeSize bytes.
type blobRange struct {
	ctx         context.Context
	repo        *Repository
	blob        ocispec.Descriptor
	offset, end int64
	buffered    []byte
}

const rangeSize = 4 << 20

func (b *blobRange) Read(p []byte) (int, error) {
	if len(b.buffered) == 0 {
		if b.offset == b.end {
			return 0, io.EOF
		}
		part := make([]byte, min(rangeSize, b.end-b.offset))
		if _, err := b.repo.readBlobAt(b.ctx, b.blob, part, b.offset); err != nil {
			return 0, err
		}
		b.offset += int64(len(part))
		b.buffered = part
	}
	n := copy(p, b.buffered)
	b.buffered = b.buffered[n:]
	return n, nil
}
