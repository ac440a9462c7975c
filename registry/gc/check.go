package gc

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/blobstore"
	"github.com/cloudlets/cloudlets/registry/metadata"
)

// Damage is a blob whose object is missing or is not what its record says.
type Damage struct {
	Digest       digest.Digest `json:"digest"`
	Key          string        `json:"object"`
	Problem      string        `json:"problem"`
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

// Check compares records and objects in both directions: every record must have
// its object, of the right size, and every object something that refers to it.
// Contents are not read. It may run beside servers.
//
// With repair, a damaged blob of which the store has another object — one that
// lost a race and is in the trash, say — is read from that one, once all of it
// was read and has the digest. Orphans are left to the collector, which waits
// until nobody can be writing them any more. Where a journal is missing a
// complete one is the next that is written.
func Check(ctx context.Context, meta *metadata.Store, blobs *blobstore.Store, repair bool) (Findings, error) {
	c := checker{meta: meta, blobs: blobs, damaged: make(map[digest.Digest]int)}
	if err := c.records(ctx); err != nil {
		return c.found, fmt.Errorf("check records: %w", err)
	}
	if err := c.journals(ctx, repair); err != nil {
		return c.found, fmt.Errorf("check journals: %w", err)
	}
	if err := c.objects(ctx, repair); err != nil {
		return c.found, fmt.Errorf("check objects: %w", err)
	}
	return c.found, nil
}

type checker struct {
	meta    *metadata.Store
	blobs   *blobstore.Store
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

func (c *checker) record(ctx context.Context, r blobstore.Record) error {
	problem := c.open(ctx, r)
	if problem == nil {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	// It may have been collected since it was listed.
	now, err := c.meta.LookupBlob(ctx, r.Digest)
	if errors.Is(err, blobstore.ErrNotFound) || err == nil && now.Key != r.Key {
		return nil
	}
	if err != nil {
		return err
	}
	holders, err := c.meta.Holders(ctx, r.Digest, maxHolders)
	if err != nil {
		return err
	}
	c.damaged[r.Digest] = len(c.found.Damaged)
	c.found.Damaged = append(c.found.Damaged, Damage{
		Digest: r.Digest, Key: r.Key, Problem: problem.Error(), Repositories: holders, record: r,
	})
	return nil
}

// open opens a blob, which compares its size, and closes it.
func (c *checker) open(ctx context.Context, r blobstore.Record) error {
	blob, err := c.blobs.OpenRecord(ctx, r)
	if err != nil {
		return err
	}
	return blob.Close()
}

// journals looks for the object of every journal.
func (c *checker) journals(ctx context.Context, repair bool) error {
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
	if !repair || len(c.found.LostJournals) == 0 {
		return nil
	}
	return c.meta.ForgetJournals(ctx)
}

// objects looks for whatever refers to every object, and for objects that can
// stand for damaged blobs.
func (c *checker) objects(ctx context.Context, repair bool) error {
	page := make([]blobstore.Object, 0, batch)
	for o, err := range c.blobs.Driver().List(ctx) {
		if err != nil {
			return err
		}
		c.found.Objects++
		if page = append(page, o); len(page) < batch {
			continue
		}
		if err := c.page(ctx, page, repair); err != nil {
			return err
		}
		page = page[:0]
	}
	return c.page(ctx, page, repair)
}

func (c *checker) page(ctx context.Context, page []blobstore.Object, repair bool) error {
	keys := make([]string, len(page))
	sizes := make(map[string]int64, len(page))
	for i, o := range page {
		if repair {
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
	if !o.Sealed || !damaged {
		return nil
	}
	d := &c.found.Damaged[i]
	if d.Repaired != "" || o.Key == d.Key || o.Label.Kind != d.record.Kind {
		return nil
	}
	r := d.record
	r.Key = o.Key
	if c.verify(ctx, r) != nil {
		return ctx.Err() // no better than the other
	}
	err := c.meta.RepointBlob(ctx, r.Digest, d.Key, r.Key)
	if errors.Is(err, metadata.ErrConflict) || errors.Is(err, blobstore.ErrNotFound) {
		return nil
	}
	if err == nil {
		d.Repaired = r.Key
	}
	return err
}

// verify reads a blob and compares its digest.
func (c *checker) verify(ctx context.Context, r blobstore.Record) error {
	blob, err := c.blobs.OpenRecord(ctx, r)
	if err != nil {
		return err
	}
	got, err := r.Digest.Algorithm().FromReader(io.NewSectionReader(blob, 0, blob.Size()))
	if err == nil && got != r.Digest {
		err = &blobstore.MismatchError{Want: r.Digest, Got: got}
	}
	return errors.Join(err, blob.Close())
}
