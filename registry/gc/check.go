package gc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/blobstore"
	"github.com/cloudlets/cloudlets/registry/metadata"
	"github.com/cloudlets/cloudlets/registry/scrub"
)

// Damage is a blob whose object is missing or is not what its record says.
type Damage struct {
	Digest       digest.Digest `json:"digest"`
	Key          string        `json:"object"`
	Problem      string        `json:"problem"`
	Quarantined  *time.Time    `json:"quarantined,omitempty"`  // since when it is not served
	Repositories []string      `json:"repositories,omitempty"` // that hold the blob; not all of many
	Repaired     string        `json:"repaired,omitempty"`     // the object that stands for it now
	record       blobstore.Record
}

// Findings are what [Check] has found.
type Findings struct {
	Blobs   int      `json:"blobs"`   // records
	Objects int      `json:"objects"` // in the store
	Damaged []Damage `json:"damaged"`
	Orphans int      `json:"orphans"`     // objects that nothing refers to
	Bytes   int64    `json:"orphanBytes"` // of those
	// LostJournals are the objects of journals that are missing: until there is
	// a complete one, what they told of cannot be rebuilt. Servers are not
	// affected.
	LostJournals []string `json:"lostJournals,omitempty"`
}

// Sound says whether no blob is damaged any more.
func (f Findings) Sound() bool {
	for _, d := range f.Damaged {
		if d.Repaired == "" {
			return false
		}
	}
	return true
}

// maxHolders is how many repositories are named of those that hold a blob.
const maxHolders = 10

// CheckOptions say how much Check does.
type CheckOptions struct {
	// Verify reads the content of all blobs and compares their digests.
	Verify bool
	// Repair puts damaged blobs in quarantine, and takes those out again of which
	// the store has another object that is whole.
	Repair bool
	// Progress, if not nil, is written what is read to verify.
	Progress io.Writer
}

// Check compares records and objects in both directions: every record must have
// its object, of the right size, and every object something that refers to it. It
// may run beside servers. The error is one of looking: what is damaged is a finding.
//
// With Repair, a damaged blob of which the store has another object — one that lost
// a race and is in the trash, say — is read from that one, once all of it was read
// and has the digest. Orphans are left to the collector, which waits until nobody
// can be writing them any more. Where a journal is missing a complete one is the next
// that is written.
func Check(ctx context.Context, meta *metadata.Store, blobs *blobstore.Store, o CheckOptions) (Findings, error) {
	c := checker{meta: meta, blobs: blobs, options: o, damaged: make(map[digest.Digest]int)}
	if err := c.quarantined(ctx); err != nil {
		return c.found, fmt.Errorf("check the quarantine: %w", err)
	}
	if err := c.records(ctx); err != nil {
		return c.found, fmt.Errorf("check records: %w", err)
	}
	if err := c.journals(ctx); err != nil {
		return c.found, fmt.Errorf("check journals: %w", err)
	}
	if err := c.objects(ctx); err != nil {
		return c.found, fmt.Errorf("check objects: %w", err)
	}
	return c.found, nil
}

type checker struct {
	meta    *metadata.Store
	blobs   *blobstore.Store
	options CheckOptions
	found   Findings
	damaged map[digest.Digest]int // where in found.Damaged
}

// records looks for the object of every record.
func (c *checker) records(ctx context.Context) error {
	var last digest.Digest
	for {
		page, err := c.meta.Records(ctx, last, batch)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, r := range page {
			last = r.Digest
			c.found.Blobs++
			if err := c.record(ctx, r); err != nil {
				return err
			}
		}
	}
}

// quarantined lists the blobs that were found damaged before.
func (c *checker) quarantined(ctx context.Context) error {
	var last digest.Digest
	for {
		page, err := c.meta.Quarantined(ctx, "", last, batch)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, q := range page {
			last = q.Digest
			if err := c.add(ctx, q.Record, q.Reason, &q.Since); err != nil {
				return err
			}
		}
	}
}

// add adds a damaged blob to the findings.
func (c *checker) add(ctx context.Context, r blobstore.Record, problem string, since *time.Time) error {
	holders, err := c.meta.Holders(ctx, r.Digest, maxHolders)
	if err != nil {
		return err
	}
	c.damaged[r.Digest] = len(c.found.Damaged)
	c.found.Damaged = append(c.found.Damaged, Damage{
		Digest: r.Digest, Key: r.Key, Problem: problem, Quarantined: since, Repositories: holders, record: r,
	})
	return nil
}

