package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/oklog/ulid/v2"

	"github.com/cloudlets/cloudlets/blobstore"
)

const (
	// knownParts is how many parts an object of known length is cut into at
	// most, which leaves some for parts that a Save cuts short.
	knownParts = 9000
	// shortParts is how many parts a Save may cut short before it keeps what is
	// left in pieces.
	shortParts = 1000
	// maxPieces is how many pieces there are before they are made one.
	maxPieces = 64
)

// writer writes one object. What was written is, in order: parts; the whole part
// that waits in full, so that it can take in what follows if that is too short
// for a part; and the tail.
type writer struct {
	driver *Driver
	id     ulid.ULID
	ctx    context.Context // of what is sent while more is written
	cancel context.CancelFunc
	err    error // why nothing can be written any more

	size     int64 // written so far
	expected int64 // what size will be in the end, or 0
	partSize int64

	upload *upload // nil until there is a part
	parts  []*transfer
	full   *buffer // nil, or of partSize bytes

	tail   *buffer
	cold   int64   // bytes of the tail that are in pieces only
	pieces []piece // from the beginning of the tail

	// Pieces that are needed no more once a later point is on record, and those
	// of which that is so: a point that somebody resumes from is on record.
	stale, condemned []name

	saved blobstore.Point
}

// newWriter returns a writer that goes on from a state.
func (d *Driver) newWriter(id ulid.ULID, s state) *writer {
	ctx, cancel := context.WithCancel(d.ctx)
	w := &writer{
		driver: d, id: id, ctx: ctx, cancel: cancel,
		size: s.size(), partSize: d.config.PartSize, upload: s.Upload,
		tail: d.spool.buffer(), cold: s.tail(), pieces: s.Pieces,
		condemned: s.Stale,
	}
	if s.Upload != nil {
		w.partSize = s.Upload.PartSize
	}
	w.partSize = max(w.partSize, 2*w.cold) // parts may have been larger when it was saved
	for _, p := range s.Parts {
		w.parts = append(w.parts, transferred(p))
	}
	w.tail.size = w.cold
	w.saved, w.err = s.point(id)
	return w
}

func (w *writer) Key() string { return unsealedKey(w.id) }

// Expect chooses the size of parts, if it is not too late.
func (w *writer) Expect(size int64, final bool) error {
	if w.upload == nil && w.full == nil && w.tail.size < minPart {
		w.partSize = w.driver.config.PartSize
		if final {
			w.partSize = min(w.partSize, knownPartSize)
		}
		const mib = 1 << 20
		w.partSize = max(w.partSize, (size/knownParts+mib)/mib*mib)
	}
	if final {
		w.expected = size
	}
	if limit := w.limit(); size > limit || w.partSize > maxPartSize {
		return fmt.Errorf("object of %d bytes: its parts of %d bytes are enough for %d: %w",
			size, w.partSize, limit, blobstore.ErrTooLarge)
	}
	return nil
}

// limit returns how long the object can become.
func (w *writer) limit() int64 {
	sent := w.size - w.pending().size()
	return min(maxObjectSize, sent+int64(maxParts-len(w.parts))*w.partSize)
}

// pending returns what is not yet on its way.
func (w *writer) pending() joined {
	if w.full == nil {
		return joined{w.tail}
	}
	return joined{w.full, w.tail}
}

// Boundary returns where the tail becomes a part.
func (w *writer) Boundary() int64 { return w.size - w.tail.size + w.partSize }

func (w *writer) Write(p []byte) (written int, err error) {
	for len(p) > 0 {
		n, err := w.add(p[:min(int64(len(p)), w.partSize-w.tail.size)])
		written += n
		if err != nil {
			w.err = errors.Join(w.err, err)
			return written, fmt.Errorf("write object %s: %w", w.Key(), err)
		}
		p = p[n:]
	}
	return written, nil
}

