package client

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cloudlets/cloudlets/api"
	"github.com/cloudlets/cloudlets/blobstore/frame"
	"github.com/cloudlets/cloudlets/client/lazy"
	"github.com/cloudlets/cloudlets/extent"
)

// framedLayer is a layer of frames in a registry, of which only the frames that
// are read are fetched. Its index is what the layer's descriptor vouches for, and
// each frame is verified against it.
type framedLayer struct {
	*frame.Reader
	ctx        context.Context
	repo       *Repository
	descriptor ocispec.Descriptor
	index      *frame.Index

	mu      sync.Mutex
	fetched map[int64][]byte // stored frames by offset, until they are read
}

// decodedBudget is how many bytes of decoded frames are kept.
const decodedBudget = 64 << 20

// openFramed opens a layer of frames with its headers, which it fetches in one
// request. It returns nil where the layer is not made of frames or the registry
// does not serve them in pieces.
func (r *Repository) openFramed(ctx context.Context, d ocispec.Descriptor) (*framedLayer, error) {
	offset, size, sum, ok := api.FrameIndexPosition(d.Annotations)
	if !ok {
		return nil, nil
	}
	pos := frame.Position{Offset: offset, Size: size, Digest: sum}
	body, indexSize, err := r.fetchHeaders(ctx, d)
	// A public registry may refuse what it does not know. Whether the layer may be
	// read, is seen when it is.
	if hasStatus(err, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusUnauthorized, http.StatusForbidden) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("fetch the headers of layer %s: %w", d.Digest, err)
	}
	defer body.Close()
	l := &framedLayer{ctx: ctx, repo: r, descriptor: d, fetched: make(map[int64][]byte)}
	if err := l.readHeaders(body, indexSize, pos); err != nil {
		return nil, fmt.Errorf("fetch the headers of layer %s: %w", d.Digest, err)
	}
	decoder, err := frame.NewDecoder(decodedBudget)
	if err != nil {
		return nil, err
	}
	l.Reader = frame.NewReader(storedFrames{l}, l.index, decoder)
	return l, nil
}

// near returns the layer with its content kept in a cache.
func (l *framedLayer) near(c *lazy.Cache) (*lazy.Layer, error) {
	_, _, sum, _ := api.FrameIndexPosition(l.descriptor.Annotations)
	n, err := c.Layer(extent.Digest(sum), l.index, l)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	size := int64(len(l.index.Encode()))
	for i := range l.index.Len() {
		stored, ok := l.fetched[l.index.At(i).Offset]
		if !ok {
			continue
		}
		if err := n.Put(i, stored); err != nil {
			return nil, err
		}
		size += int64(len(stored))
	}
	clear(l.fetched)
	c.Count(size)
	return n, nil
}

// Frames sends frames of the layer: it is a [lazy.Source].
func (l *framedLayer) Frames(ctx context.Context, wanted frame.Set, each func(i int, stored []byte) error) error {
	body, err := l.repo.postWanted(ctx, l.descriptor, wanted)
	if err != nil {
		return err
	}
	defer body.Close()
	stored := make([]byte, frame.MaxContent+1024) // more than any frame takes
	for i := range l.index.Len() {
		if !wanted.Has(i) {
			continue
		}
		p := stored[:l.index.At(i).Size]
		if _, err := io.ReadFull(body, p); err != nil {
			return fmt.Errorf("frame %d: %w", i, err)
		}
		if err := each(i, p); err != nil {
			return err
		}
	}
	return drain(body) // so that the connection is used again
}

// fetchHeaders asks for the index of a layer and the frames with headers.
func (r *Repository) fetchHeaders(ctx context.Context, d ocispec.Descriptor) (body io.ReadCloser, indexSize int64, err error) {
	at := r.extension(api.ComponentLayers, d.Digest.String(), "headers")
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, http.NoBody)
	if err != nil {
		return nil, 0, err
	}
	resp, err := r.do(req, pull)
	if err != nil {
		return nil, 0, err
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		return nil, 0, answerError(resp)
	}
	indexSize, err = strconv.ParseInt(resp.Header.Get(api.HeaderIndexSize), 10, 64)
	if err != nil {
		return nil, 0, errors.Join(fmt.Errorf("header %s: %w", api.HeaderIndexSize, err), resp.Body.Close())
	}
	return resp.Body, indexSize, nil
}

