package registry

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/blobstore"
	"github.com/cloudlets/cloudlets/registry/metadata"
	"github.com/cloudlets/cloudlets/registry/scrub"
)

// postUpload begins an upload, stores a blob that comes with the request, or
// mounts one from another repository.
func (s *Server) postUpload(w http.ResponseWriter, r *http.Request, rt route) error {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return uploadInvalid("the query is not valid: %v", err)
	}
	if q.Has("mount") {
		mounted, err := s.mount(w, r, rt, q)
		if mounted || err != nil {
			return err
		}
	}
	if q.Has("digest") {
		return s.postBlob(w, r, rt, q.Get("digest"))
	}
	return s.beginUpload(w, r, rt, q)
}

// mount mounts a blob, and says whether there was one to mount. If not, the
// specification wants an upload begun.
func (s *Server) mount(w http.ResponseWriter, r *http.Request, rt route, q url.Values) (bool, error) {
	d, err := parseDigest(q.Get("mount"))
	if err != nil {
		return false, err
	}
	from := q.Get("from")
	if from != "" {
		if err := checkName(from); err != nil {
			return false, err
		}
	}
	if !Allowed(r.Context(), Need{ActionPull, from}) {
		return false, nil // as if it were not there
	}
	err = s.meta.MountBlob(r.Context(), rt.name, from, d)
	if errors.Is(err, metadata.ErrBlobUnknown) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	answerBlobCreated(w, rt.name, d)
	return true, nil
}

// postBlob stores the blob that is the body of the request.
func (s *Server) postBlob(w http.ResponseWriter, r *http.Request, rt route, text string) error {
	d, err := parseDigest(text)
	if err != nil {
		return err
	}
	writer, err := s.blobs.Create(r.Context(), d.Algorithm())
	if err != nil {
		return err
	}
	if err = expect(r, writer); err == nil {
		err = s.receive(w, r, writer, 0, nil)
	}
	var record blobstore.Record
	if err == nil {
		record, err = writer.Seal(context.WithoutCancel(r.Context()), d)
	}
	if err != nil {
		return errors.Join(received(err), s.discard(r.Context(), writer))
	}
	if err := s.commit(r.Context(), rt.name, record, nil); err != nil {
		return err
	}
	answerBlobCreated(w, rt.name, d)
	return nil
}

// discard removes what an unsealed writer has written.
func (s *Server) discard(ctx context.Context, writer *blobstore.Writer) error {
	return errors.Join(writer.Close(), s.blobs.Remove(context.WithoutCancel(ctx), writer.Key()))
}

// commit makes a sealed blob visible. A client that goes away does not stop it:
// its bytes are here.
func (s *Server) commit(ctx context.Context, name string, record blobstore.Record, upload *metadata.Upload) error {
	ctx = context.WithoutCancel(ctx)
	kept, err := scrub.Commit(ctx, s.blobs, s.meta, name, record, upload)
	if errors.Is(err, metadata.ErrUncertain) || errors.Is(err, metadata.ErrConflict) {
		return err // the object may be a blob's by now: another node may have sealed it, too
	}
	if err != nil {
		return errors.Join(err, s.blobs.Remove(ctx, record.Key))
	}
	if kept.Key != record.Key {
		// The record of the loser is in the trash; removing it now saves space,
		// and the collector does it if this fails.
		return s.blobs.Remove(ctx, record.Key)
	}
	return nil
}

// beginUpload begins an upload whose bytes come with later requests.
func (s *Server) beginUpload(w http.ResponseWriter, r *http.Request, rt route, q url.Values) error {
	algorithm := digest.Canonical
	if text := q.Get("digest-algorithm"); text != "" {
		var err error
		if algorithm, err = parseAlgorithm(text); err != nil {
			return err
		}
	}
	state, err := s.createObject(r.Context(), algorithm)
	if err != nil {
		return err
	}
	u, err := s.meta.CreateUpload(r.Context(), rt.name, rand.Text(), state)
	if err != nil {
		return errors.Join(err, s.blobs.Remove(context.WithoutCancel(r.Context()), state.Key))
	}
	setUploadHeader(w, u)
	w.WriteHeader(http.StatusAccepted)
	return nil
}

// createObject begins an object and returns its state: empty.
func (s *Server) createObject(ctx context.Context, algorithm digest.Algorithm) (blobstore.Upload, error) {
	writer, err := s.blobs.Create(ctx, algorithm)
	if err != nil {
		return blobstore.Upload{}, err
	}
	state, err := writer.Saved()
	if err != nil {
		return blobstore.Upload{}, errors.Join(err, s.discard(ctx, writer))
	}
	return state, writer.Close()
}