// record checks the object of one record, as it is now: it may have been collected
// since it was listed.
func (c *checker) record(ctx context.Context, listed blobstore.Record) error {
	b, err := c.meta.BlobToScrub(ctx, listed.Digest)
	if errors.Is(err, blobstore.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	err = c.verify(ctx, b.Record)
	if err == nil {
		return c.sound(ctx, b)
	}
	if !errors.Is(err, blobstore.ErrDamaged) {
		return err
	}
	if b.Quarantined {
		return nil // it is among the findings
	}
	if c.options.Repair {
		if _, err := c.meta.Quarantine(ctx, b.Record, err.Error()); err != nil {
			return err
		}
	}
	return c.add(ctx, b.Record, err.Error(), nil)
}

// verify looks at an object as closely as was asked for. One that others are read
// through is small, and is read in any case.
func (c *checker) verify(ctx context.Context, r blobstore.Record) error {
	if r.Kind == blobstore.Whole && !c.options.Verify {
		return c.blobs.Check(ctx, r)
	}
	return c.blobs.Verify(ctx, r, c.options.Progress)
}

// sound takes note of a blob whose object is as it should be, as far as was looked.
func (c *checker) sound(ctx context.Context, b metadata.Scrubbing) error {
	if !c.options.Repair || !c.options.Verify && !b.Quarantined {
		return nil
	}
	if b.Quarantined && c.blobs.Verify(ctx, b.Record, c.options.Progress) != nil {
		return ctx.Err()
	}
	if err := c.meta.Verified(ctx, b.Record); err != nil {
		return err
	}
	if i, ok := c.damaged[b.Digest]; ok {
		c.found.Damaged[i].Repaired = b.Key
	}
	return nil
}

// journals looks for the object of every journal.
func (c *checker) journals(ctx context.Context) error {
	journals, err := c.meta.Journals(ctx)
	if err != nil {
		return err
	}
	for _, j := range journals {
		object, err := c.blobs.Driver().Open(ctx, j.Key)
		if err == nil {
			err = object.Close()
		}
		if errors.Is(err, blobstore.ErrNotFound) {
			c.found.LostJournals = append(c.found.LostJournals, j.Key)
			continue
		}
		if err != nil {
			return err
		}
	}
	if !c.options.Repair || len(c.found.LostJournals) == 0 {
		return nil
	}
	return c.meta.ForgetJournals(ctx)
}

// objects looks for whatever refers to every object, and for objects that can
// stand for damaged blobs.
func (c *checker) objects(ctx context.Context) error {
	page := make([]blobstore.Object, 0, batch)
	for o, err := range c.blobs.Driver().List(ctx) {
		if err != nil {
			return err
		}
		c.found.Objects++
		if page = append(page, o); len(page) < batch {
			continue
		}
		if err := c.page(ctx, page); err != nil {
			return err
		}
		page = page[:0]
	}
	return c.page(ctx, page)
}

func (c *checker) page(ctx context.Context, page []blobstore.Object) error {
	keys := make([]string, len(page))
	sizes := make(map[string]int64, len(page))
	for i, o := range page {
		if c.options.Repair {
			if err := c.repair(ctx, o); err != nil {
				return err
			}
		}
		keys[i] = o.Key
		sizes[o.Key] = o.Size
	}
	unknown, err := c.meta.UnknownObjects(ctx, keys)
	if err != nil {
		return err
	}
	c.found.Orphans += len(unknown)
	for _, key := range unknown {
		c.found.Bytes += sizes[key]
	}
	return nil
}

// repair lets an object stand for a damaged blob if it is that blob.
func (c *checker) repair(ctx context.Context, o blobstore.Object) error {
	i, damaged := c.damaged[o.Label.Digest]
	if !damaged || c.found.Damaged[i].Repaired != "" {
		return nil
	}
	done, err := scrub.ReplaceBy(ctx, c.meta, c.blobs, c.found.Damaged[i].record, o, c.options.Progress)
	if done {
		c.found.Damaged[i].Repaired = o.Key
	}
	return err
}
