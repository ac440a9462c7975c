package journal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/cloudlets/cloudlets/blobstore"
)

// readers is how many objects are read at once.
const readers = 16

// inventory is what the store holds.
type inventory struct {
	store    *blobstore.Store
	journals []blobstore.Object
	// objects are those that stand for a digest, the one written last first.
	objects map[digest.Digest][]blobstore.Object
	records map[string]blobstore.Record // by object key, of those that were looked at
	chosen  map[digest.Digest]bool      // whether the blob can be read, once that was asked
	order   []blobstore.Record          // of the blobs that can be read, those that others need first
}

// takeInventory lists the objects of a store.
func takeInventory(ctx context.Context, store *blobstore.Store) (*inventory, error) {
	v := &inventory{
		store: store, objects: make(map[digest.Digest][]blobstore.Object),
		records: make(map[string]blobstore.Record), chosen: make(map[digest.Digest]bool),
	}
	for o, err := range store.Driver().List(ctx) {
		switch {
		case err != nil:
			return nil, fmt.Errorf("list objects: %w", err)
		case !o.Sealed:
		case o.Label.Kind == blobstore.Journal:
			v.journals = append(v.journals, o)
		default:
			v.objects[o.Label.Digest] = append(v.objects[o.Label.Digest], o)
		}
	}
	for _, objects := range v.objects {
		// Keys begin with the time.
		slices.SortFunc(objects, func(a, b blobstore.Object) int { return cmp.Compare(b.Key, a.Key) })
	}
	return v, nil
}

// inspect reads what the objects of the given digests are, and of all that they
// need.
func (v *inventory) inspect(ctx context.Context, wanted []digest.Digest) error {
	seen := make(map[digest.Digest]bool)
	for len(wanted) > 0 {
		var wave []blobstore.Object
		for _, d := range wanted {
			if !seen[d] {
				seen[d] = true
				wave = append(wave, v.objects[d]...)
			}
		}
		needs, err := v.inspectAll(ctx, wave)
		if err != nil {
			return err
		}
		wanted = needs
	}
	return nil
}

// inspectAll reads what objects are and returns what they need. Those that
// cannot be read are of no use.
func (v *inventory) inspectAll(ctx context.Context, objects []blobstore.Object) (needs []digest.Digest, err error) {
	var mu sync.Mutex
	var group errgroup.Group
	group.SetLimit(readers)
	for _, o := range objects {
		group.Go(func() error {
			r, err := v.store.RecordOf(ctx, o)
			if err != nil {
				return ctx.Err()
			}
			mu.Lock()
			defer mu.Unlock()
			v.records[o.Key] = r
			needs = append(needs, r.Needs...)
			return nil
		})
	}
	err = group.Wait()
	return needs, errors.Join(err, ctx.Err())
}

// choose finds an object to read a blob from whose needs can be met, and says
// whether there is one.
func (v *inventory) choose(d digest.Digest) bool {
	if known, asked := v.chosen[d]; asked {
		return known
	}
	v.chosen[d] = false // what needs itself cannot be read
	for _, o := range v.objects[d] {
		r, ok := v.records[o.Key]
		if !ok || slices.ContainsFunc(r.Needs, func(n digest.Digest) bool { return !v.choose(n) }) {
			continue
		}
		v.chosen[d] = true
		v.order = append(v.order, r)
		return true
	}
	return false
}
