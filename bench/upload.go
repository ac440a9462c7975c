package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
)

// mediaTypeIndex is that of the manifests put here: an index that lists nothing
// needs nothing else to be pushed.
const (
	mediaTypeIndex = "application/vnd.oci.image.index.v1+json"
	emptyIndex     = `{"schemaVersion":2,"mediaType":"` + mediaTypeIndex + `","manifests":[]}`
)

func digestOf(content []byte) string {
	sum := sha256.Sum256(content)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func digestOfFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil)), nil
}

// request sends a request and returns the header of its answer, which has to
// have the status wanted.
func request(ctx context.Context, method, address, mediaType string, body io.Reader, length int64, want int) (http.Header, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, body)
	if err != nil {
		return nil, err
	}
	req.ContentLength = length
	if mediaType != "" {
		req.Header.Set("Content-Type", mediaType)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != want {
		said, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
		return nil, fmt.Errorf("%s %s: %s: %s", method, address, resp.Status, said)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.Header, err
}

// uploadFile uploads a file as a blob the way clients do: POST, one PATCH with
// all the bytes, PUT.
func (p *process) uploadFile(ctx context.Context, repository, digest, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return p.uploadBlob(ctx, repository, digest, f, info.Size())
}

func (p *process) uploadBlob(ctx context.Context, repository, digest string, content io.Reader, size int64) error {
	began, err := request(ctx, http.MethodPost, p.url("/v2/"+repository+"/blobs/uploads/"), "", http.NoBody, 0, http.StatusAccepted)
	if err != nil {
		return err
	}
	place, err := p.location(began)
	if err != nil {
		return err
	}
	sent, err := request(ctx, http.MethodPatch, place.String(), "application/octet-stream", content, size, http.StatusAccepted)
	if err != nil {
		return err
	}
	if place, err = p.location(sent); err != nil {
		return err
	}
	q := place.Query()
	q.Set("digest", digest)
	place.RawQuery = q.Encode()
	_, err = request(ctx, http.MethodPut, place.String(), "", http.NoBody, 0, http.StatusCreated)
	return err
}

// location returns where an upload goes on.
func (p *process) location(h http.Header) (*url.URL, error) {
	base, err := url.Parse(p.url("/"))
	if err != nil {
		return nil, err
	}
	return base.Parse(h.Get("Location"))
}

// putManifest puts a manifest under a reference.
func (p *process) putManifest(ctx context.Context, repository, reference, mediaType string, content []byte) error {
	_, err := request(ctx, http.MethodPut, p.url("/v2/"+repository+"/manifests/"+reference), mediaType,
		bytes.NewReader(content), int64(len(content)), http.StatusCreated)
	return err
}
