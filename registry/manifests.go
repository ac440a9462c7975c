package registry

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/registry/metadata"
)

// maxTagParams is how many tags one push may set (distribution-spec: at least
// ten).
const maxTagParams = 100

// getManifest sends a manifest.
func (s *Server) getManifest(w http.ResponseWriter, r *http.Request, rt route) error {
	m, err := s.lookupManifest(r.Context(), rt, s.meta.Tagged, s.meta.Manifest)
	if err != nil {
		return err
	}
	h := w.Header()
	h[headerDigest] = []string{string(m.Digest)}
	h["Etag"] = []string{etag(m.Digest)}
	if matches(r.Header.Get("If-None-Match"), m.Digest) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	s.pulled(r, pull{rt, m.Digest, m.MediaType, m.Size, true})
	return writeBody(w, r, m.MediaType, m.Raw)
}

// headManifest is getManifest without the bytes, which are not even read.
func (s *Server) headManifest(w http.ResponseWriter, r *http.Request, rt route) error {
	m, err := s.lookupManifest(r.Context(), rt, s.meta.StatTagged, s.meta.StatManifest)
	if err != nil {
		return err
	}
	h := w.Header()
	h[headerDigest] = []string{string(m.Digest)}
	h["Etag"] = []string{etag(m.Digest)}
	h["Content-Type"] = []string{m.MediaType}
	h["Content-Length"] = []string{strconv.FormatInt(m.Size, 10)}
	w.WriteHeader(http.StatusOK)
	return nil
}

// lookupManifest looks up a manifest by tag or digest.
func (s *Server) lookupManifest(ctx context.Context, rt route,
	byTag func(context.Context, string, string) (metadata.Manifest, error),
	byDigest func(context.Context, string, digest.Digest) (metadata.Manifest, error),
) (metadata.Manifest, error) {
	if !isDigest(rt.reference) {
		if err := checkTag(rt.reference); err != nil {
			return metadata.Manifest{}, err
		}
		return byTag(ctx, rt.name, rt.reference)
	}
	d, err := parseDigest(rt.reference)
	if err != nil {
		return metadata.Manifest{}, err
	}
	return byDigest(ctx, rt.name, d)
}

// putManifest stores a manifest.
func (s *Server) putManifest(w http.ResponseWriter, r *http.Request, rt route) error {
	tags := r.URL.Query()["tag"]
	if len(tags) > maxTagParams {
		return &Error{Status: http.StatusRequestURITooLong, Code: CodeTagInvalid,
			Message: fmt.Sprintf("%d tags are too many for one push: at most %d are allowed", len(tags), maxTagParams)}
	}
	raw, err := s.readManifest(w, r)
	if err != nil {
		return err
	}
	m, err := s.PutManifest(r.Context(), rt.name, rt.reference, r.Header.Get("Content-Type"), raw, tags...)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Location", "/v2/"+rt.name+"/manifests/"+string(m.Digest))
	h[headerDigest] = []string{string(m.Digest)}
	if m.Subject != "" {
		h[headerSubject] = []string{string(m.Subject)}
	}
	if len(tags) > 0 {
		h[headerTag] = tags
	}
	w.WriteHeader(http.StatusCreated)
	return nil
}

// readManifest reads the body of a request, which has to be of a manifest's
// size.
func (s *Server) readManifest(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	tooLong := &Error{Status: http.StatusRequestEntityTooLarge, Code: CodeManifestInvalid,
		Message: fmt.Sprintf("the manifest is longer than the %d bytes allowed", maxManifest)}
	if r.ContentLength > maxManifest {
		return nil, tooLong
	}
	raw, err := io.ReadAll(io.LimitReader(s.body(w, r), maxManifest+1))
	if err != nil {
		return nil, manifestInvalid("the request broke off: %v", err)
	}
	if len(raw) > maxManifest {
		return nil, tooLong
	}
	return raw, nil
}

// PutManifest stores a manifest as a push would: checked, with its tags, and
// with OnManifest called. reference is a tag or the manifest's digest, tags are
// further ones. The error is an [Error] where the manifest is at fault. The
// actor of the tags' history is the context's: see [WithActor].
func (s *Server) PutManifest(ctx context.Context, repository, reference, mediaType string, raw []byte, tags ...string) (metadata.Manifest, error) {
	if err := checkName(repository); err != nil {
		return metadata.Manifest{}, err
	}
	m, refs, err := parseManifest(mediaType, raw)
	if err != nil {
		return metadata.Manifest{}, err
	}
	if m.Digest, err = manifestDigest(reference, raw); err != nil {
		return metadata.Manifest{}, err
	}
	if !isDigest(reference) {
		tags = append([]string{reference}, tags...)
	}
	for _, tag := range tags {
		if err := checkTag(tag); err != nil {
			return metadata.Manifest{}, err
		}
	}
	err = s.meta.PutManifest(ctx, metadata.ManifestPut{Repository: repository, Manifest: m, References: refs, Tags: tags, Actor: actorOf(ctx)})
	if err != nil {
		return metadata.Manifest{}, err
	}
	if s.onManifest != nil {
		s.onManifest(context.WithoutCancel(ctx), repository, m.Digest)
	}
	return m, nil
}

// manifestDigest returns the digest of a manifest, which is the reference's if
// that is one.
func manifestDigest(reference string, raw []byte) (digest.Digest, error) {
	if !isDigest(reference) {
		return digest.Canonical.FromBytes(raw), nil
	}
	want, err := parseDigest(reference)
	if err != nil {
		return "", err
	}
	if got := want.Algorithm().FromBytes(raw); got != want {
		return "", digestInvalid("the manifest has the digest %s, not %s", got, want)
	}
	return want, nil
}

// deleteManifest removes a tag, or a manifest with all its tags.
func (s *Server) deleteManifest(w http.ResponseWriter, r *http.Request, rt route) error {
	remove := s.deleteTag
	if isDigest(rt.reference) {
		remove = s.deleteByDigest
	}
	if err := remove(r.Context(), rt); err != nil {
		return err
	}
	w.WriteHeader(http.StatusAccepted)
	return nil
}

func (s *Server) deleteTag(ctx context.Context, rt route) error {
	if err := checkTag(rt.reference); err != nil {
		return err
	}
	return s.meta.DeleteTag(ctx, rt.name, rt.reference, actorOf(ctx))
}

func (s *Server) deleteByDigest(ctx context.Context, rt route) error {
	d, err := parseDigest(rt.reference)
	if err != nil {
		return err
	}
	return s.meta.DeleteManifest(ctx, rt.name, d, actorOf(ctx))
}
