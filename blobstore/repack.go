package blobstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/extent"
)

// Repacked is what is to stand for maps that read little of a blob.
type Repacked struct {
	Pack Record   // only what they read of it
	Maps []Record // in the order of those they replace
}

// Live returns how many bytes of a blob maps read, each counted once. Records
// of other kinds read all of it.
func (s *Store) Live(ctx context.Context, old Record, maps []Record) (int64, error) {
	ranges, err := s.liveRanges(ctx, old, maps)
	if err != nil {
		return 0, fmt.Errorf("measure what is read of blob %s: %w", old.Digest, err)
	}
	return size(ranges), nil
}

// byteRange is bytes of a blob, from off to end.
type byteRange struct{ off, end int64 }

func size(ranges []byteRange) (n int64) {
	for _, r := range ranges {
		n += r.end - r.off
	}
	return n
}

// liveRanges returns what is read of a blob, in order, none touching the next.
func (s *Store) liveRanges(ctx context.Context, old Record, maps []Record) ([]byteRange, error) {
	var all []byteRange
	for _, r := range maps {
		if r.Kind != Mapped {
			return []byteRange{{0, old.Size}}, nil
		}
		m, err := s.loadMap(ctx, r)
		if err != nil {
			return nil, err
		}
		for _, e := range m.All() {
			if e.Kind == extent.Source && digest.Digest(e.Digest) == old.Digest {
				all = append(all, byteRange{e.Offset, e.Offset + e.Length})
			}
		}
	}
	slices.SortFunc(all, func(a, b byteRange) int { return cmp.Compare(a.off, b.off) })
	merged := all[:0]
	for _, r := range all {
		if last := len(merged) - 1; last >= 0 && r.off <= merged[last].end {
			merged[last].end = max(merged[last].end, r.end)
			continue
		}
		merged = append(merged, r)
	}
	return merged, nil
}

// Repack writes a blob of only what maps read of another one, and maps that read
// it instead. All content of each is read once, as it will be from now on, and
// must have its digest. Nothing is changed: the caller commits the records, or
// removes their objects.
func (s *Store) Repack(ctx context.Context, old Record, maps []Record) (_ Repacked, err error) {
	ranges, err := s.liveRanges(ctx, old, maps)
	if err != nil {
		return Repacked{}, fmt.Errorf("repack blob %s: %w", old.Digest, err)
	}
	var done Repacked
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("repack blob %s: %w", old.Digest, err), s.discard(ctx, done))
		}
	}()
	if done.Pack, err = s.copyRanges(ctx, old, ranges); err != nil {
		return done, err
	}
	for _, r := range maps {
		moved, err := s.moveMap(ctx, r, old, done.Pack, ranges)
		if err != nil {
			return done, err
		}
		done.Maps = append(done.Maps, moved)
	}
	return done, nil
}

// discard removes objects that no record refers to.
func (s *Store) discard(ctx context.Context, r Repacked) error {
	var errs []error
	for _, record := range append(r.Maps, r.Pack) {
		if record.Key != "" {
			errs = append(errs, s.driver.Remove(ctx, record.Key))
		}
	}
	return errors.Join(errs...)
}

// copyRanges stores ranges of a blob, one after the other.
func (s *Store) copyRanges(ctx context.Context, old Record, ranges []byteRange) (Record, error) {
	blob, err := s.OpenRecord(ctx, old)
	if err != nil {
		return Record{}, err
	}
	defer blob.Close()
	return s.Write(ctx, "", func(w *Writer) error {
		if err := w.Expect(size(ranges), true); err != nil {
			return err
		}
		for _, r := range ranges {
			if _, err := io.Copy(w, io.NewSectionReader(blob, r.off, r.end-r.off)); err != nil {
				return err
			}
		}
		return nil
	})
}

// moveMap stores a map again that reads from a pack what it read from old.
func (s *Store) moveMap(ctx context.Context, r, old, pack Record, ranges []byteRange) (Record, error) {
	m, err := s.loadMap(ctx, r)
	if err != nil {
		return Record{}, err
	}
	var b extent.Builder
	for _, e := range m.All() {
		if e.Kind == extent.Source && digest.Digest(e.Digest) == old.Digest {
			e.Digest, e.Offset = extent.Digest(pack.Digest), packed(ranges, e.Offset)
		}
		b.Extent(e)
	}
	moved, err := b.Build()
	if err != nil {
		return Record{}, err
	}
	got, err := digestOf(ctx, moved, withRecord{s, pack}, r.Digest.Algorithm(), nil)
	if err == nil && got != r.Digest {
		err = &MismatchError{Want: r.Digest, Got: got}
	}
	if err != nil {
		return Record{}, fmt.Errorf("map of %s: %w", r.Digest, err)
	}
	key, err := s.putObject(ctx, Label{Digest: r.Digest, Kind: Mapped}, moved.Encode())
	if err != nil {
		return Record{}, err
	}
	return Record{Digest: r.Digest, Size: r.Size, Kind: Mapped, Key: key, Needs: needsOf(moved)}, nil
}

// packed returns where an offset of a range is once ranges stand one after the
// other.
func packed(ranges []byteRange, off int64) int64 {
	var at int64
	for _, r := range ranges {
		if off < r.end {
			return at + off - r.off
		}
		at += r.end - r.off
	}
	return at
}

// withRecord opens the blobs of a store, and one that is not in its index yet.
type withRecord struct {
	*Store
	record Record
}

func (w withRecord) OpenBlob(ctx context.Context, d extent.Digest) (extent.Blob, error) {
	if digest.Digest(d) == w.record.Digest {
		return w.OpenRecord(ctx, w.record)
	}
	return w.Store.OpenBlob(ctx, d)
}
