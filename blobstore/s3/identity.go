package s3

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"

	"github.com/minio/minio-go/v7"

	"github.com/cloudlets/cloudlets/blobstore"
)

const (
	// identityKey holds what tells the objects below a prefix from others.
	identityKey = "store-id"
	// maxIdentity bounds what is read of it, in bytes.
	maxIdentity = 100
)

// Identity returns what tells the objects of this driver from those of another,
// so that a database is not used with objects that are not its own. It is made
// once. Of two that make it at the same time the first wins, on a store with
// conditional writes; on others, one of them.
func (d *Driver) Identity(ctx context.Context) (string, error) {
	id, err := d.identity(ctx)
	if errors.Is(err, blobstore.ErrNotFound) {
		var o minio.PutObjectOptions
		o.SetMatchETagExcept("*") // If-None-Match: *
		text := rand.Text()
		_, err = d.client.PutObject(ctx, d.bucket, d.prefix+identityKey, strings.NewReader(text), int64(len(text)), "", "", o)
		if err == nil || minio.ToErrorResponse(err).Code == minio.PreconditionFailed {
			id, err = d.identity(ctx)
		}
	}
	if err != nil {
		return "", fmt.Errorf("identify the store in bucket %s: %w", d.bucket, err)
	}
	return id, nil
}

func (d *Driver) identity(ctx context.Context) (string, error) {
	key := d.prefix + identityKey
	info, err := d.client.StatObject(ctx, d.bucket, key, minio.StatObjectOptions{})
	if err != nil {
		return "", translate(err)
	}
	if info.Size > maxIdentity {
		return "", fmt.Errorf("%s holds %d bytes: it is none of ours", key, info.Size)
	}
	var b bytes.Buffer
	if _, err := d.copyKey(ctx, &b, key, 0, info.Size); err != nil {
		return "", err
	}
	return b.String(), nil
}
