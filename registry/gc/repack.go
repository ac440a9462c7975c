package gc

import (
	"context"
	"errors"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/blobstore"
)

// repackInterval is how often packs are looked through, by one node for all.
const repackInterval = 24 * time.Hour

// Repacked counts what a pass over packs came to.
type Repacked struct {
	Packs int   `json:"packs"` // rewritten
	Bytes int64 `json:"bytes"` // that are free once the old ones are collected
}

// Repack rewrites packs — blobs that no repository holds, kept only because maps
// read some of their frames — of which less than half is read: what is read gets
// an object of its own, and the maps read that. It rests as long as it works.
func (c *Collector) Repack(ctx context.Context) (done Repacked, err error) {
	return c.eachPack(ctx, func(old blobstore.Record, maps []blobstore.Record) error {
		return c.repack(ctx, old, maps)
	})
}

// PlanRepack says what Repack would come to.
func (c *Collector) PlanRepack(ctx context.Context) (Repacked, error) {
	return c.eachPack(ctx, func(blobstore.Record, []blobstore.Record) error { return nil })
}

// eachPack calls each for every pack of which less than half is read.
func (c *Collector) eachPack(ctx context.Context, each func(old blobstore.Record, maps []blobstore.Record) error) (done Repacked, err error) {
	if c.blobs == nil {
		return done, nil
	}
	var last digest.Digest
	for {
		packs, err := c.meta.Packs(ctx, last, batch)
		if err != nil || len(packs) == 0 {
			return done, err
		}
		for _, old := range packs {
			last = old.Digest
			began := time.Now()
			maps, err := c.meta.Dependents(ctx, old.Digest)
			if err != nil {
				return done, err
			}
			live, err := c.blobs.Live(ctx, old, maps)
			if errors.Is(err, blobstore.ErrNotFound) {
				continue // a map was collected meanwhile
			}
			if err != nil {
				return done, err
			}
			if live == 0 || 2*live >= old.Size {
				continue
			}
			err = each(old, maps)
			if errors.Is(err, blobstore.ErrNotFound) {
				continue // collected while it was read
			}
			if err != nil {
				return done, err
			}
			done.Packs++
			done.Bytes += old.Size - live
			rest(ctx, time.Since(began))
		}
	}
}

// repack rewrites one pack. Where the records cannot be committed the objects are
// orphans.
func (c *Collector) repack(ctx context.Context, old blobstore.Record, maps []blobstore.Record) error {
	made, err := c.blobs.Repack(ctx, old, maps)
	if err != nil {
		return err
	}
	return c.meta.ReplacePack(ctx, old.Digest, made.Pack, maps, made.Maps)
}
