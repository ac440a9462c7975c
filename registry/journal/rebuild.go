package journal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/blobstore"
	"github.com/cloudlets/cloudlets/registry"
	"github.com/cloudlets/cloudlets/registry/metadata"
)

// ErrNoJournal says that there is nothing to rebuild a database from.
var ErrNoJournal = errors.New("the store holds no journal that can be read")

// rebuildBatch is how many rows one transaction inserts.
const rebuildBatch = 200

// Lost is something that a journal tells of and that could not be rebuilt.
type Lost struct {
	Kind       metadata.EntryKind `json:"kind"`
	Repository string             `json:"repository"`
	Reference  string             `json:"reference"`
	Why        string             `json:"why"`
}

// Report says what was rebuilt and what was not.
type Report struct {
	Journals     int      `json:"journals"` // that were read
	Problems     []string `json:"problems,omitempty"`
	Repositories int      `json:"repositories"`
	Blobs        int      `json:"blobs"` // records, also of those that others are read from
	Links        int      `json:"links"` // blobs in repositories
	Manifests    int      `json:"manifests"`
	Tags         int      `json:"tags"`
	Holds        int      `json:"holds"`
	Renders      int      `json:"renders"`
	Lost         []Lost   `json:"lost,omitempty"`
}

// Rebuild fills an empty database from the objects of a store, ties it to the
// store of the given id, and writes a complete journal of the result. Blobs are
// not read; that is for a scrub. What has no bytes any more is left out and
// reported: a blob, a manifest that refers to it, the tags of that.
//
// A rebuild that was cut off is begun again with the same database. The error
// wraps metadata.ErrNotEmpty where it holds something else, and [ErrNoJournal].
func Rebuild(ctx context.Context, c Config, storeID string) (Report, error) {
	r := &rebuilder{meta: c.Metadata, blobs: c.Blobs, state: make(state)}
	if err := r.rebuild(ctx, storeID); err != nil {
		return r.report, fmt.Errorf("rebuild: %w", err)
	}
	if err := NewKeeper(c).Complete(ctx); err != nil {
		return r.report, fmt.Errorf("rebuild: %w", err)
	}
	return r.report, nil
}

type rebuilder struct {
	meta   *metadata.Store
	blobs  *blobstore.Store
	report Report
	found  *inventory
	state  state
}

func (r *rebuilder) rebuild(ctx context.Context, storeID string) (err error) {
	if r.found, err = takeInventory(ctx, r.blobs); err != nil {
		return err
	}
	journals, err := r.readJournals(ctx)
	if err != nil {
		return err
	}
	if err := r.meta.BeginRebuild(ctx); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{r.rebuildBlobs, r.rebuildManifests, r.rebuildRest} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	last := journals[len(journals)-1].Number
	return r.meta.EndRebuild(ctx, storeID, last, journals)
}

// found is a journal in the store that can be read.
type found struct {
	header
	object blobstore.Object
}

// readJournals brings the state up to date with all journals that count, and
// returns all that can be read, in their order.
func (r *rebuilder) readJournals(ctx context.Context) ([]metadata.Journal, error) {
	all := make(map[int64]found)
	var journals []metadata.Journal
	for _, o := range r.found.journals {
		h, err := r.readHeader(ctx, o)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			r.problemf("journal %s: %v", o.Key, err)
			continue
		}
		all[h.Number] = found{h, o}
		journals = append(journals, metadata.Journal{Number: h.Number, Key: o.Key, Size: o.Size, Complete: h.Complete})
	}
	if len(journals) == 0 {
		return nil, errors.Join(append(problems(r.report.Problems), ErrNoJournal)...)
	}
	slices.SortFunc(journals, func(a, b metadata.Journal) int { return cmp.Compare(a.Number, b.Number) })
	for _, j := range slices.Backward(r.chain(all, all[journals[len(journals)-1].Number])) {
		if err := r.readEntries(ctx, j.object); err != nil {
			return nil, fmt.Errorf("journal %s: %w", j.object.Key, err)
		}
		r.report.Journals++
	}
	return journals, nil
}

// chain returns the journals that count, from the newest one back to a complete
// one. Where that is damaged, it goes on to the one before.
func (r *rebuilder) chain(all map[int64]found, newest found) []found {
	chain := []found{newest}
	if newest.Complete {
		return chain
	}
	base := newest.Base
	for at := newest; ; {
		complete, whole := all[base]
		if whole && at.Previous <= base {
			return append(chain, complete)
		}
		previous, ok := all[at.Previous]
		if !ok {
			if at.Previous == 0 && base == 0 {
				r.problemf("there is no complete journal: what was not changed since the first one is missing")
				return chain
			}
			r.problemf("the journal before number %d is missing: what was changed in it is as it was before that", at.Number)
			if whole {
				chain = append(chain, complete)
			}
			return chain
		}
		chain = append(chain, previous)
		if at = previous; !whole {
			base = at.Base
		}
	}
}

func (r *rebuilder) problemf(format string, args ...any) {
	r.report.Problems = append(r.report.Problems, fmt.Sprintf(format, args...))
}

func problems(texts []string) []error {
	errs := make([]error, len(texts))
	for i, text := range texts {
		errs[i] = errors.New(text)
	}
	return errs
}

// readHeader reads the header of a journal and makes sure that the rest is what
// was written.
func (r *rebuilder) readHeader(ctx context.Context, o blobstore.Object) (h header, err error) {
	blob, err := r.blobs.OpenObject(ctx, o)
	if err != nil {
		return header{}, err
	}
	defer func() { err = errors.Join(err, blob.Close()) }()
	d, err := newDecoder(io.NewSectionReader(blob, 0, blob.Size()))
	if err != nil {
		return header{}, err
	}
	d.Close()
	return d.header, nil
}

