package scrub

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/blobstore"
	"github.com/cloudlets/cloudlets/registry/metadata"
)

const (
	// batch is how many blobs are claimed at once, batchBytes how many bytes they
	// have together: few enough that little is done again after a crash.
	batch      = 100
	batchBytes = 64 << 20
	// leastCost is what a blob costs of the rate at least, in bytes: to open and to
	// find one takes a disk or a bucket time as well.
	leastCost = 128 << 10
	// claimTime is how long a claim lasts beyond what reading takes.
	claimTime = time.Hour
	// maxFailures is how many blobs in a row may end without a result before a pass
	// gives up: it is not the blobs then.
	maxFailures = 5
	// maxReason bounds the reason that is noted for a quarantine, in bytes.
	maxReason = 1000
)

// Config is what a scrubber is made of.
type Config struct {
	Metadata *metadata.Store
	Blobs    *blobstore.Store
	// Interval is how often every blob is to be verified. With zero none is unless
	// it is suspected.
	Interval time.Duration
	// Rate bounds how many bytes a second are read to verify; zero is without bound.
	Rate int64
	// Sources are asked, in this order, for blobs that the store cannot repair.
	Sources []Source
	// Present says whether the place of the objects is there and the right one. It is
	// asked before a blob is taken for damaged, for a file system that is not mounted
	// is no damage. Nil is never asked.
	Present func(ctx context.Context) error
	Log     *slog.Logger // nil is slog.Default

	clock clock // for tests; nil is the computer's
}

// Scrubber verifies blobs and repairs them.
type Scrubber struct {
	meta     *metadata.Store
	blobs    *blobstore.Store
	interval time.Duration
	limiter  *limiter
	sources  []Source
	present  func(context.Context) error
	log      *slog.Logger
	clock    clock
	suspects *suspects
	counts   counts
}