// readHeaders reads the index and the frames that follow it.
func (l *framedLayer) readHeaders(body io.Reader, indexSize int64, pos frame.Position) error {
	if indexSize != pos.Size {
		return fmt.Errorf("an index of %d bytes, the layer's descriptor says %d", indexSize, pos.Size)
	}
	encoded, err := readExactly(body, pos.Size)
	if err != nil {
		return err
	}
	if got := digest.FromBytes(encoded); got != pos.Digest {
		return fmt.Errorf("an index with the digest %s, the layer's descriptor says %s", got, pos.Digest)
	}
	if l.index, err = frame.Decode(encoded); err != nil {
		return err
	}
	follow, err := readExactly(body, int64(len(l.index.NewSet())))
	if err != nil {
		return err
	}
	return l.readFrames(body, follow)
}

// readExactly reads n bytes, as they come.
func readExactly(r io.Reader, n int64) ([]byte, error) {
	var b bytes.Buffer
	_, err := io.CopyN(&b, r, n)
	return b.Bytes(), err
}

// readFrames takes the frames of a set from a body.
func (l *framedLayer) readFrames(body io.Reader, follow frame.Set) error {
	for i := range l.index.Len() {
		if !follow.Has(i) {
			continue
		}
		f := l.index.At(i)
		stored, err := readExactly(body, f.Size)
		if err != nil {
			return fmt.Errorf("frame %d: %w", i, err)
		}
		if sha256.Sum256(stored) != f.Digest {
			return fmt.Errorf("frame %d: %w", i, frame.ErrCorrupt)
		}
		l.mu.Lock()
		l.fetched[f.Offset] = stored
		l.mu.Unlock()
	}
	return nil
}

// storedFrames is what the frame reader reads from, one frame at a time: frames
// that were fetched ahead from memory, others from the registry.
type storedFrames struct{ *framedLayer }

func (l storedFrames) ReadAt(p []byte, off int64) (int, error) {
	l.mu.Lock()
	stored, ok := l.fetched[off]
	delete(l.fetched, off)
	l.mu.Unlock()
	if ok {
		return copy(p, stored), nil
	}
	return l.repo.readBlobAt(l.ctx, l.descriptor, p, off)
}

// prefetch fetches the frames of some extents of the layer's content, in one
// request.
func (l *framedLayer) prefetch(ctx context.Context, extents []extent.Extent) error {
	missing := l.missing(extents)
	if missing == nil {
		return nil
	}
	body, err := l.repo.postWanted(ctx, l.descriptor, missing)
	if err != nil {
		return err
	}
	defer body.Close()
	return l.readFrames(body, missing)
}

// postWanted asks for some frames of a layer.
func (r *Repository) postWanted(ctx context.Context, d ocispec.Descriptor, wanted frame.Set) (io.ReadCloser, error) {
	at := r.extension(api.ComponentLayers, d.Digest.String(), "frames")
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at, bytes.NewReader(wanted))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/octet-stream")
	resp, err := r.do(req, pull)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		defer resp.Body.Close()
		return nil, answerError(resp)
	}
	return resp.Body, nil
}

// missing returns the frames that hold some of the extents and are not here, or
// nil if there are none.
func (l *framedLayer) missing(extents []extent.Extent) frame.Set {
	l.mu.Lock()
	defer l.mu.Unlock()
	var missing frame.Set
	for _, x := range extents {
		first, end := l.index.Overlap(x.Offset, x.Length)
		for i := first; i < end; i++ {
			if _, held := l.fetched[l.index.At(i).Offset]; held {
				continue
			}
			if missing == nil {
				missing = l.index.NewSet()
			}
			missing.Add(i)
		}
	}
	return missing
}

// readBlobAt reads a part of a blob. What is read is not verified.
func (r *Repository) readBlobAt(ctx context.Context, d ocispec.Descriptor, p []byte, off int64) (int, error) {
	at := r.url("/v2/" + r.Reference.Repository + "/blobs/" + d.Digest.String())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, at, http.NoBody)
	if err != nil {
		return 0, err
	}
	req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", off, off+int64(len(p))-1))
	resp, err := r.do(req, pull)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusPartialContent {
		return 0, answerError(resp)
	}
	return io.ReadFull(resp.Body, p)
}
