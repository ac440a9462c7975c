package registry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/opencontainers/go-digest"
	specs "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cloudlets/cloudlets/api"
	"github.com/cloudlets/cloudlets/registry/metadata"
)

// Media types of layers that stand elsewhere.
const (
	mediaTypeDockerForeign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"
	prefixNonDistributable = "application/vnd.oci.image.layer.nondistributable."
)

// maxManifest is how long a manifest may be in bytes (distribution-spec,
// section Pushing Manifests: at least 4 MiB).
const maxManifest = 4 << 20

// manifestDocument is what of a manifest or an index decides anything here. The
// rest is kept but not looked at.
type manifestDocument struct {
	SchemaVersion int                  `json:"schemaVersion"`
	MediaType     string               `json:"mediaType"`
	ArtifactType  string               `json:"artifactType"`
	Config        *manifestDescriptor  `json:"config"`
	Layers        []manifestDescriptor `json:"layers"`
	Manifests     []manifestDescriptor `json:"manifests"`
	Subject       *manifestDescriptor  `json:"subject"`
}

type manifestDescriptor struct {
	MediaType string   `json:"mediaType"`
	Digest    string   `json:"digest"`
	Size      int64    `json:"size"`
	URLs      []string `json:"urls"`
}

// parseManifest reads a manifest or index of the given media type, which may be
// empty where the document names its own. Digest is left to the caller.
func parseManifest(mediaType string, raw []byte) (metadata.Manifest, []metadata.Reference, error) {
	var doc manifestDocument
	if err := decodeStrictly(raw, &doc); err != nil {
		return metadata.Manifest{}, nil, manifestInvalid("the manifest is not valid JSON: %v", err)
	}
	mediaType, _, _ = strings.Cut(mediaType, ";")
	mediaType = strings.TrimSpace(mediaType)
	if mediaType == "" {
		mediaType = doc.MediaType
	}
	if err := doc.check(mediaType); err != nil {
		return metadata.Manifest{}, nil, err
	}
	refs, err := doc.references()
	if err != nil {
		return metadata.Manifest{}, nil, err
	}
	m := metadata.Manifest{MediaType: mediaType, ArtifactType: doc.ArtifactType, Size: int64(len(raw)), Raw: raw}
	if m.ArtifactType == "" && doc.Config != nil {
		m.ArtifactType = doc.Config.MediaType
	}
	if doc.Subject != nil {
		if m.Subject, err = doc.Subject.digest("subject"); err != nil {
			return metadata.Manifest{}, nil, err
		}
	}
	return m, refs, nil
}

// ParseManifest reads a manifest or index that was accepted before: what it is
// and what it refers to. Its digest is the one given, of any algorithm.
func ParseManifest(d digest.Digest, mediaType string, raw []byte) (metadata.Manifest, []metadata.Reference, error) {
	m, refs, err := parseManifest(mediaType, raw)
	if err != nil {
		return metadata.Manifest{}, nil, err
	}
	m.Digest, err = manifestDigest(string(d), raw)
	return m, refs, err
}

// decodeStrictly decodes one JSON value with nothing after it.
func decodeStrictly(raw []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("there is something after its end")
	}
	return nil
}

// check says whether the document is one of its media type. A document that
// could be read as two kinds is refused (CVE-2021-41190).
func (doc *manifestDocument) check(mediaType string) error {
	if doc.SchemaVersion != 2 {
		return manifestInvalid("the manifest has schemaVersion %d, expected 2", doc.SchemaVersion)
	}
	if doc.MediaType != "" && doc.MediaType != mediaType {
		return manifestInvalid("the manifest says that its mediaType is %q, the request that it is %q: they must be the same", doc.MediaType, mediaType)
	}
	switch mediaType {
	case specs.MediaTypeImageManifest, api.MediaTypeDockerManifest:
		if doc.Config == nil {
			return manifestInvalid("the manifest has no config")
		}
		if doc.Manifests != nil {
			return manifestInvalid("the manifest has both a config and a list of manifests")
		}
	case specs.MediaTypeImageIndex, api.MediaTypeDockerList:
		if doc.Config != nil || doc.Layers != nil {
			return manifestInvalid("the index has a config or layers: only manifests have")
		}
	default:
		return manifestInvalid("the media type %q is not supported: expected an OCI or Docker schema 2 manifest or index, such as %s",
			mediaType, specs.MediaTypeImageManifest)
	}
	return nil
}

// references returns what the document refers to, besides the subject.
func (doc *manifestDocument) references() ([]metadata.Reference, error) {
	refs := make([]metadata.Reference, 0, 1+len(doc.Layers)+len(doc.Manifests))
	if doc.Config != nil {
		d, err := doc.Config.digest("config")
		if err != nil {
			return nil, err
		}
		refs = append(refs, doc.Config.reference(d, metadata.RefConfig, false))
	}
	for i, l := range doc.Layers {
		d, err := l.digest(fmt.Sprintf("layers[%d]", i))
		if err != nil {
			return nil, err
		}
		refs = append(refs, l.reference(d, metadata.RefLayer, l.nonDistributable()))
	}
	for i, c := range doc.Manifests {
		d, err := c.digest(fmt.Sprintf("manifests[%d]", i))
		if err != nil {
			return nil, err
		}
		refs = append(refs, c.reference(d, metadata.RefChild, true))
	}
	return refs, nil
}

// digest returns the descriptor's digest. where names it in errors.
func (d *manifestDescriptor) digest(where string) (digest.Digest, error) {
	if d.Size < 0 {
		return "", manifestInvalid("%s has the size %d: it cannot be negative", where, d.Size)
	}
	parsed, err := parseDigest(d.Digest)
	if err != nil {
		return "", manifestInvalid("%s: %s", where, asError(err).Message)
	}
	return parsed, nil
}

func (d *manifestDescriptor) reference(parsed digest.Digest, kind metadata.RefKind, sparse bool) metadata.Reference {
	return metadata.Reference{Digest: parsed, Kind: kind, Sparse: sparse, MediaType: d.MediaType, Size: d.Size}
}

// nonDistributable says whether a layer may be kept elsewhere only.
func (d *manifestDescriptor) nonDistributable() bool {
	return len(d.URLs) > 0 || d.MediaType == mediaTypeDockerForeign || strings.HasPrefix(d.MediaType, prefixNonDistributable)
}
