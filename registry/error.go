package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/blobstore"
	"github.com/cloudlets/cloudlets/registry/metadata"
)

// Codes of errors (distribution-spec, section Error Codes), and the ones that
// Docker's registry has added to them.
const (
	CodeBlobUnknown         = "BLOB_UNKNOWN"
	CodeBlobUploadInvalid   = "BLOB_UPLOAD_INVALID"
	CodeBlobUploadUnknown   = "BLOB_UPLOAD_UNKNOWN"
	CodeDenied              = "DENIED"
	CodeDigestInvalid       = "DIGEST_INVALID"
	CodeManifestBlobUnknown = "MANIFEST_BLOB_UNKNOWN"
	CodeManifestInvalid     = "MANIFEST_INVALID"
	CodeManifestUnknown     = "MANIFEST_UNKNOWN"
	CodeNameInvalid         = "NAME_INVALID"
	CodeNameUnknown         = "NAME_UNKNOWN"
	CodePaginationInvalid   = "PAGINATION_NUMBER_INVALID"
	CodeSizeInvalid         = "SIZE_INVALID"
	CodeTagInvalid          = "TAG_INVALID"
	CodeTooManyRequests     = "TOOMANYREQUESTS"
	CodeUnauthorized        = "UNAUTHORIZED"
	CodeUnavailable         = "UNAVAILABLE"
	CodeUnknown             = "UNKNOWN"
	CodeUnsupported         = "UNSUPPORTED"
)

