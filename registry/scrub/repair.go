package scrub

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/blobstore"
	"github.com/cloudlets/cloudlets/blobstore/frame"
	"github.com/cloudlets/cloudlets/registry/metadata"
)

// maxHolders is how many repositories a source is asked for a blob in.
const maxHolders = 10

// Source is where blobs may be fetched from.
type Source interface {
	// Fetch opens a blob of a repository as that source has it. What it returns is
	// verified. The error wraps blobstore.ErrNotFound where it has none.
	Fetch(ctx context.Context, repository string, d digest.Digest) (io.ReadCloser, error)
	// String names the source in logs.
	String() string
}

// errNoRepair says that nothing was found to repair a blob with.
var errNoRepair = errors.New("neither another object nor a source has it")

// Repair tries to repair the blobs in quarantine whose turn has come. Those that it
// cannot are tried again later, each time after longer.
func (s *Scrubber) Repair(ctx context.Context) (r Result, err error) {
	for {
		claimed, err := s.meta.ClaimScrub(ctx, metadata.ScrubClaim{Age: metadata.Repairs, Limit: batch, Bytes: batchBytes, Hold: s.hold})
		if err != nil || len(claimed) == 0 {
			return r, err
		}
		repaired, err := s.repairAll(ctx, claimed)
		r.Repaired += repaired
		if err != nil {
			return r, err
		}
	}
}

// repairAll repairs what it can of what was claimed.
func (s *Scrubber) repairAll(ctx context.Context, claimed []metadata.Scrubbing) (repaired int, err error) {
	left := make(map[digest.Digest]metadata.Scrubbing, len(claimed))
	for _, b := range claimed {
		// Somebody may have put its object back, or its disk.
		if s.blobs.Verify(ctx, b.Record, s.pace(ctx, s.limiter)) != nil {
			left[b.Digest] = b
			continue
		}
		if err := s.meta.Verified(ctx, b.Record); err != nil {
			return repaired, err
		}
		s.repaired(ctx, b, "its own object, which is sound again")
		repaired++
	}
	n, err := s.repairFromObjects(ctx, left)
	if repaired += n; err != nil {
		return repaired, err
	}
	for _, b := range left {
		how, err := s.repairOne(ctx, b)
		if ctx.Err() != nil {
			return repaired, ctx.Err()
		}
		if err != nil {
			s.log.WarnContext(ctx, "blob in quarantine not repaired, trying again later", "blob", b.Digest, "error", err)
			if err := s.meta.PutOffScrub(ctx, b); err != nil {
				return repaired, err
			}
			continue
		}
		s.repaired(ctx, b, how)
		repaired++
	}
	return repaired, nil
}

func (s *Scrubber) repaired(ctx context.Context, b metadata.Scrubbing, how string) {
	s.counts.repaired.Add(1)
	s.log.InfoContext(ctx, "blob out of quarantine", "blob", b.Digest, "repaired_from", how)
}

// repairFromObjects looks through the store for other objects of blobs, and takes
// those off that it has repaired.
func (s *Scrubber) repairFromObjects(ctx context.Context, left map[digest.Digest]metadata.Scrubbing) (repaired int, err error) {
	if len(left) == 0 {
		return 0, nil
	}
	for o, err := range s.blobs.Driver().List(ctx) {
		if err != nil {
			return repaired, fmt.Errorf("look for objects to repair from: %w", err)
		}
		b, wanted := left[o.Label.Digest]
		if !wanted {
			continue
		}
		done, err := ReplaceBy(ctx, s.meta, s.blobs, b.Record, o, s.pace(ctx, s.limiter))
		if err != nil {
			return repaired, err
		}
		if done {
			delete(left, b.Digest)
			s.repaired(ctx, b, "another object, "+o.Key)
			repaired++
		}
	}
	return repaired, nil
}

// ReplaceBy lets an object of the store stand for a blob in quarantine, if it is
// another one, and all that is read through it has the blob's digest. It says
// whether it did.
func ReplaceBy(ctx context.Context, meta *metadata.Store, blobs *blobstore.Store, b blobstore.Record, o blobstore.Object, progress io.Writer) (bool, error) {
	if !o.Sealed || o.Label.Digest != b.Digest || o.Key == b.Key {
		return false, nil
	}
	r, err := blobs.Identify(ctx, o)
	if err == nil {
		err = blobs.Prove(ctx, r, progress)
	}
	if err != nil {
		return false, ctx.Err() // it is no better than the other, or not just now
	}
	return replaced(meta.ReplaceBlob(ctx, r, b.Key))
}

// replaced says whether an object was let to stand for a blob, or that it came too
// late or cannot.
func replaced(err error) (bool, error) {
	if errors.Is(err, metadata.ErrConflict) || errors.Is(err, blobstore.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// repairOne writes a new object for a blob and says from what.
func (s *Scrubber) repairOne(ctx context.Context, b metadata.Scrubbing) (how string, err error) {
	if b.Kind == blobstore.Framed && len(b.Needs) == 1 {
		r, err := s.blobs.SealFrames(ctx, b.Needs[0], frame.Position{}, b.Digest)
		if err == nil {
			return "the frames of " + b.Needs[0].String(), s.swap(ctx, r, b)
		}
	}
	if len(s.sources) == 0 {
		return "", errNoRepair
	}
	holders, err := s.meta.Holders(ctx, b.Digest, maxHolders)
	if err != nil {
		return "", err
	}
	var errs []error
	for _, source := range s.sources {
		for _, repository := range holders {
			r, err := s.fetch(ctx, source, repository, b.Record)
			if err == nil {
				return source.String(), s.swap(ctx, r, b)
			}
			errs = append(errs, fmt.Errorf("%s: %w", source, err))
		}
	}
	return "", fmt.Errorf("%w: %w", errNoRepair, errors.Join(errs...))
}

// swap lets a new object stand for a blob, or removes it.
func (s *Scrubber) swap(ctx context.Context, r blobstore.Record, b metadata.Scrubbing) error {
	err := s.meta.ReplaceBlob(ctx, r, b.Key)
	if err == nil || errors.Is(err, metadata.ErrUncertain) {
		return err
	}
	return errors.Join(err, s.blobs.Remove(ctx, r.Key))
}

// fetch stores a blob of a source, which must be the one it should be.
func (s *Scrubber) fetch(ctx context.Context, source Source, repository string, b blobstore.Record) (_ blobstore.Record, err error) {
	body, err := source.Fetch(ctx, repository, b.Digest)
	if err != nil {
		return blobstore.Record{}, err
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	w, err := s.blobs.Create(ctx, b.Digest.Algorithm())
	if err != nil {
		return blobstore.Record{}, err
	}
	var r blobstore.Record
	if err = w.Expect(b.Size, true); err == nil {
		_, err = io.Copy(w, io.LimitReader(body, b.Size+1)) // one more, to see that it is too long
	}
	if err == nil {
		r, err = w.Seal(ctx, b.Digest)
	}
	if err != nil {
		return r, errors.Join(err, w.Close(), s.blobs.Remove(context.WithoutCancel(ctx), w.Key()))
	}
	return r, nil
}
