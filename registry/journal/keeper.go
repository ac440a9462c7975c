package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/cloudlets/cloudlets/blobstore"
	"github.com/cloudlets/cloudlets/registry/metadata"
)

// Interval is how often a journal is written if anything was changed.
const Interval = 2 * time.Second

const (
	// maxChanges and maxBytes bound one journal, and so the time that its
	// transaction keeps others waiting. What is left is in the next one.
	maxChanges = 1000
	maxBytes   = 16 << 20

	// completeInterval is how often it is asked whether a complete journal is
	// due, completeRetry how long a node has for one until another one tries.
	completeInterval = time.Minute
	completeRetry    = 10 * time.Minute

	// Journals since the last complete one may weigh as many bytes as that and
	// freeWeight more, each counting as leastWeight at least. So the store holds
	// a small multiple of what a complete journal takes, and a rebuild reads about
	// a thousand small objects at most, or as many bytes as it must.
	leastWeight = 64 << 10
	freeWeight  = 64 << 20
)

// The duties of keepers, each done by one node at a time.
const (
	dutyChanges  = "journal"
	dutyComplete = "complete journal"
)

// Config is what a keeper is made of.
type Config struct {
	Metadata *metadata.Store
	Blobs    *blobstore.Store
	// Spool is a directory for a complete journal while it is made. Nothing stays
	// in it. Empty is the system's for temporary files.
	Spool string
	Log   *slog.Logger // nil is slog.Default
}

// Keeper writes journals. Any number of them, on any number of nodes, share the
// work.
type Keeper struct {
	meta  *metadata.Store
	blobs *blobstore.Store
	spool string
	log   *slog.Logger
}

// NewKeeper returns a keeper.
func NewKeeper(c Config) *Keeper {
	if c.Log == nil {
		c.Log = slog.Default()
	}
	return &Keeper{meta: c.Metadata, blobs: c.Blobs, spool: c.Spool, log: c.Log}
}

// Run writes journals until ctx is done. What fails is logged and tried again.
// Flush writes what is left then.
func (k *Keeper) Run(ctx context.Context) {
	if err := k.verify(ctx); err != nil && ctx.Err() == nil {
		k.log.ErrorContext(ctx, "journals not verified", "error", err)
	}
	var work sync.WaitGroup
	work.Go(func() { k.every(ctx, Interval, "journal not written, changes wait for the next one", k.writeDue) })
	work.Go(func() {
		k.every(ctx, completeInterval, "complete journal not written, trying again later", k.completeDue)
	})
	work.Wait()
}

// verify makes sure that the last complete journal is there: a database that was
// restored from a backup may know of one that was removed since.
func (k *Keeper) verify(ctx context.Context) error {
	journals, err := k.meta.Journals(ctx)
	if err != nil || len(journals) == 0 {
		return err
	}
	object, err := k.blobs.Driver().Open(ctx, journals[0].Key)
	if errors.Is(err, blobstore.ErrNotFound) {
		k.log.WarnContext(ctx, "a journal is lost, beginning with a complete one", "object", journals[0].Key)
		return k.meta.ForgetJournals(ctx)
	}
	if err != nil {
		return err
	}
	return object.Close()
}

// every calls a step at once and then after every interval.
func (k *Keeper) every(ctx context.Context, interval time.Duration, failed string, step func(context.Context) error) {
	ticks := time.NewTicker(interval)
	defer ticks.Stop()
	for {
		if err := step(ctx); err != nil && ctx.Err() == nil {
			k.log.ErrorContext(ctx, failed, "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticks.C:
		}
	}
}

// writeDue writes what was changed, unless another node has just done it.
func (k *Keeper) writeDue(ctx context.Context) error {
	n, err := k.meta.Unjournaled(ctx, 1)
	if err != nil || n == 0 {
		return err
	}
	// Half an interval: a node whose tick comes a little early must not wait for
	// the one after.
	mine, err := k.meta.ClaimDuty(ctx, dutyChanges, Interval/2)
	if err != nil || !mine {
		return err
	}
	return k.Flush(ctx)
}

// Flush writes everything that was changed into journals.
func (k *Keeper) Flush(ctx context.Context) error {
	for {
		n, err := k.write(ctx)
		if err != nil || n == 0 {
			return err
		}
	}
}

// write writes one journal of what was changed and returns how many entries it
// has.
func (k *Keeper) write(ctx context.Context) (int, error) {
	j, entries, err := k.meta.TakeChanges(ctx, maxChanges, maxBytes)
	if err != nil || len(entries) == 0 {
		return 0, err
	}
	var b bytes.Buffer
	enc, err := newEncoder(&b)
	if err != nil {
		return 0, err
	}
	err = enc.begin(j)
	for _, e := range entries {
		err = errors.Join(err, enc.add(e))
	}
	if err := errors.Join(err, enc.Close()); err != nil {
		return 0, fmt.Errorf("write journal %d: %w", j.Number, err)
	}
	return len(entries), k.save(ctx, j, &b)
}

// save stores an encoded journal and records it. Where that fails the object is
// an orphan, which does no harm.
func (k *Keeper) save(ctx context.Context, j metadata.Journal, encoded io.Reader) error {
	w, err := k.blobs.CreateJournal(ctx)
	if err != nil {
		return fmt.Errorf("write journal %d: %w", j.Number, err)
	}
	if _, err := io.Copy(w, encoded); err != nil {
		return errors.Join(fmt.Errorf("write journal %d: %w", j.Number, err), w.Close(), k.blobs.Remove(ctx, w.Key()))
	}
	record, err := w.Seal(ctx, "")
	if err != nil {
		return fmt.Errorf("write journal %d: %w", j.Number, err)
	}
	j.Key, j.Size = record.Key, record.Size
	return k.meta.SaveJournal(ctx, j)
}

// completeDue writes a complete journal if it is time and nobody else does.
func (k *Keeper) completeDue(ctx context.Context) error {
	journals, err := k.meta.Journals(ctx)
	if err != nil || !due(journals) {
		return err
	}
	mine, err := k.meta.ClaimDuty(ctx, dutyComplete, completeRetry)
	if err != nil || !mine {
		return err
	}
	return k.Complete(ctx)
}

// due says whether a complete journal is due.
func due(journals []metadata.Journal) bool {
	if len(journals) == 0 || !journals[0].Complete {
		return true
	}
	var weight int64
	for _, j := range journals[1:] {
		weight += max(j.Size, leastWeight)
	}
	return weight >= journals[0].Size+freeWeight
}

// Complete writes a complete journal. Those before it are of no use any more and
// go to the trash.
func (k *Keeper) Complete(ctx context.Context) (err error) {
	file, err := os.CreateTemp(k.spool, "journal-*")
	if err != nil {
		return fmt.Errorf("write complete journal: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	// Without a name nothing is left of it, however the process ends.
	if err := os.Remove(file.Name()); err != nil {
		return fmt.Errorf("write complete journal: %w", err)
	}
	j, err := k.gather(ctx, file)
	if err != nil {
		return fmt.Errorf("write complete journal: %w", err)
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("write complete journal: %w", err)
	}
	return k.save(ctx, j, file)
}

// gather writes what a complete journal holds and returns its numbers.
func (k *Keeper) gather(ctx context.Context, w io.Writer) (j metadata.Journal, err error) {
	enc, err := newEncoder(w)
	if err != nil {
		return j, err
	}
	j, err = k.meta.Everything(ctx, enc.begin, enc.add)
	return j, errors.Join(err, enc.Close())
}
