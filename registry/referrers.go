package registry

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cloudlets/cloudlets/registry/metadata"
)

// getReferrers lists the manifests whose subject is a digest, as an index. A
// subject that nobody refers to, or that does not exist, has an empty list.
func (s *Server) getReferrers(w http.ResponseWriter, r *http.Request, rt route) error {
	subject, err := parseDigest(rt.reference)
	if err != nil {
		return err
	}
	q := r.URL.Query()
	p, err := parsePage(q)
	if err != nil {
		return err
	}
	artifactType := q.Get("artifactType")
	found, more, err := s.meta.Referrers(r.Context(), rt.name, subject, artifactType, digest.Digest(p.last), p.n)
	if err != nil {
		return err
	}
	index := ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageIndex,
		Manifests: make([]ocispec.Descriptor, 0, len(found)),
	}
	for _, m := range found {
		d, err := describe(m)
		if err != nil {
			return err
		}
		index.Manifests = append(index.Manifests, d)
	}
	if artifactType != "" {
		w.Header()[headerFilters] = []string{"artifactType"}
	}
	if more && len(found) > 0 {
		next := url.Values{}
		if artifactType != "" {
			next.Set("artifactType", artifactType)
		}
		setNext(w, r.URL.Path, next, p, string(found[len(found)-1].Digest))
	}
	return writeJSON(w, r, ocispec.MediaTypeImageIndex, index)
}

// describe returns the descriptor that stands for a manifest in a list of
// referrers (distribution-spec, section Listing Referrers).
func describe(m metadata.Manifest) (ocispec.Descriptor, error) {
	var doc struct {
		Annotations map[string]string `json:"annotations"`
	}
	if err := json.Unmarshal(m.Raw, &doc); err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("read annotations of manifest %s: %w", m.Digest, err)
	}
	return ocispec.Descriptor{
		MediaType:    m.MediaType,
		Digest:       m.Digest,
		Size:         m.Size,
		ArtifactType: m.ArtifactType,
		Annotations:  doc.Annotations,
	}, nil
}
