package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cloudlets/cloudlets/api"
	"github.com/cloudlets/cloudlets/blobstore/frame"
	"github.com/cloudlets/cloudlets/client/lazy"
	"github.com/cloudlets/cloudlets/extent"
)

// framedLayer is a blob of frames in a registry, a layer or a disk, of which only
// the frames that are read are fetched. Its index is what the blob's descriptor
// vouches for, and each frame is verified against it.
type framedLayer struct {
	*frame.Reader
	ctx        context.Context
	repo       *Repository
	descriptor ocispec.Descriptor
	position   frame.Position // of the index
	index      *frame.Index

	plain  atomic.Bool // the registry knows blobs only, and ranges of them
	single atomic.Bool // and one range at a time

	mu      sync.Mutex
	fetched map[int64][]byte // stored frames by offset, until they are read
}

// decodedBudget is how many bytes of decoded frames are kept.
const decodedBudget = 64 << 20

// openFramed opens a blob of frames: a layer with its headers. It returns nil
// where the blob is not made of frames or the registry does not serve it in
// pieces.
func (r *Repository) openFramed(ctx context.Context, d ocispec.Descriptor) (*framedLayer, error) {
	offset, size, sum, ok := api.FrameIndexPosition(d.Annotations)
	if !ok {
		return nil, nil
	}
	l := &framedLayer{
		ctx: ctx, repo: r, descriptor: d, fetched: make(map[int64][]byte),
		position: frame.Position{Offset: offset, Size: size, Digest: sum},
	}
	open := l.openHeaders
	if _, _, ok := api.FramedContent(d.MediaType, d.Annotations); ok {
		open = l.openIndex
	}
	err := open()
	if errors.Is(err, errWhole) {
		r.client.send.warn(fmt.Sprintf("%s does not serve parts of blobs: what is read of them is fetched whole", r.Reference.Registry))
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("fetch the index of layer %s: %w", d.Digest, err)
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
	n, err := c.Layer(extent.Digest(l.position.Digest), l.index, l)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	size := l.position.Size
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

// openHeaders fetches the index, and the frames with tar headers in them: in one
// request from a registry of ours.
func (l *framedLayer) openHeaders() error {
	var left frame.Set
	err := lazy.Persist(l.ctx, cutOff, func() (_ int, err error) {
		left, err = l.requestHeaders()
		return 0, err
	})
	if refused(err) {
		return l.openPlainly()
	}
	if err != nil || left.Empty() {
		return err
	}
	return l.keepFrames(l.ctx, left)
}

// requestHeaders makes the request. It returns the frames that it was cut off from.
func (l *framedLayer) requestHeaders() (left frame.Set, err error) {
	body, indexSize, err := l.repo.fetchHeaders(l.ctx, l.descriptor)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	if indexSize != l.position.Size {
		return nil, fmt.Errorf("an index of %d bytes, the layer's descriptor says %d", indexSize, l.position.Size)
	}
	if err := l.readIndex(body); err != nil {
		return nil, err
	}
	follow, err := readExactly(body, int64(len(l.index.NewSet())))
	if err != nil {
		return nil, err
	}
	left = slices.Clone(follow)
	err = l.readFrames(body, follow, func(i int, stored []byte) error {
		left.Remove(i)
		return l.keep(i, stored)
	})
	if cutOff(err) {
		err = nil
	}
	return left, err
}

// refused reports whether a registry knows nothing of frames. A public one may
// refuse what it does not know: whether the blob may be read, is seen when it is.
func refused(err error) bool {
	return hasStatus(err, http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusUnauthorized, http.StatusForbidden)
}

// openIndex fetches the index.
func (l *framedLayer) openIndex() error {
	p := l.position
	if p.Offset < 0 || p.Size <= 0 || p.Offset > l.descriptor.Size-p.Size {
		return fmt.Errorf("an index of %d bytes at %d, the blob has %d: %w", p.Size, p.Offset, l.descriptor.Size, frame.ErrFormat)
	}
	return lazy.Persist(l.ctx, cutOff, func() (int, error) {
		return 0, l.repo.fetchRanges(l.ctx, l.descriptor, []byteRange{{p.Offset, p.Offset + p.Size}}, func(part byteRange, body io.Reader) error {
			if part.first != p.Offset {
				return fmt.Errorf("a part of the blob at %d, expected its index at %d", part.first, p.Offset)
			}
			return l.readIndex(body)
		})
	})
}

// readIndex reads the index, and verifies that it is the one which the blob's
// descriptor names, and describes what stands before it.
func (l *framedLayer) readIndex(body io.Reader) error {
	encoded, err := readExactly(body, l.position.Size)
	if err != nil {
		return err
	}
	if got := digest.FromBytes(encoded); got != l.position.Digest {
		return fmt.Errorf("an index with the digest %s, the layer's descriptor says %s", got, l.position.Digest)
	}
	if l.index, err = frame.Decode(encoded); err != nil {
		return err
	}
	if stored := l.index.StoredSize(); stored >= l.position.Offset {
		return fmt.Errorf("an index of %d bytes of frames, it stands at %d: %w", stored, l.position.Offset, frame.ErrFormat)
	}
	return nil
}

// readExactly reads n bytes, as they come.
func readExactly(r io.Reader, n int64) ([]byte, error) {
	var b bytes.Buffer
	_, err := io.CopyN(&b, r, n)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return b.Bytes(), err
}

// keep keeps a frame until it is read, and verified then.
func (l *framedLayer) keep(i int, stored []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fetched[l.index.At(i).Offset] = bytes.Clone(stored)
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
	n := 0
	err := lazy.Persist(l.ctx, cutOff, func() (_ int, err error) {
		n, err = l.repo.readBlobAt(l.ctx, l.descriptor, p, off)
		return 0, err
	})
	return n, err
}

// prefetch fetches the frames of some extents of the layer's content.
func (l *framedLayer) prefetch(ctx context.Context, extents []extent.Extent) error {
	missing := l.missing(extents)
	if missing == nil {
		return nil
	}
	return l.keepFrames(ctx, missing)
}

// keepFrames fetches frames, and goes on where that is cut off.
func (l *framedLayer) keepFrames(ctx context.Context, wanted frame.Set) error {
	left := slices.Clone(wanted)
	return lazy.Persist(ctx, cutOff, func() (brought int, err error) {
		err = l.Frames(ctx, slices.Clone(left), func(i int, stored []byte) error {
			left.Remove(i)
			brought++
			return l.keep(i, stored)
		})
		return brought, err
	})
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

// Frames sends frames of the layer: it is a [lazy.Source]. Frames that stand
// together are a range of the blob, which every registry serves. Others are asked
// for by their numbers, in one request, where the registry is one of ours.
func (l *framedLayer) Frames(ctx context.Context, wanted frame.Set, each func(i int, stored []byte) error) error {
	if l.plain.Load() || len(l.runs(wanted, narrowGap)) <= 1 {
		return l.rangedFrames(ctx, wanted, each)
	}
	body, err := l.repo.postWanted(ctx, l.descriptor, wanted)
	if refused(err) {
		l.plain.Store(true)
		return l.rangedFrames(ctx, wanted, each)
	}
	if err != nil {
		return err
	}
	defer body.Close()
	if err := l.readFrames(body, wanted, each); err != nil {
		return err
	}
	return drain(body) // so that the connection is used again
}

// readFrames passes the frames of a set, which a body holds in order, to each.
func (l *framedLayer) readFrames(body io.Reader, wanted frame.Set, each func(i int, stored []byte) error) error {
	var buffer []byte
	for i := range wanted.All() {
		if i >= l.index.Len() {
			return fmt.Errorf("frame %d: there are %d: %w", i, l.index.Len(), frame.ErrFormat)
		}
		var err error
		if buffer, err = l.readFrame(body, i, buffer); err != nil {
			return err
		}
		if err := each(i, buffer); err != nil {
			return err
		}
	}
	return nil
}

// readFrame reads a frame as it is stored, into a buffer if it has room.
func (l *framedLayer) readFrame(body io.Reader, i int, buffer []byte) ([]byte, error) {
	n := int(l.index.At(i).Size)
	if cap(buffer) < n {
		buffer = make([]byte, n)
	}
	if _, err := io.ReadFull(body, buffer[:n]); err != nil {
		return nil, fmt.Errorf("frame %d: %w", i, err)
	}
	return buffer[:n], nil
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
