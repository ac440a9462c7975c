package client

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"strconv"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cloudlets/cloudlets/api"
	"github.com/cloudlets/cloudlets/blobstore/frame"
	"github.com/cloudlets/cloudlets/image"
	"github.com/cloudlets/cloudlets/image/cloudlet"
	"github.com/cloudlets/cloudlets/image/tarball"
)

// layer is a layer as it was written: what its descriptor and the image's
// config say of it.
type layer struct {
	descriptor ocispec.Descriptor
	diffID     digest.Digest
	index      *frame.Index
	newest     time.Time // the latest modification time of any file
	manifest   []byte    // the cloudlet manifest in it, if any
}

// tarLayer has a tar written as a layer.
func tarLayer(tar io.Reader) layerWriter {
	return func(w io.Writer) (*layer, error) { return writeLayer(tar, w) }
}

// writeLayer writes a tar as a layer of frames to w.
func writeLayer(tar io.Reader, w io.Writer) (*layer, error) {
	var look scout
	l, err := writeFramed(w, func(frames *frame.Writer, content hash.Hash) error {
		return tarball.Cut(io.TeeReader(tar, content), frames, look.visit)
	})
	if err != nil {
		return nil, err
	}
	if err := look.check(); err != nil {
		return nil, err
	}
	l.descriptor.MediaType = ocispec.MediaTypeImageLayerZstd
	l.newest, l.manifest = look.newest, look.manifest.Bytes()
	return l, nil
}

// writeFramed writes a blob of frames to w. fill writes the content to frames,
// and to the hash.
func writeFramed(w io.Writer, fill func(frames *frame.Writer, content hash.Hash) error) (*layer, error) {
	stored := newHashWriter(w)
	frames, err := frame.NewWriter(stored)
	if err != nil {
		return nil, err
	}
	content := sha256.New()
	fillErr := fill(frames, content)
	index, pos, err := frames.Close()
	if err := errors.Join(fillErr, err); err != nil {
		return nil, err
	}
	return &layer{
		descriptor: ocispec.Descriptor{
			Digest: stored.digest(),
			Size:   stored.n,
			Annotations: map[string]string{
				api.AnnotationFramesOffset: strconv.FormatInt(pos.Offset, 10),
				api.AnnotationFramesSize:   strconv.FormatInt(pos.Size, 10),
				api.AnnotationFramesDigest: pos.Digest.String(),
			},
		},
		diffID: digest.NewDigest(digest.SHA256, content),
		index:  index,
	}, nil
}

// scout looks at the entries of a tar as they pass.
type scout struct {
	changes  image.Changes
	newest   time.Time
	manifest bytes.Buffer
}

// check finds what is wrong with the entries taken together: hard links to
// nowhere, files in what is not a directory.
func (s *scout) check() error {
	_, err := image.MergeChanges([]*image.Changes{&s.changes})
	return err
}

func (s *scout) visit(e *tarball.Entry) (io.Writer, error) {
	if err := s.changes.Add(e); err != nil {
		return nil, err
	}
	if e.ModTime.After(s.newest) {
		s.newest = e.ModTime
	}
	if e.Path != image.ManifestPath || !e.IsRegular() {
		return nil, nil
	}
	if e.Size > cloudlet.MaxManifestSize {
		return nil, fmt.Errorf("the cloudlet manifest /%s has %d bytes, at most %d are allowed",
			image.ManifestPath, e.Size, cloudlet.MaxManifestSize)
	}
	s.manifest.Reset() // a later entry of the same name wins, as in tar
	return &s.manifest, nil
}

// hashWriter writes and hashes.
type hashWriter struct {
	w    io.Writer
	hash digest.Digester
	n    int64
}

func newHashWriter(w io.Writer) *hashWriter {
	return &hashWriter{w: w, hash: digest.SHA256.Digester()}
}

func (h *hashWriter) Write(p []byte) (int, error) {
	n, err := h.w.Write(p)
	h.hash.Hash().Write(p[:n])
	h.n += int64(n)
	return n, err
}

func (h *hashWriter) digest() digest.Digest { return h.hash.Digest() }