// add adds bytes to the tail, which has as many left of a part.
func (w *writer) add(p []byte) (int, error) {
	if err := w.failed(); err != nil {
		return 0, err
	}
	if w.size+int64(len(p)) > w.limit() {
		return 0, fmt.Errorf("more than %d bytes in %d parts: %w", w.limit(), maxParts, blobstore.ErrTooLarge)
	}
	if err := w.makeRoom(w.tail.size + int64(len(p))); err != nil {
		return 0, err
	}
	n, err := w.tail.WriteAt(p, w.tail.size)
	w.size += int64(n)
	if err != nil {
		return n, err
	}
	if w.full != nil && w.tail.size >= minPart {
		if err := w.sendFull(); err != nil {
			return n, err
		}
	}
	if w.tail.size < w.partSize {
		return n, nil
	}
	if err := w.warm(w.ctx); err != nil {
		return n, err
	}
	w.full = w.tail
	w.resetTail()
	return n, nil
}

// resetTail begins a new tail, of which nothing is in pieces.
func (w *writer) resetTail() {
	w.forgetPieces()
	w.tail, w.cold = w.driver.spool.buffer(), 0
}

// forgetPieces makes all pieces stale.
func (w *writer) forgetPieces() {
	for _, p := range w.pieces {
		w.stale = append(w.stale, p.Name)
	}
	w.pieces = nil
}

// makeRoom lets the tail grow to size.
func (w *writer) makeRoom(size int64) error {
	if w.tail.fits(size) {
		return nil
	}
	need := w.partSize
	if rest := w.expected - (w.size - w.tail.size); rest > 0 {
		need = min(need, rest)
	}
	need = max(need, size)
	if ok, err := w.tail.reserve(w.ctx, need, false); ok || err != nil {
		return err
	}
	if err := w.sendFull(); err != nil { // it may be what takes the room
		return err
	}
	_, err := w.tail.reserve(w.ctx, need, true)
	return err
}

// sendFull sends the part that waits.
func (w *writer) sendFull() error {
	if w.full == nil {
		return nil
	}
	full := w.full
	w.full = nil
	return w.send(w.ctx, joined{full})
}

// warm reads those bytes of the tail that are in pieces only.
func (w *writer) warm(ctx context.Context) error {
	if w.cold == 0 {
		return nil
	}
	if err := w.makeRoom(w.tail.size); err != nil {
		return err
	}
	var off int64
	for _, p := range w.pieces {
		if off == w.cold {
			break
		}
		_, err := w.driver.copyRange(ctx, io.NewOffsetWriter(w.tail, off), p.Name, 0, p.Size)
		if err != nil {
			return fmt.Errorf("read what was saved: %w", err)
		}
		off += p.Size
	}
	w.cold = 0
	return nil
}

// Save sends the tail, as a part if it is long enough for one.
func (w *writer) Save(ctx context.Context) (blobstore.Point, error) {
	err := w.failed()
	if err == nil {
		err = w.save(ctx)
	}
	if err != nil {
		w.err = errors.Join(w.err, err)
		return blobstore.Point{}, fmt.Errorf("save object %s: %w", w.Key(), err)
	}
	return w.saved, nil
}

func (w *writer) save(ctx context.Context) error {
	if err := w.sendPending(ctx); err != nil {
		return err
	}
	if err := w.putPiece(ctx); err != nil {
		return err
	}
	if err := w.wait(ctx); err != nil {
		return err
	}
	w.sweep(ctx, w.condemned)
	w.condemned = nil
	s := state{Upload: w.upload, Pieces: w.pieces, Stale: w.stale}
	for _, t := range w.parts {
		s.Parts = append(s.Parts, t.part)
	}
	var err error
	w.saved, err = s.point(w.id)
	return err
}

