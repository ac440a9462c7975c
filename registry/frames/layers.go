package frames

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/api"
	"github.com/cloudlets/cloudlets/blobstore/frame"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image/tarball"
	"github.com/cloudlets/cloudlets/registry"
)

// maxBits bounds a list of wanted frames, in bytes.
const maxBits = frame.MaxFrames / 8

// ServeLayers serves pieces of layers: it is a registry.ExtensionHandler.
func (h *Handler) ServeLayers(w http.ResponseWriter, r *http.Request, repository, rest string) error {
	name, part, _ := strings.Cut(rest, "/")
	serve := map[string]func(http.ResponseWriter, *http.Request, *framedLayer) error{
		http.MethodGet + " headers": h.getHeaders,
		http.MethodPost + " frames": h.postWanted,
	}[r.Method+" "+part]
	if serve == nil {
		return &registry.Error{Status: http.StatusNotFound, Code: registry.CodeUnsupported,
			Message: fmt.Sprintf("%s %s: expected GET …/<digest>/headers or POST …/<digest>/frames", r.Method, r.URL.Path)}
	}
	l, err := h.openLayer(r.Context(), repository, digest.Digest(name))
	if err != nil {
		return err
	}
	defer l.content.Close()
	return serve(w, r, l)
}

// framedLayer is a layer of frames, open for reading.
type framedLayer struct {
	digest  digest.Digest
	blob    extent.Blob // as stored
	content extent.Blob // the tar
	index   *frame.Index
}

func (h *Handler) openLayer(ctx context.Context, repository string, d digest.Digest) (*framedLayer, error) {
	if err := d.Validate(); err != nil {
		return nil, refuse(registry.CodeDigestInvalid, "layer %q: expected a digest", d)
	}
	if _, err := h.meta.Blob(ctx, repository, d); err != nil {
		return nil, err
	}
	blob, content, index, err := h.blobs.OpenFrames(ctx, d)
	if errors.Is(err, frame.ErrFormat) {
		return nil, &registry.Error{Status: http.StatusNotFound, Code: registry.CodeUnsupported, Cause: err,
			Message: fmt.Sprintf("layer %s is not made of frames: pull it whole", d)}
	}
	return &framedLayer{d, blob, content, index}, err
}

// getHeaders sends the index of a layer and the frames that hold tar headers.
func (h *Handler) getHeaders(w http.ResponseWriter, _ *http.Request, l *framedLayer) error {
	bits, err := h.headerFrames(l)
	if err != nil {
		return fmt.Errorf("find the headers of layer %s: %w", l.digest, err)
	}
	encoded := l.index.Encode()
	w.Header().Set(api.HeaderIndexSize, strconv.Itoa(len(encoded)))
	sendFrames(w, l, bits, encoded, bits)
	return nil
}

// postWanted sends the frames of a layer that a client asks for.
func (h *Handler) postWanted(w http.ResponseWriter, r *http.Request, l *framedLayer) error {
	bits, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBits))
	if err != nil {
		return refuse(registry.CodeSizeInvalid, "read the wanted frames: %v", err)
	}
	if want := len(l.index.NewSet()); len(bits) != want {
		return refuse(registry.CodeSizeInvalid, "the wanted frames are %d bytes: expected %d, one bit for each of %d frames", len(bits), want, l.index.Len())
	}
	sendFrames(w, l, bits)
	return nil
}

// sendFrames answers with what stands before the frames, and those of a set. A frame that cannot be read breaks the connection off, so that nobody
// takes what came for all; a client that is gone needs no answer.
func sendFrames(w http.ResponseWriter, l *framedLayer, wanted frame.Set, before ...[]byte) {
	w.Header().Set("Content-Type", api.MediaTypeFrames)
	out := bufio.NewWriterSize(w, 256<<10)
	for _, p := range before {
		_, _ = out.Write(p) // the writer keeps the error, and so it does below
	}
	stored := make([]byte, 0, frame.MaxContent)
	for i := range l.index.Len() {
		if !wanted.Has(i) {
			continue
		}
		f := l.index.At(i)
		stored = append(stored[:0], make([]byte, f.Size)...)
		if _, err := l.blob.ReadAt(stored, f.Offset); err != nil && !errors.Is(err, io.EOF) {
			panic(http.ErrAbortHandler)
		}
		if _, err := out.Write(stored); err != nil {
			return
		}
	}
	_ = out.Flush()
}

// headerFrames returns the frames of a layer that hold anything that is not a
// file's content.
func (h *Handler) headerFrames(l *framedLayer) (frame.Set, error) {
	if found, ok := h.headers.Get(l.digest); ok {
		return found, nil
	}
	found := l.index.NewSet()
	end := int64(0) // of the last content
	r := tarball.NewReaderAt(l.content, l.content.Size())
	for {
		e, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		for _, part := range e.Content {
			addOverlap(found, l.index, end, part.Offset)
			end = part.Offset + part.Length
		}
	}
	addOverlap(found, l.index, end, l.content.Size())
	h.headers.Add(l.digest, found, int64(len(found)))
	return found, nil
}

// addOverlap adds the frames that hold content between two offsets to a set.
func addOverlap(s frame.Set, x *frame.Index, from, to int64) {
	first, end := x.Overlap(from, to-from)
	for i := first; i < end; i++ {
		s.Add(i)
	}
}

var _ registry.ExtensionHandler = (*Handler)(nil).ServeLayers
