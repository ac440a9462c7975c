package journal

import (
	"context"
	"errors"
	"fmt"

	"github.com/cloudlets/cloudlets/blobstore"
	"github.com/cloudlets/cloudlets/registry/metadata"
)

// ErrLostDatabase says that a database is new and its store is not: whoever used
// it would have all that the store holds collected.
var ErrLostDatabase = errors.New("the database is empty, but the store holds objects: " +
	"if the database was lost, restore it from a backup or run cloudlets fsck --rebuild")

// Bind ties a database to the store of the given id: see metadata.Store.Bind.
// The error wraps [ErrLostDatabase] where the database is new and the store is
// not empty.
func Bind(ctx context.Context, meta *metadata.Store, driver blobstore.Driver, id string) error {
	bound, err := meta.Bound(ctx)
	if err != nil {
		return err
	}
	if bound != "" {
		return meta.Bind(ctx, id)
	}
	for o, err := range driver.List(ctx) {
		if err != nil {
			return fmt.Errorf("list objects: %w", err)
		}
		if o.Sealed {
			return ErrLostDatabase
		}
	}
	return meta.Bind(ctx, id)
}