// Error is an answer that says what was wrong. A handler that returns one has
// it written in the specification's JSON.
type Error struct {
	Status  int    // of HTTP
	Code    string // one of the codes above
	Message string // what was expected, what was found, what to do
	Detail  any    // encodes as JSON, or nil
	Cause   error  // for errors.Is, or nil
	// Header is sent with the answer, such as WWW-Authenticate; or nil.
	Header http.Header
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

func nameInvalid(format string, args ...any) error {
	return &Error{Status: http.StatusBadRequest, Code: CodeNameInvalid, Message: fmt.Sprintf(format, args...)}
}

func digestInvalid(format string, args ...any) error {
	return &Error{Status: http.StatusBadRequest, Code: CodeDigestInvalid, Message: fmt.Sprintf(format, args...)}
}

func manifestInvalid(format string, args ...any) error {
	return &Error{Status: http.StatusBadRequest, Code: CodeManifestInvalid, Message: fmt.Sprintf(format, args...)}
}

func uploadInvalid(format string, args ...any) error {
	return &Error{Status: http.StatusBadRequest, Code: CodeBlobUploadInvalid, Message: fmt.Sprintf(format, args...)}
}

// retryAfter is how many seconds a client should wait where the registry is busy.
const retryAfter = "5"

// statusClientClosed is for the log only: the client is gone before its answer.
const statusClientClosed = 499

// asError finds the answer for any error.
func asError(err error) *Error {
	var answer *Error
	var missing *metadata.MissingError
	var mismatch *blobstore.MismatchError
	var held *metadata.HeldError
	var quarantined *metadata.QuarantineError
	switch {
	case errors.As(err, &answer):
		return answer
	case errors.As(err, &missing):
		return &Error{Status: http.StatusBadRequest, Code: CodeManifestBlobUnknown, Cause: err, Detail: missing.Digests,
			Message: missing.Error() + ": push them before the manifest"}
	case errors.As(err, &quarantined):
		// Not found, so that whoever pushes it uploads it, which repairs it.
		return &Error{Status: http.StatusNotFound, Code: CodeBlobUnknown, Cause: err, Detail: quarantineDetail(quarantined),
			Message: "the blob is damaged here and is not served: push it again, which repairs it, or ask those who run the registry"}
	case errors.As(err, &mismatch):
		return &Error{Status: http.StatusBadRequest, Code: CodeDigestInvalid, Cause: err, Message: mismatch.Error()}
	case errors.As(err, &held):
		return &Error{Status: http.StatusForbidden, Code: CodeDenied, Cause: err, Message: held.Error()}
	case isFull(err):
		return &Error{Status: http.StatusInsufficientStorage, Code: CodeUnavailable, Cause: err,
			Message: "the registry has no space left: nothing was stored, try again once there is"}
	case errors.Is(err, context.Canceled):
		return &Error{Status: statusClientClosed, Code: CodeUnknown, Cause: err, Message: "the client went away"}
	}
	for _, known := range knownErrors {
		if errors.Is(err, known.err) {
			return &Error{Status: known.status, Code: known.code, Message: known.message, Cause: err}
		}
	}
	return &Error{Status: http.StatusInternalServerError, Code: CodeUnknown, Cause: err,
		Message: "the registry failed: its log says more"}
}

// knownErrors are the answers to the errors of the rooms below.
var knownErrors = []struct {
	err     error
	status  int
	code    string
	message string
}{
	{metadata.ErrRepositoryUnknown, http.StatusNotFound, CodeNameUnknown, "there is no such repository"},
	{metadata.ErrManifestUnknown, http.StatusNotFound, CodeManifestUnknown, "the repository holds no such manifest or tag"},
	{metadata.ErrBlobUnknown, http.StatusNotFound, CodeBlobUnknown, "the repository holds no such blob"},
	{metadata.ErrUploadUnknown, http.StatusNotFound, CodeBlobUploadUnknown, "there is no such upload, or it has expired: begin a new one"},
	{metadata.ErrRenderUnknown, http.StatusNotFound, CodeManifestUnknown, "there is no such render"},
	{metadata.ErrInUse, http.StatusConflict, CodeDenied, "a manifest of the repository refers to the blob: delete the manifest first"},
	{metadata.ErrConflict, http.StatusRequestedRangeNotSatisfiable, CodeBlobUploadInvalid,
		"another request changed the upload meanwhile: ask for its status and go on from there"},
	{blobstore.ErrDamaged, http.StatusServiceUnavailable, CodeUnavailable,
		"the blob cannot be read and is being verified: try again in a little while"},
	{blobstore.ErrTooLarge, http.StatusRequestEntityTooLarge, CodeSizeInvalid,
		"the blob is larger than can be stored here: its parts would have to be larger, which the server's settings say"},
	{blobstore.ErrBusy, http.StatusServiceUnavailable, CodeUnavailable,
		"the store is busy or does not answer just now: try again in a little while"},
	{metadata.ErrUnavailable, http.StatusServiceUnavailable, CodeUnavailable,
		"the database does not answer just now: try again in a little while"},
	{metadata.ErrUncertain, http.StatusServiceUnavailable, CodeUnavailable,
		"the database went away while it was told: it may have happened or not, look or try again"},
	{os.ErrDeadlineExceeded, http.StatusRequestTimeout, CodeBlobUploadInvalid, "nothing was received for too long"},
}

// quarantineDetail is what clients are told of a blob in quarantine: not where it
// is kept.
func quarantineDetail(e *metadata.QuarantineError) any {
	return struct {
		Digest      digest.Digest `json:"digest"`
		Quarantined time.Time     `json:"quarantined"`
	}{e.Digest, e.Since}
}

// isFull says whether an error comes of a full disk or quota.
func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// answerError writes an error in the specification's JSON and logs it.
func (s *Server) answerError(w http.ResponseWriter, r *http.Request, err error) {
	answer := asError(err)
	level := slog.LevelDebug
	if answer.Status >= http.StatusInternalServerError {
		level = slog.LevelError
	}
	s.log.Log(r.Context(), level, "request failed", "method", r.Method, "path", r.URL.Path, "status", answer.Status, "error", err)
	if answer.Status == statusClientClosed {
		return
	}
	writeError(w, r, answer)
}

// WriteError writes an error in the specification's JSON, for code in front of
// the registry.
func WriteError(w http.ResponseWriter, r *http.Request, err error) { writeError(w, r, asError(err)) }

func writeError(w http.ResponseWriter, r *http.Request, answer *Error) {
	type entry struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		Detail  any    `json:"detail,omitempty"`
	}
	body, err := json.Marshal(struct {
		Errors []entry `json:"errors"`
	}{[]entry{{answer.Code, answer.Message, answer.Detail}}})
	if err != nil { // a detail that does not encode
		body = []byte(`{"errors":[{"code":"UNKNOWN"}]}`)
	}
	h := w.Header()
	maps.Copy(h, answer.Header)
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if answer.Status == http.StatusServiceUnavailable {
		h.Set("Retry-After", retryAfter)
	}
	w.WriteHeader(answer.Status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // a client that is gone has no use for it
	}
}
