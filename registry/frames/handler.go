package frames

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/api"
	"github.com/cloudlets/cloudlets/blobstore"
	"github.com/cloudlets/cloudlets/blobstore/cache"
	"github.com/cloudlets/cloudlets/blobstore/frame"
	"github.com/cloudlets/cloudlets/registry"
	"github.com/cloudlets/cloudlets/registry/metadata"
)

// maxIndex bounds the index of a layer that is offered, in bytes: 250 GiB of
// content in full frames.
const maxIndex = 80 << 20

// Handler serves the frames extension.
type Handler struct {
	blobs *blobstore.Store
	meta  *metadata.Store
	// headers says of layers which frames hold headers; see headerFrames.
	headers *cache.Cache[digest.Digest, frame.Set]
}

// headersBudget bounds what is remembered of layers, in bytes: some hundred
// large ones.
const headersBudget = 1 << 20

// New returns a handler for the repositories of a registry.
func New(blobs *blobstore.Store, meta *metadata.Store) *Handler {
	return &Handler{blobs: blobs, meta: meta, headers: cache.New[digest.Digest, frame.Set](headersBudget)}
}

var _ registry.ExtensionHandler = (*Handler)(nil).ServeExtension

// ServeExtension serves the paths of the extension: it is a
// registry.ExtensionHandler.
func (h *Handler) ServeExtension(w http.ResponseWriter, r *http.Request, repository, rest string) error {
	if rest == "" && r.Method == http.MethodGet {
		elders, err := h.elders(r.Context(), repository)
		if err != nil {
			return err
		}
		return registry.WriteJSON(w, http.StatusOK, api.Elders{Blobs: len(elders)})
	}
	d := digest.Digest(rest)
	if err := d.Validate(); err != nil || d.Algorithm() != digest.SHA256 {
		return refuse(registry.CodeDigestInvalid, "layer %q: expected a sha256 digest", rest)
	}
	switch r.Method {
	case http.MethodPost:
		return h.postOffer(w, r, repository, d)
	case http.MethodPut:
		return h.putFrames(w, r, repository, d)
	}
	return &registry.Error{Status: http.StatusMethodNotAllowed, Code: registry.CodeUnsupported,
		Message: r.Method + " is not possible here: expected POST or PUT"}
}

// postOffer says which frames of a layer are missing.
func (h *Handler) postOffer(w http.ResponseWriter, r *http.Request, repository string, d digest.Digest) error {
	if _, err := h.meta.PromiseBlob(r.Context(), repository, d); err == nil {
		return registry.WriteJSON(w, http.StatusOK, api.Offer{Exists: true, Missing: []api.FrameRange{}})
	}
	encoded, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxIndex))
	if err != nil {
		return refuse(registry.CodeSizeInvalid, "read the frame index: %v", err)
	}
	x, err := frame.Decode(encoded)
	if err != nil {
		return refuse(registry.CodeBlobUploadInvalid, "%v", err)
	}
	places, err := h.find(r.Context(), repository, x)
	if err != nil {
		return err
	}
	return registry.WriteJSON(w, http.StatusOK, offer(x, places))
}

// putFrames takes the missing frames of a layer and puts the layer together.
func (h *Handler) putFrames(w http.ResponseWriter, r *http.Request, repository string, d digest.Digest) error {
	size, err := strconv.ParseInt(r.Header.Get(api.HeaderIndexSize), 10, 64)
	if err != nil || size <= 0 || size > maxIndex {
		return refuse(registry.CodeSizeInvalid, "header %s %q: expected the length of the index, at most %d",
			api.HeaderIndexSize, r.Header.Get(api.HeaderIndexSize), maxIndex)
	}
	var encoded bytes.Buffer
	if _, err := io.CopyN(&encoded, r.Body, size); err != nil {
		return answer(fmt.Errorf("%w: read the frame index: %w", errBody, err))
	}
	x, err := frame.Decode(encoded.Bytes())
	if err != nil {
		return refuse(registry.CodeBlobUploadInvalid, "%v", err)
	}
	record, err := h.compose(r.Context(), repository, d, x, r.Body)
	if err != nil {
		return answer(err)
	}
	w.Header().Set("Location", "/v2/"+repository+"/blobs/"+d.String())
	return registry.WriteJSON(w, http.StatusCreated, api.Blob{Digest: d, Size: record.Size})
}

// errBody says that the body of a request is not what it should be.
var errBody = errors.New("invalid body")

// answer turns an error into the registry's words.
func answer(err error) error {
	var answered *registry.Error
	switch {
	case errors.As(err, &answered): // such as that of a quota
		return answered
	case errors.Is(err, blobstore.ErrDigestMismatch):
		return &registry.Error{Status: http.StatusBadRequest, Code: registry.CodeDigestInvalid, Message: err.Error(), Cause: err}
	case errors.Is(err, errBody):
		return &registry.Error{Status: http.StatusBadRequest, Code: registry.CodeBlobUploadInvalid, Message: err.Error(), Cause: err}
	}
	return err
}

func refuse(code, format string, args ...any) error {
	return &registry.Error{Status: http.StatusBadRequest, Code: code, Message: fmt.Sprintf(format, args...)}
}