// New returns a scrubber.
func New(c Config) (*Scrubber, error) {
	if c.Metadata == nil || c.Blobs == nil {
		return nil, errors.New("new scrubber: both Metadata and Blobs are needed")
	}
	if c.Interval < 0 || c.Rate < 0 {
		return nil, fmt.Errorf("new scrubber: expected an interval and a rate of zero or more, found %s and %d", c.Interval, c.Rate)
	}
	if c.Present == nil {
		c.Present = func(context.Context) error { return nil }
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.clock == nil {
		c.clock = wallClock{}
	}
	return &Scrubber{
		meta: c.Metadata, blobs: c.Blobs, interval: c.Interval, sources: c.Sources, present: c.Present, log: c.Log,
		clock: c.clock, limiter: &limiter{rate: c.Rate, clock: c.clock},
		suspects: newSuspects(c.clock),
	}, nil
}

// Result counts what a pass did.
type Result struct {
	Verified int   `json:"verified"` // blobs found sound
	Bytes    int64 `json:"bytes"`    // read to verify
	Damaged  int   `json:"damaged"`  // blobs put in quarantine
	Repaired int   `json:"repaired"` // blobs that left it
	Unknown  int   `json:"unknown"`  // blobs that nothing can be said of now
}

// Verify verifies the blobs that are due, those verified longest ago first, until
// none is.
func (s *Scrubber) Verify(ctx context.Context) (r Result, err error) {
	claim := metadata.ScrubClaim{Age: s.interval, Limit: batch, Bytes: batchBytes, Hold: s.hold}
	failures := 0
	for {
		claimed, err := s.meta.ClaimScrub(ctx, claim)
		if err != nil || len(claimed) == 0 {
			return r, err
		}
		if err := s.verifyAll(ctx, claimed, &r, &failures); err != nil {
			return r, err
		}
	}
}

// verifyAll verifies what was claimed, and notes what was sound in one transaction.
func (s *Scrubber) verifyAll(ctx context.Context, claimed []metadata.Scrubbing, r *Result, failures *int) error {
	var sound []blobstore.Record
	var failed error
	for _, b := range claimed {
		verdict, err := s.examine(ctx, b, s.limiter)
		switch verdict {
		case unknown:
			r.Unknown++
			*failures++
			failed = err
		case damaged:
			r.Damaged++
			*failures = 0
		default:
			sound = append(sound, b.Record)
			r.Bytes += b.Size
			*failures = 0
		}
		if ctx.Err() != nil || *failures == maxFailures {
			break
		}
	}
	r.Verified += len(sound)
	if err := s.meta.Verified(ctx, sound...); err != nil {
		return err
	}
	s.counts.verified.Add(int64(len(sound)))
	if err := ctx.Err(); err != nil {
		return err
	}
	if *failures == maxFailures {
		return fmt.Errorf("nothing can be said of %d blobs in a row: %w", maxFailures, failed)
	}
	return nil
}

// hold is how long a claim of a blob lasts: a batch may stand before it.
func (s *Scrubber) hold(size int64) time.Duration {
	if s.limiter.rate == 0 {
		return claimTime + time.Duration(size/(1<<20))*time.Second
	}
	return claimTime + time.Duration(2*(size+batchBytes)/s.limiter.rate)*time.Second
}

// verdict is what is found of a blob.
type verdict int

const (
	sound   verdict = iota
	damaged         // and in quarantine
	unknown         // an error says why
)

// examine verifies a blob and puts it in quarantine if it is damaged. Of one that is
// sound the caller takes note.
func (s *Scrubber) examine(ctx context.Context, b metadata.Scrubbing, rate *limiter) (verdict, error) {
	if rest := leastCost - b.Size; rest > 0 {
		if err := rate.take(ctx, rest); err != nil {
			return unknown, err
		}
	}
	err := s.blobs.Verify(ctx, b.Record, s.pace(ctx, rate))
	if err == nil {
		return sound, nil
	}
	if errors.Is(err, blobstore.ErrDamaged) {
		if absent := s.present(ctx); absent != nil {
			err = fmt.Errorf("%v, but the place of all objects is not as it should be: %w", err, absent) //nolint:errorlint // it is not known to be damage
		}
	}
	if !errors.Is(err, blobstore.ErrDamaged) {
		return unknown, s.putOff(ctx, b, err)
	}
	return s.quarantine(ctx, b.Record, err)
}

func (s *Scrubber) pace(ctx context.Context, rate *limiter) *pace {
	return &pace{ctx: ctx, limiter: rate, counted: func(n int64) { s.counts.bytes.Add(n) }}
}

// putOff has a blob tried again later and returns why.
func (s *Scrubber) putOff(ctx context.Context, b metadata.Scrubbing, why error) error {
	if ctx.Err() != nil {
		return why
	}
	s.log.WarnContext(ctx, "blob not verified, trying again later", "blob", b.Digest, "object", b.Key, "error", why)
	return errors.Join(why, s.meta.PutOffScrub(ctx, b))
}

func (s *Scrubber) quarantine(ctx context.Context, r blobstore.Record, why error) (verdict, error) {
	done, err := quarantine(ctx, s.meta, r, why)
	if err != nil {
		return unknown, err
	}
	if !done { // it was collected or replaced meanwhile
		return damaged, nil
	}
	s.counts.damaged.Add(1)
	s.suspects.tellRepair()
	s.log.ErrorContext(ctx, "damaged blob put in quarantine: it is not served until it is repaired or pushed again",
		"blob", r.Digest, "object", r.Key, "error", why)
	return damaged, nil
}

func quarantine(ctx context.Context, meta *metadata.Store, r blobstore.Record, why error) (bool, error) {
	reason := why.Error()
	return meta.Quarantine(ctx, r, reason[:min(len(reason), maxReason)])
}

// Examine verifies one blob and all that it is read from, due or not, as fast as it
// can: somebody waits for it. The error wraps metadata.ErrBlobUnknown where there is
// no such blob.
func (s *Scrubber) Examine(ctx context.Context, d digest.Digest) (r Result, err error) {
	b, err := s.meta.BlobToScrub(ctx, d)
	if err != nil {
		return r, err
	}
	for _, n := range b.Needs {
		below, err := s.Examine(ctx, n)
		r.add(below)
		if err != nil {
			return r, err
		}
	}
	if b.Quarantined {
		return r, nil // it is repaired in its turn
	}
	verdict, err := s.examine(ctx, b, &limiter{})
	switch verdict {
	case unknown:
		r.Unknown++
		return r, err
	case damaged:
		r.Damaged++
		return r, nil
	}
	r.Verified++
	r.Bytes += b.Size
	s.counts.verified.Add(1)
	return r, s.meta.Verified(ctx, b.Record)
}

func (r *Result) add(other Result) {
	r.Verified += other.Verified
	r.Bytes += other.Bytes
	r.Damaged += other.Damaged
	r.Repaired += other.Repaired
	r.Unknown += other.Unknown
}
