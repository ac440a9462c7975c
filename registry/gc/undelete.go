package gc

import (
	"context"
	"errors"
	"fmt"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/registry/metadata"
)

// Undelete puts a manifest again that was removed from a repository, after
// taking the blobs that it needs out of the trash. put puts it as a push would;
// an error of it that wraps a metadata.MissingError says what to restore. The
// error wraps metadata.ErrManifestUnknown or ErrBlobUnknown where it is too late.
func Undelete(ctx context.Context, meta *metadata.Store, repository string, d digest.Digest, put func(context.Context, metadata.Grave) error) error {
	grave, err := meta.Grave(ctx, repository, d)
	if err != nil {
		return err
	}
	err = put(ctx, grave)
	var missing *metadata.MissingError
	if !errors.As(err, &missing) {
		return err
	}
	for _, blob := range missing.Digests {
		if err := meta.RestoreBlob(ctx, repository, blob); err != nil {
			return fmt.Errorf("undelete %s: %w", d, err)
		}
	}
	return put(ctx, grave)
}
