package registry

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/blobstore"
)

// octetStream is the media type of a blob as such: only manifests know another.
const octetStream = "application/octet-stream"

// getBlob sends a blob, or a range of it.
func (s *Server) getBlob(w http.ResponseWriter, r *http.Request, rt route) error {
	d, err := parseDigest(rt.reference)
	if err != nil {
		return err
	}
	record, err := s.meta.Blob(r.Context(), rt.name, d)
	if err != nil {
		return err
	}
	setBlobHeader(w, record)
	if matches(r.Header.Get("If-None-Match"), d) {
		w.WriteHeader(http.StatusNotModified)
		return nil
	}
	part, outcome := requestedSpan(r, record)
	if outcome == rangeUnsatisfiable {
		return unsatisfiable(w, r, record)
	}
	s.pulled(r, pull{rt, d, octetStream, record.Size, false})
	if gone, err := s.redirect(w, r, record, outcome); gone || err != nil {
		return err
	}
	return s.sendBlob(w, r, record, part, outcome)
}

// sendBlob opens a blob and sends the part of it.
func (s *Server) sendBlob(w http.ResponseWriter, r *http.Request, record blobstore.Record, part span, outcome rangeOutcome) error {
	blob, err := s.blobs.OpenRecord(r.Context(), record)
	if err != nil {
		clearBlobHeader(w)
		return err
	}
	defer blob.Close()
	h := w.Header()
	h["Content-Length"] = []string{strconv.FormatInt(part.length(), 10)}
	status := http.StatusOK
	if outcome == rangePartial {
		status = http.StatusPartialContent
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", part.first, part.last, record.Size))
	}
	w.WriteHeader(status)
	if err := s.send(r.Context(), w, blob, part); err != nil {
		// The header is out. What is left is to end the connection, so that
		// the client does not take what it has for the whole.
		s.blobs.Suspect(record.Digest, err)
		s.log.Log(r.Context(), sendLevel(r, err), "blob not sent whole", "path", r.URL.Path, "error", err)
		panic(http.ErrAbortHandler)
	}
	return nil
}

// sendLevel is the level to log a failed transfer at: clients go away all the
// time, storage should not.
func sendLevel(r *http.Request, err error) slog.Level {
	gone := r.Context().Err() != nil || errors.Is(err, os.ErrDeadlineExceeded) ||
		errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)
	if gone {
		return slog.LevelDebug
	}
	return slog.LevelError
}

// headBlob says whether a repository holds a blob. A client may decide by it not
// to upload the blob, so the answer is a promise.
func (s *Server) headBlob(w http.ResponseWriter, r *http.Request, rt route) error {
	d, err := parseDigest(rt.reference)
	if err != nil {
		return err
	}
	record, err := s.meta.PromiseBlob(r.Context(), rt.name, d)
	if err != nil {
		return err
	}
	setBlobHeader(w, record)
	w.Header()["Content-Length"] = []string{strconv.FormatInt(record.Size, 10)}
	w.WriteHeader(http.StatusOK)
	return nil
}

func setBlobHeader(w http.ResponseWriter, record blobstore.Record) {
	h := w.Header()
	h["Content-Type"] = []string{octetStream}
	h["Accept-Ranges"] = []string{"bytes"}
	h[headerDigest] = []string{string(record.Digest)}
	h["Etag"] = []string{etag(record.Digest)}
}

// clearBlobHeader takes back what setBlobHeader has set, for an error instead.
func clearBlobHeader(w http.ResponseWriter) {
	for _, key := range []string{"Accept-Ranges", headerDigest, "Etag"} {
		w.Header().Del(key)
	}
}

// requestedSpan returns the part of a blob that a request asks for.
func requestedSpan(r *http.Request, record blobstore.Record) (span, rangeOutcome) {
	all := span{0, record.Size - 1}
	header := r.Header.Get("Range")
	if header == "" {
		return all, rangeNone
	}
	// A range that depends on another version of the content asks for all of it
	// (RFC 9110, section 13.1.5).
	if condition := r.Header.Get("If-Range"); condition != "" && condition != etag(record.Digest) {
		return all, rangeNone
	}
	part, outcome := parseRange(header, record.Size)
	if outcome == rangeNone {
		return all, rangeNone
	}
	return part, outcome
}

func unsatisfiable(w http.ResponseWriter, r *http.Request, record blobstore.Record) error {
	clearBlobHeader(w)
	w.Header().Set("Content-Range", fmt.Sprintf("bytes */%d", record.Size))
	return &Error{Status: http.StatusRequestedRangeNotSatisfiable, Code: CodeSizeInvalid,
		Message: fmt.Sprintf("the range %q is not within the %d bytes of the blob", r.Header.Get("Range"), record.Size)}
}

// etag is the entity tag of content: its digest.
func etag(d digest.Digest) string { return `"` + string(d) + `"` }

// matches says whether an If-None-Match header names content (RFC 9110, section
// 13.1.2).
func matches(header string, d digest.Digest) bool {
	if header == "" {
		return false
	}
	for tag := range strings.SplitSeq(header, ",") {
		tag = strings.TrimPrefix(strings.TrimSpace(tag), "W/")
		if tag == "*" || tag == etag(d) {
			return true
		}
	}
	return false
}

// deleteBlob takes a blob out of a repository.
func (s *Server) deleteBlob(w http.ResponseWriter, r *http.Request, rt route) error {
	d, err := parseDigest(rt.reference)
	if err != nil {
		return err
	}
	if err := s.meta.RemoveBlob(r.Context(), rt.name, d); err != nil {
		return err
	}
	w.WriteHeader(http.StatusAccepted)
	return nil
}