// sendPending sends what waits, as far as it makes a part.
func (w *writer) sendPending(ctx context.Context) error {
	equal := w.driver.config.EqualParts
	switch {
	case w.full != nil && (equal || w.tail.size == 0):
		return w.sendFull()
	case w.full == nil && (equal || w.tail.size < minPart || len(w.parts) >= shortParts):
		return nil
	}
	if err := w.warm(ctx); err != nil {
		return err
	}
	pending := w.pending()
	w.full = nil
	w.resetTail()
	return w.send(ctx, pending)
}

// putPiece keeps as a piece what of the tail is in none.
func (w *writer) putPiece(ctx context.Context) error {
	s := state{Pieces: w.pieces}
	from := s.tail()
	if from == w.tail.size {
		return nil
	}
	if len(w.pieces) >= maxPieces {
		if err := w.warm(ctx); err != nil {
			return err
		}
		w.forgetPieces()
		from = 0
	}
	p := piece{Name: newName(w.id), Size: w.tail.size - from}
	if err := w.driver.put(ctx, p.Name, w.tail.section(from), p.Size); err != nil {
		return err
	}
	w.pieces = append(w.pieces[:len(w.pieces):len(w.pieces)], p)
	return nil
}

// Saved returns where the last of the parts ends of which all have arrived, or
// what Save has returned.
func (w *writer) Saved() blobstore.Point {
	s := state{Upload: w.upload, Stale: w.stale}
	for _, t := range w.parts {
		if !t.arrived() {
			break
		}
		s.Parts = append(s.Parts, t.part)
	}
	if p, err := s.point(w.id); err == nil && p.Offset > w.saved.Offset {
		w.saved = p
	}
	return w.saved
}

// Seal completes the object and puts its label beside it.
func (w *writer) Seal(ctx context.Context, label blobstore.Label) (key string, err error) {
	defer func() { err = errors.Join(err, w.Close()) }()
	if err = label.Digest.Validate(); err == nil {
		err = w.failed()
	}
	var n name
	if err == nil {
		n, err = w.finish(ctx)
	}
	if err == nil {
		err = w.driver.putLabel(ctx, n, label)
	}
	if err != nil {
		return "", fmt.Errorf("seal object %s: %w", w.Key(), err)
	}
	w.forgetPieces()
	w.sweep(ctx, slices.DeleteFunc(append(w.condemned, w.stale...), func(p name) bool { return p == n }))
	w.driver.sizes.Add(n, w.size, 1)
	return sealedKey(n, label), nil
}

// finish makes everything written one object.
func (w *writer) finish(ctx context.Context) (name, error) {
	if w.upload == nil && len(w.pieces) == 1 && w.pieces[0].Size == w.size {
		n := w.pieces[0].Name
		size, err := w.driver.stat(ctx, n)
		if err == nil && size != w.size {
			err = fmt.Errorf("%s holds %d bytes, not %d", n, size, w.size)
		}
		return n, err
	}
	if err := w.warm(ctx); err != nil {
		return "", err
	}
	pending := w.pending()
	if w.upload == nil {
		n := newName(w.id)
		return n, w.driver.put(ctx, n, pending, pending.size())
	}
	if pending.size() > 0 {
		w.full = nil
		w.resetTail()
		if err := w.send(ctx, pending); err != nil {
			return "", err
		}
	}
	if err := w.wait(ctx); err != nil {
		return "", err
	}
	return w.upload.Name, w.complete(ctx)
}

// sweep removes pieces. What is left where that fails is found as an unsealed
// object.
func (w *writer) sweep(ctx context.Context, pieces []name) {
	for _, p := range pieces {
		if err := w.driver.removeKey(ctx, w.driver.objectKey(p)); err != nil {
			w.driver.log.WarnContext(ctx, "piece of an object not removed", "name", p, "error", err)
		}
	}
}

// Close stops what is on its way and gives back the room.
func (w *writer) Close() error {
	w.cancel()
	if w.err == nil {
		w.err = errors.New("the writer is closed")
	}
	for _, t := range w.parts {
		<-t.done
	}
	err := w.pending().free()
	w.full, w.tail = nil, w.driver.spool.buffer()
	return err
}