// getUpload says how far an upload has come.
func (s *Server) getUpload(w http.ResponseWriter, r *http.Request, rt route) error {
	u, err := s.meta.Upload(r.Context(), rt.name, rt.reference)
	if err != nil {
		return err
	}
	setUploadHeader(w, u)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// overtaken gives the answer to who was overtaken by another node what that has
// made of the upload.
func (s *Server) overtaken(w http.ResponseWriter, r *http.Request, rt route, err error) error {
	if !errors.Is(err, metadata.ErrConflict) {
		return err
	}
	now, gone := s.meta.Upload(context.WithoutCancel(r.Context()), rt.name, rt.reference)
	if gone != nil {
		return errors.Join(gone, err)
	}
	setUploadHeader(w, now)
	return err
}

// patchUpload appends the body of the request to an upload.
func (s *Server) patchUpload(w http.ResponseWriter, r *http.Request, rt route) error {
	return s.overtaken(w, r, rt, s.appendUpload(w, r, rt))
}

func (s *Server) appendUpload(w http.ResponseWriter, r *http.Request, rt route) error {
	u, release, err := s.lockUpload(r, rt)
	if err != nil {
		return err
	}
	defer release()
	writer, err := s.appendBody(w, r, u)
	if err != nil {
		return err
	}
	if err := writer.Close(); err != nil {
		return err
	}
	setUploadHeader(w, *u)
	w.WriteHeader(http.StatusAccepted)
	return nil
}

// putUpload ends an upload, after a last chunk if the request has a body.
func (s *Server) putUpload(w http.ResponseWriter, r *http.Request, rt route) error {
	return s.overtaken(w, r, rt, s.endUpload(w, r, rt))
}

func (s *Server) endUpload(w http.ResponseWriter, r *http.Request, rt route) error {
	d, err := parseDigest(r.URL.Query().Get("digest"))
	if err != nil {
		return err
	}
	u, release, err := s.lockUpload(r, rt)
	if err != nil {
		return err
	}
	defer release()
	if u.State.Offset == 0 && u.State.Algorithm != d.Algorithm() {
		if err := s.restart(r.Context(), u, d.Algorithm()); err != nil {
			return err
		}
	}
	writer, err := s.appendBody(w, r, u)
	if err != nil {
		return err
	}
	record, err := s.seal(r.Context(), writer, d)
	if errors.Is(err, blobstore.ErrBusy) {
		return err // what was saved before can be gone on from
	}
	if err != nil {
		return s.giveUp(r.Context(), u, err)
	}
	if err := s.commit(r.Context(), rt.name, record, u); err != nil {
		return err
	}
	answerBlobCreated(w, rt.name, d)
	return nil
}

// deleteUpload cancels an upload.
func (s *Server) deleteUpload(w http.ResponseWriter, r *http.Request, rt route) error {
	u, release, err := s.lockUpload(r, rt)
	if err != nil {
		return err
	}
	defer release()
	if err := s.cancel(r.Context(), u); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// lockUpload returns the upload a request is about, which no other request of
// this process touches until release is called.
func (s *Server) lockUpload(r *http.Request, rt route) (u *metadata.Upload, release func(), err error) {
	release, err = s.uploadLocks.acquire(r.Context(), rt.reference)
	if err != nil {
		return nil, nil, err
	}
	found, err := s.meta.Upload(r.Context(), rt.name, rt.reference)
	if err != nil {
		release()
		return nil, nil, err
	}
	return &found, release, nil
}

// saveEvery is how many bytes of one request are received between two saves of
// the upload's state: how much is lost at most when the server dies.
const saveEvery = 64 << 20

// appendBody appends the body of a request to an upload, saves its state, and
// returns its writer, open. What was received of a body that breaks off is
// kept, for the client to go on.
func (s *Server) appendBody(w http.ResponseWriter, r *http.Request, u *metadata.Upload) (*blobstore.Writer, error) {
	chunk, err := checkChunk(w, r, u)
	if err != nil {
		return nil, err
	}
	writer, err := s.blobs.Resume(r.Context(), u.State)
	if errors.Is(err, blobstore.ErrNotFound) {
		return nil, s.giveUp(r.Context(), u, err)
	}
	if err == nil {
		err = s.current(r.Context(), writer, u)
	}
	if err != nil {
		return nil, err
	}
	if err := s.appendTo(writer, chunk, w, r, u); err != nil {
		err = errors.Join(err, writer.Close())
		if ends(err) {
			err = s.giveUp(r.Context(), u, err)
		}
		return nil, err
	}
	return writer, nil
}

// current makes sure that no other node has changed an upload before the writer
// kept it from doing so.
func (s *Server) current(ctx context.Context, writer *blobstore.Writer, u *metadata.Upload) error {
	if !s.meta.Shared() {
		return nil
	}
	now, err := s.meta.Upload(ctx, u.Repository, u.ID)
	if err == nil && now.Version != u.Version {
		err = metadata.ErrConflict
	}
	if err != nil {
		return errors.Join(err, writer.Close())
	}
	return nil
}

// lost says of an upload of which something is not there any more that it is
// unknown.
func lost(err error) error {
	if errors.Is(err, blobstore.ErrNotFound) {
		return errors.Join(metadata.ErrUploadUnknown, err)
	}
	return err
}

// ends says whether an upload cannot go on after an error: the storage's, or
// that of a quota, which it would be counted against until it expires. Anything
// else may pass.
func ends(err error) bool {
	var answer *Error
	denied := errors.As(err, &answer) && answer.Code == CodeDenied
	return denied || isFull(err) || errors.Is(err, blobstore.ErrTooLarge) || errors.Is(err, blobstore.ErrNotFound)
}

// appendTo appends the body of a request to the writer of an upload and saves
// its state.
func (s *Server) appendTo(writer *blobstore.Writer, chunk *span, w http.ResponseWriter, r *http.Request, u *metadata.Upload) error {
	if err := expect(r, writer); err != nil {
		return err
	}
	ctx := context.WithoutCancel(r.Context()) // what arrived is saved, even if its client went away
	saves := saver{save: func(state blobstore.Upload) error { return s.meta.SaveUpload(ctx, u, state) }}
	before := writer.Size()
	err := s.receive(w, r, writer, saveEvery, func() error { return saves.begin(writer.Saved) })
	if failed := saves.wait(); failed != nil {
		return failed
	}
	var broken *readError
	switch {
	case err != nil && !errors.As(err, &broken): // storage fails, or the object is another node's now
		return err
	case err == nil && chunk != nil && writer.Size()-before != chunk.length():
		return uploadInvalid("the chunk has %d bytes, its Content-Range says %d", writer.Size()-before, chunk.length())
	}
	// A PUT that got here is about to be sealed: its row goes, so what is in it
	// does not matter any more.
	if err != nil || r.Method == http.MethodPatch {
		state, failed := writer.Save(ctx)
		if failed == nil {
			failed = s.meta.SaveUpload(ctx, u, state)
		}
		err = errors.Join(err, failed)
	}
	return received(err)
}

// expect tells a writer how long the blob will be, as far as the request says:
// one that is stored by it holds no more.
func expect(r *http.Request, writer *blobstore.Writer) error {
	if r.ContentLength < 0 {
		return nil
	}
	return writer.Expect(writer.Size()+r.ContentLength, r.Method != http.MethodPatch)
}

// checkChunk compares where a chunk says that it begins with where the upload
// stands. It returns nil for a request without Content-Range.
func checkChunk(w http.ResponseWriter, r *http.Request, u *metadata.Upload) (*span, error) {
	header := r.Header.Get("Content-Range")
	if header == "" {
		return nil, nil
	}
	chunk, err := parseContentRange(header)
	if err != nil {
		return nil, err
	}
	if chunk.first != u.State.Offset {
		setUploadHeader(w, *u)
		return nil, &Error{Status: http.StatusRequestedRangeNotSatisfiable, Code: CodeBlobUploadInvalid,
			Message: fmt.Sprintf("the chunk begins at %d, the upload goes on at %d: chunks must come in order", chunk.first, u.State.Offset)}
	}
	if n := r.ContentLength; n >= 0 && n != chunk.length() {
		return nil, &Error{Status: http.StatusBadRequest, Code: CodeSizeInvalid,
			Message: fmt.Sprintf("the chunk has %d bytes, its Content-Range %q says %d", n, header, chunk.length())}
	}
	return &chunk, nil
}

// received turns an error of the client's side into its answer.
func received(err error) error {
	var broken *readError
	var answer *Error
	if !errors.As(err, &broken) || errors.As(broken.err, &answer) {
		return err
	}
	return &Error{Status: http.StatusBadRequest, Code: CodeBlobUploadInvalid, Cause: err,
		Message: fmt.Sprintf("the request broke off: %v; ask for the upload's status and go on from there", broken.err)}
}

// giveUp cancels an upload that cannot go on because of err, and returns it.
func (s *Server) giveUp(ctx context.Context, u *metadata.Upload, err error) error {
	if errors.Is(err, blobstore.ErrNotFound) && s.rivalled(ctx, u) {
		// Not wrapped: to the client it is a conflict, and nothing that is missing.
		return fmt.Errorf("%w: %s", metadata.ErrConflict, err.Error())
	}
	return errors.Join(lost(err), s.cancel(ctx, u))
}

// How long is waited for a node that is about to end an upload, and how often is
// looked whether it has.
const (
	rivalTime  = 2 * time.Second
	rivalPause = 50 * time.Millisecond
)

// rivalled says whether the bytes of an upload are gone because another node has
// made a blob of them, or has gone on from them. It does that before it says so.
func (s *Server) rivalled(ctx context.Context, u *metadata.Upload) bool {
	if !s.meta.Shared() {
		return false
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rivalTime)
	defer cancel()
	for {
		now, err := s.meta.Upload(ctx, u.Repository, u.ID)
		if errors.Is(err, metadata.ErrUploadUnknown) || err == nil && now.Version != u.Version {
			return true
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(rivalPause):
		}
	}
}

// cancel ends an upload and removes what it has written, even if its client
// went away. The row goes first: who ends the upload may do as it likes with the
// bytes, which another node may be sealing. On a full disk, though, the
// transaction may need their place.
func (s *Server) cancel(ctx context.Context, u *metadata.Upload) error {
	ctx = context.WithoutCancel(ctx)
	err := s.meta.CancelUpload(ctx, u)
	if isFull(err) && !s.meta.Shared() {
		return errors.Join(s.blobs.Remove(ctx, u.State.Key), s.meta.CancelUpload(ctx, u))
	}
	if err != nil {
		return err
	}
	return s.blobs.Remove(ctx, u.State.Key)
}

// restart gives an upload that is still empty an object with another digest
// algorithm: the client did not say at first which one it would use.
func (s *Server) restart(ctx context.Context, u *metadata.Upload, algorithm digest.Algorithm) error {
	old := u.State.Key
	state, err := s.createObject(ctx, algorithm)
	if err != nil {
		return err
	}
	if err := s.meta.SaveUpload(ctx, u, state); err != nil {
		return errors.Join(err, s.blobs.Remove(context.WithoutCancel(ctx), state.Key))
	}
	return s.blobs.Remove(ctx, old)
}

// seal makes a blob durable under its digest. Where the digest is of another
// algorithm than was computed on the way in, the blob is read once more.
func (s *Server) seal(ctx context.Context, writer *blobstore.Writer, d digest.Digest) (blobstore.Record, error) {
	ctx = context.WithoutCancel(ctx)
	if writer.Digest().Algorithm() == d.Algorithm() {
		return writer.Seal(ctx, d)
	}
	first, err := writer.Seal(ctx, "")
	if err != nil {
		return blobstore.Record{}, err
	}
	record, err := s.rehash(ctx, first, d)
	return record, errors.Join(err, s.blobs.Remove(ctx, first.Key))
}

// rehash stores a sealed object once more, under a digest of another algorithm.
func (s *Server) rehash(ctx context.Context, from blobstore.Record, d digest.Digest) (_ blobstore.Record, err error) {
	object, err := s.blobs.OpenRecord(ctx, from)
	if err != nil {
		return blobstore.Record{}, err
	}
	defer func() { err = errors.Join(err, object.Close()) }()
	return s.blobs.Write(ctx, d, func(w *blobstore.Writer) error { return copyObject(w, object) })
}

// setUploadHeader says how far an upload has come. The specification has no way
// to say that nothing was received; all registries answer 0-0.
func setUploadHeader(w http.ResponseWriter, u metadata.Upload) {
	h := w.Header()
	h.Set("Location", "/v2/"+u.Repository+"/blobs/uploads/"+u.ID)
	h.Set("Range", "0-"+strconv.FormatInt(max(u.State.Offset-1, 0), 10))
	h[headerUploadID] = []string{u.ID}
}

func answerBlobCreated(w http.ResponseWriter, name string, d digest.Digest) {
	h := w.Header()
	h.Set("Location", "/v2/"+name+"/blobs/"+string(d))
	h[headerDigest] = []string{string(d)}
	w.WriteHeader(http.StatusCreated)
}
