package gc

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/cloudlets/cloudlets/blobstore"
	"github.com/cloudlets/cloudlets/registry/metadata"
)

const (
	// batch is how many rows are listed at once.
	batch = 50
	// bite is how many rows one transaction takes: few enough that neither a push
	// that waits for it nor a pull that wants the processor notices.
	bite = 8
	// maxRest bounds how long the collector rests after a batch, which is as long
	// as the batch took: at least half of the time belongs to the traffic.
	maxRest = time.Second
	// removers is how many objects are removed at once.
	removers = 8
	// maxFailures is how many reviews may fail before a pass gives up. Each
	// failed one was put off.
	maxFailures = 10
)

// Objects is what the collector wants of a blobstore.Driver.
type Objects interface {
	Remove(ctx context.Context, key string) error
	List(ctx context.Context) iter.Seq2[blobstore.Object, error]
}

// Config is what a collector is made of.
type Config struct {
	Metadata *metadata.Store
	Objects  Objects
	// Blobs are what packs are rewritten in; nil leaves them as they are.
	Blobs  *blobstore.Store
	Policy Policy
	// OrphanInterval is how often Run searches for orphans; zero is a week.
	OrphanInterval time.Duration
	Log            *slog.Logger // nil is slog.Default
	// Observe is told by Run what each pass came to; nil is nobody.
	Observe func(Result)
}

// Collector collects garbage. Any number of them, on any number of nodes, share
// the work.
type Collector struct {
	meta    *metadata.Store
	objects Objects
	blobs   *blobstore.Store
	policy  atomic.Pointer[Policy]
	log     *slog.Logger

	orphanInterval time.Duration
	observe        func(Result)
}

