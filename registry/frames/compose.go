package frames

import (
	"bufio"
	"context"
	"crypto/sha256"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/blobstore"
	"github.com/cloudlets/cloudlets/blobstore/frame"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/registry/scrub"
)

// compose stores the layer that an index describes: the frames in body as one
// new object, and the layer as a map over that and older layers. The layer must
// have the digest d.
func (h *Handler) compose(ctx context.Context, repository string, d digest.Digest, x *frame.Index, body io.Reader) (blobstore.Record, error) {
	places, err := h.find(ctx, repository, x)
	if err != nil {
		return blobstore.Record{}, err
	}
	pack, err := h.storePack(ctx, repository, x, places, body)
	if err != nil {
		return blobstore.Record{}, err
	}
	m, err := layerMap(x, places, pack)
	if err != nil {
		return blobstore.Record{}, err
	}
	if m, err = h.blobs.Flatten(ctx, m); err != nil {
		return blobstore.Record{}, err
	}
	record, err := h.blobs.SealMap(ctx, m, d, nil)
	if err != nil {
		return blobstore.Record{}, err
	}
	return scrub.Commit(ctx, h.blobs, h.meta, repository, record, nil)
}

// storePack stores the frames of a body, and what follows the frames of the
// layer, as a blob. The places of those frames become their places in it.
func (h *Handler) storePack(ctx context.Context, repository string, x *frame.Index, places []place, body io.Reader) (blobstore.Record, error) {
	record, err := h.blobs.Write(ctx, "", func(w *blobstore.Writer) error { return writePack(w, x, places, body) })
	if err != nil {
		return blobstore.Record{}, err
	}
	for i := range places {
		if places[i].blob == "" {
			places[i].blob = record.Digest
		}
	}
	return scrub.Commit(ctx, h.blobs, h.meta, repository, record, nil)
}

// writePack writes the frames that a body has, each verified, and the trailer
// of the layer. It clears the blob of their places and sets the offset.
func writePack(w *blobstore.Writer, x *frame.Index, places []place, body io.Reader) error {
	r := bufio.NewReaderSize(body, 256<<10)
	sent := x.NewSet()
	if _, err := io.ReadFull(r, sent); err != nil {
		return fmt.Errorf("%w: which frames follow: %w", errBody, err)
	}
	buffer := make([]byte, 0, frame.MaxContent)
	for i := range places {
		if !sent.Has(i) {
			if places[i].blob == "" {
				return fmt.Errorf("%w: frame %d is neither sent nor held by the repository: offer the index again", errBody, i)
			}
			continue
		}
		f := x.At(i)
		buffer = append(buffer[:0], make([]byte, f.Size)...)
		if _, err := io.ReadFull(r, buffer); err != nil {
			return fmt.Errorf("%w: frame %d: %w", errBody, i, err)
		}
		if sha256.Sum256(buffer) != f.Digest {
			return fmt.Errorf("%w: frame %d does not have the digest that the index says", errBody, i)
		}
		places[i] = place{offset: w.Size()}
		if _, err := w.Write(buffer); err != nil {
			return err
		}
	}
	if _, err := r.ReadByte(); err != io.EOF {
		return fmt.Errorf("%w: there is more after the last frame", errBody)
	}
	trailer, _ := x.Trailer()
	_, err := w.Write(trailer)
	return err
}

// layerMap returns the map of a layer whose frames have their places and whose
// trailer ends the pack.
func layerMap(x *frame.Index, places []place, pack blobstore.Record) (*extent.Map, error) {
	var b extent.Builder
	for i, p := range places {
		b.Source(extent.Digest(p.blob), p.offset, x.At(i).Size)
	}
	trailer, _ := x.Trailer()
	size := int64(len(trailer))
	b.Source(extent.Digest(pack.Digest), pack.Size-size, size)
	return b.Build()
}