// readEntries applies the entries of a journal.
func (r *rebuilder) readEntries(ctx context.Context, o blobstore.Object) (err error) {
	blob, err := r.blobs.OpenObject(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, blob.Close()) }()
	d, err := newDecoder(io.NewSectionReader(blob, 0, blob.Size()))
	if err != nil {
		return err
	}
	defer d.Close()
	for {
		e, err := d.next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		r.state.apply(e)
	}
}

// lose reports something that cannot be rebuilt, and leaves it out.
func (r *rebuilder) losef(e metadata.Entry, format string, args ...any) {
	r.state.drop(e)
	r.report.Lost = append(r.report.Lost, Lost{e.Kind, e.Repository, e.Reference, fmt.Sprintf(format, args...)})
}

// rebuildBlobs rebuilds the records of blobs, repositories, and which blobs they
// hold.
func (r *rebuilder) rebuildBlobs(ctx context.Context) error {
	links := r.state.of(metadata.EntryBlob)
	wanted := make([]digest.Digest, len(links))
	for i, e := range links {
		wanted[i] = digest.Digest(e.Reference)
	}
	if err := r.found.inspect(ctx, wanted); err != nil {
		return err
	}
	for _, e := range links {
		switch d := digest.Digest(e.Reference); {
		case r.found.choose(d):
		case len(r.found.objects[d]) == 0:
			r.losef(e, "the store has no object of it")
		default:
			r.losef(e, "what it is read from is missing, or its object is damaged")
		}
	}
	r.report.Blobs = len(r.found.order)
	if err := batches(r.found.order, func(batch []blobstore.Record) error { return r.meta.RebuildBlobs(ctx, batch) }); err != nil {
		return err
	}
	if err := r.rebuildEntries(ctx, metadata.EntryRepository, &r.report.Repositories); err != nil {
		return err
	}
	return r.rebuildEntries(ctx, metadata.EntryBlob, &r.report.Links)
}

// rebuildEntries rebuilds the entries of a kind.
func (r *rebuilder) rebuildEntries(ctx context.Context, kind metadata.EntryKind, count *int) error {
	entries := r.state.of(kind)
	*count = len(entries)
	return batches(entries, func(batch []metadata.Entry) error { return r.meta.RebuildEntries(ctx, batch) })
}

func batches[T any](all []T, each func([]T) error) error {
	for batch := range slices.Chunk(all, rebuildBatch) {
		if err := each(batch); err != nil {
			return err
		}
	}
	return nil
}

// rebuildManifests rebuilds the manifests whose blobs are there.
func (r *rebuilder) rebuildManifests(ctx context.Context) error {
	var manifests []metadata.RebuiltManifest
	for _, e := range r.state.of(metadata.EntryManifest) {
		m, refs, err := registry.ParseManifest(digest.Digest(e.Reference), e.MediaType, e.Raw)
		if err != nil {
			r.losef(e, "%v", err)
			continue
		}
		if missing := r.missing(e.Repository, refs); missing != "" {
			r.losef(e, "it refers to blob %s, which is lost", missing)
			continue
		}
		manifests = append(manifests, metadata.RebuiltManifest{Entry: e, Manifest: m, References: refs})
	}
	r.report.Manifests = len(manifests)
	return batches(manifests, func(batch []metadata.RebuiltManifest) error { return r.meta.RebuildManifests(ctx, batch) })
}

// missing returns a blob that a manifest needs and its repository lacks, or "".
func (r *rebuilder) missing(repository string, refs []metadata.Reference) digest.Digest {
	for _, ref := range refs {
		if !ref.Sparse && !r.state.has(metadata.EntryBlob, repository, string(ref.Digest)) {
			return ref.Digest
		}
	}
	return ""
}

// rebuildRest rebuilds what stands on manifests.
func (r *rebuilder) rebuildRest(ctx context.Context) error {
	for _, e := range r.state.of(metadata.EntryTag) {
		if !r.hasManifest(e.Repository, e.Digest) {
			r.losef(e, "its manifest %s is lost", e.Digest)
		}
	}
	for _, e := range r.state.of(metadata.EntryHold) {
		if !r.hasReference(e.Repository, e.Reference) {
			r.losef(e, "what it holds is lost")
		}
	}
	for _, e := range r.state.of(metadata.EntryRender) {
		if !r.hasManifest(e.Repository, e.Digest) || !r.state.has(metadata.EntryBlob, e.Repository, string(e.Blob)) {
			// A render goes with its artifact, which has said so.
			r.state.drop(e)
		}
	}
	for _, kind := range []struct {
		metadata.EntryKind
		count *int
	}{{metadata.EntryTag, &r.report.Tags}, {metadata.EntryHold, &r.report.Holds}, {metadata.EntryRender, &r.report.Renders}} {
		if err := r.rebuildEntries(ctx, kind.EntryKind, kind.count); err != nil {
			return err
		}
	}
	return nil
}

func (r *rebuilder) hasManifest(repository string, d digest.Digest) bool {
	return r.state.has(metadata.EntryManifest, repository, string(d))
}

// hasReference says whether a repository has a tag, a manifest or a blob.
func (r *rebuilder) hasReference(repository, reference string) bool {
	for _, kind := range []metadata.EntryKind{metadata.EntryTag, metadata.EntryManifest, metadata.EntryBlob} {
		if r.state.has(kind, repository, reference) {
			return true
		}
	}
	return false
}