// New returns a collector.
func New(c Config) (*Collector, error) {
	if c.Metadata == nil || c.Objects == nil {
		return nil, errors.New("new collector: both Metadata and Objects are needed")
	}
	if err := c.Policy.Check(); err != nil {
		return nil, fmt.Errorf("new collector: %w", err)
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.OrphanInterval == 0 {
		c.OrphanInterval = defaultOrphanInterval
	}
	if c.Observe == nil {
		c.Observe = func(Result) {}
	}
	collector := &Collector{meta: c.Metadata, objects: c.Objects, blobs: c.Blobs, log: c.Log, orphanInterval: c.OrphanInterval, observe: c.Observe}
	collector.SetPolicy(c.Policy)
	return collector, nil
}

// SetPolicy replaces the policy, which was checked, from the next decision on.
func (c *Collector) SetPolicy(p Policy) { c.policy.Store(&p) }

// keepUntagged asks the policy in force.
func (c *Collector) keepUntagged(repository string) time.Duration {
	return c.policy.Load().keepUntagged(repository)
}

// Result counts what a collection did.
type Result struct {
	Tags     int               `json:"tags"`     // retired by a policy
	Uploads  int               `json:"uploads"`  // expired
	Leases   int               `json:"leases"`   // expired
	Reviewed metadata.Reviewed `json:"reviewed"` // what came of the review queue
	Orphans  int               `json:"orphans"`  // objects put in the trash
	Removed  int               `json:"removed"`  // objects
	Freed    int64             `json:"freed"`    // bytes of the blobs that these were
	Repacked Repacked          `json:"repacked"` // packs that little was read of
}

// idle says whether there was nothing to do.
func (r Result) idle() bool { return r == Result{} }

// Collect does all that is due once: retention, expiry, reviews, the sweep of
// the trash, the rewriting of packs, and the search for orphans.
func (c *Collector) Collect(ctx context.Context) (Result, error) {
	var r Result
	var err error
	if r.Tags, err = c.Retire(ctx); err != nil {
		return r, err
	}
	if err := c.pass(ctx, &r); err != nil {
		return r, err
	}
	if r.Repacked, err = c.Repack(ctx); err != nil {
		return r, err
	}
	r.Orphans, err = c.FindOrphans(ctx)
	return r, err
}

// Plan says what Collect would do now and changes nothing. Orphans and uploads
// are left out, and so is what retired tags would release in time.
func (c *Collector) Plan(ctx context.Context) (Result, error) {
	var r Result
	err := c.eachRetired(ctx, func(string, metadata.TagAge) error {
		r.Tags++
		return nil
	})
	if err != nil {
		return r, err
	}
	if r.Reviewed, err = c.meta.ReviewDry(ctx, c.keepUntagged); err != nil {
		return r, fmt.Errorf("plan collection: %w", err)
	}
	if r.Repacked, err = c.PlanRepack(ctx); err != nil {
		return r, err
	}
	due, err := c.meta.DueTrash(ctx, maxPlanned)
	r.Removed = len(due)
	return r, err
}

// maxPlanned bounds how many objects Plan counts.
const maxPlanned = 1 << 20

// pass does what is due and has not been said to wait: everything but retention
// and orphans.
func (c *Collector) pass(ctx context.Context, r *Result) error {
	var err error
	if r.Uploads, err = drain(ctx, c.meta.ExpireUploads); err != nil {
		return err
	}
	if r.Leases, err = drain(ctx, c.meta.ExpireLeases); err != nil {
		return err
	}
	if _, err = drain(ctx, c.meta.ExpireGraves); err != nil {
		return err
	}
	if err := c.review(ctx, r); err != nil {
		return err
	}
	r.Removed, err = drain(ctx, func(ctx context.Context, limit int) (int, error) { return c.sweep(ctx, limit, &r.Freed) })
	return err
}

// drain calls a step until it finds less than a batch, and adds up.
func drain(ctx context.Context, step func(context.Context, int) (int, error)) (total int, err error) {
	for {
		began := time.Now()
		n, err := step(ctx, bite)
		total += n
		if err != nil || n < bite {
			return total, err
		}
		rest(ctx, time.Since(began))
	}
}

// rest rests after work that took a while, or until ctx is done.
func rest(ctx context.Context, took time.Duration) {
	timer := time.NewTimer(min(took, maxRest))
	defer timer.Stop()
	select {
	case <-ctx.Done(): // the next step says so
	case <-timer.C:
	}
}

// review reviews until nothing is due.
func (c *Collector) review(ctx context.Context, r *Result) error {
	ctx = metadata.WithOrigin(ctx, metadata.Origin{Actor: collection})
	var errs []error
	for {
		began := time.Now()
		done, err := c.meta.Review(ctx, bite, c.keepUntagged)
		if err != nil {
			errs = append(errs, err)
			if len(errs) == maxFailures || ctx.Err() != nil {
				return errors.Join(errs...)
			}
			continue
		}
		r.Reviewed.Add(done)
		switch done.Total() {
		case 0:
			return errors.Join(errs...)
		case bite:
			rest(ctx, time.Since(began))
		}
	}
}

// sweep removes up to limit objects whose time in the trash is over and returns
// how many, adding their bytes to freed. An object goes before its row, so a crash between the two only
// repeats the removal; one that cannot be removed is due again after a while.
func (c *Collector) sweep(ctx context.Context, limit int, freed *int64) (int, error) {
	keys, err := c.meta.ClaimTrash(ctx, limit)
	if err != nil {
		return 0, err
	}
	errs := make([]error, len(keys))
	var group errgroup.Group
	group.SetLimit(removers)
	for i, key := range keys {
		group.Go(func() error {
			if err := c.objects.Remove(ctx, key); err != nil {
				errs[i] = fmt.Errorf("remove object %s: %w", key, err)
			}
			return nil
		})
	}
	_ = group.Wait() // the errors are in errs
	removed := make([]string, 0, len(keys))
	for i, key := range keys {
		if errs[i] == nil {
			removed = append(removed, key)
		}
	}
	bytes, err := c.meta.ForgetTrash(ctx, removed...)
	*freed += bytes
	return len(removed), errors.Join(errors.Join(errs...), err)
}

// retention is the actor that the history of a retired tag names.
const retention = "retention"

// collection is the actor that events name of what a review has removed.
const collection = "garbage-collection"

// Retire removes the tags that the policy does not keep and returns how many,
// and has untagged manifests reviewed where the policy does not keep them.
func (c *Collector) Retire(ctx context.Context) (tags int, err error) {
	err = c.eachRetired(ctx, func(repository string, tag metadata.TagAge) error {
		retired, err := c.meta.RetireTag(ctx, repository, tag, retention)
		if errors.Is(err, metadata.ErrHeld) {
			return nil
		}
		if retired {
			tags++
		}
		return err
	})
	if err != nil {
		return tags, err
	}
	return tags, c.eachRepository(ctx, func(repository string, r Rule) error {
		if r.DeleteUntagged == 0 {
			return nil
		}
		return c.meta.ReviewUntagged(ctx, repository)
	})
}

// eachRetired calls each for every tag that the policy does not keep.
func (c *Collector) eachRetired(ctx context.Context, each func(repository string, tag metadata.TagAge) error) error {
	return c.eachRepository(ctx, func(repository string, r Rule) error {
		if r.KeepNewest == 0 {
			return nil
		}
		tags, err := c.meta.TagsByAge(ctx, repository)
		if err != nil {
			return err
		}
		for _, tag := range r.retired(tags) {
			if err := each(repository, tag); err != nil {
				return err
			}
		}
		return nil
	})
}

// eachRepository calls each for every repository, with its rule.
func (c *Collector) eachRepository(ctx context.Context, each func(repository string, r Rule) error) error {
	policy := c.policy.Load()
	if len(policy.Rules) == 0 {
		return nil
	}
	last := ""
	for {
		names, err := c.meta.Repositories(ctx, last, batch)
		if err != nil {
			return err
		}
		for _, name := range names {
			if err := each(name, policy.rule(name)); err != nil {
				return err
			}
			last = name
		}
		if len(names) < batch {
			return nil
		}
	}
}

// FindOrphans lists the objects of the store and puts those in the trash that
// nothing referred to, neither now nor twice the life of an upload ago. It
// returns how many.
func (c *Collector) FindOrphans(ctx context.Context) (orphans int, err error) {
	start, err := c.meta.Now(ctx)
	if err != nil {
		return 0, err
	}
	keys := make([]string, 0, batch)
	began := time.Now()
	flush := func() error {
		n, err := c.suspect(ctx, keys)
		orphans += n
		keys = keys[:0]
		return err
	}
	for o, err := range c.objects.List(ctx) {
		if err != nil {
			return orphans, fmt.Errorf("find orphans: %w", err)
		}
		if keys = append(keys, o.Key); len(keys) < batch {
			continue
		}
		if err := flush(); err != nil {
			return orphans, err
		}
		rest(ctx, time.Since(began))
		began = time.Now()
	}
	if err := flush(); err != nil {
		return orphans, err
	}
	return orphans, c.meta.ForgetSuspects(ctx, start)
}

// suspect tells the store of those objects that nothing refers to.
func (c *Collector) suspect(ctx context.Context, keys []string) (int, error) {
	unknown, err := c.meta.UnknownObjects(ctx, keys)
	if err != nil || len(unknown) == 0 {
		return 0, err
	}
	return c.meta.SuspectObjects(ctx, unknown)
}
