package s3

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"

	"github.com/minio/minio-go/v7"
	"github.com/oklog/ulid/v2"

	"github.com/cloudlets/cloudlets/blobstore"
	"github.com/cloudlets/cloudlets/blobstore/cache"
	"github.com/cloudlets/cloudlets/extent"
)

const (
	// maxReads is how many ranged reads are under way at once.
	maxReads = 16
	// knownSizes is how many sizes of objects are remembered.
	knownSizes = 10_000
)

// Driver is a [blobstore.Driver] over a bucket. Make one with [New].
type Driver struct {
	client    *minio.Core
	transport *http.Transport
	bucket    string
	prefix    string
	config    Config
	log       *slog.Logger
	spool     *spool

	// Objects never change, so their sizes can be kept: a HEAD saved each time.
	sizes *cache.Cache[name, int64]
	cache *blockCache

	ctx    context.Context // of what goes on in the background
	cancel context.CancelFunc
	work   sync.WaitGroup
}

var _ blobstore.Driver = (*Driver)(nil)

func newDriver(c Config, client *minio.Core, transport *http.Transport) (*Driver, error) {
	ctx, cancel := context.WithCancel(context.Background())
	d := &Driver{
		client: client, transport: transport, bucket: c.Bucket, prefix: c.Prefix, config: c, log: c.Log,
		spool: newSpool(c.SpoolDir, c.SpoolSize, c.SpoolWait),
		sizes: cache.New[name, int64](knownSizes),
		ctx:   ctx, cancel: cancel,
	}
	var err error
	d.cache, err = newBlockCache(d, c.SpoolDir, c.CacheSize)
	return d, err
}

// Close ends what goes on in the background. Objects that are open fail.
func (d *Driver) Close() error {
	d.cancel()
	d.work.Wait()
	d.transport.CloseIdleConnections()
	return d.cache.slots.close()
}

// Create begins an object. The store is not asked for anything yet.
func (d *Driver) Create(context.Context) (blobstore.ObjectWriter, error) {
	return d.newWriter(ulid.Make(), state{}), nil
}

// Resume goes on writing an object. Whether what the point tells of is still
// there comes out when it is needed: no later than with Seal.
func (d *Driver) Resume(_ context.Context, p blobstore.Point) (blobstore.ObjectWriter, error) {
	id, s, err := parsePoint(p)
	if err != nil {
		return nil, err
	}
	return d.newWriter(id, s), nil
}

// Open opens a sealed object.
func (d *Driver) Open(ctx context.Context, key string) (extent.Blob, error) {
	n, _, err := parseSealedKey(key)
	if err != nil {
		return nil, err
	}
	size, ok := d.sizes.Get(n)
	if !ok {
		if size, err = d.stat(ctx, n); err != nil {
			return nil, fmt.Errorf("open object %s: %w", key, err)
		}
		d.sizes.Add(n, size, 1)
	}
	return &object{driver: d, ctx: ctx, name: n, size: size, window: minWindow}, nil
}

// stat returns the size of an object.
func (d *Driver) stat(ctx context.Context, n name) (int64, error) {
	info, err := d.client.StatObject(ctx, d.bucket, d.objectKey(n), minio.StatObjectOptions{})
	return info.Size, translate(err)
}

// Remove removes an object.
func (d *Driver) Remove(ctx context.Context, key string) error {
	id, err := parseUnsealedKey(key)
	if err == nil {
		return d.removeUnsealed(ctx, id)
	}
	n, label, err := parseSealedKey(key)
	if err != nil {
		return err
	}
	d.sizes.Remove(n)
	// The label goes first: bytes without one are found as unsealed.
	for _, key := range []string{d.labelKey(n, label), d.objectKey(n)} {
		if err := d.removeKey(ctx, key); err != nil {
			return fmt.Errorf("remove object %s: %w", key, err)
		}
	}
	return nil
}

// removeUnsealed gives up the multipart uploads of an object and removes all of
// its bytes that have no label.
func (d *Driver) removeUnsealed(ctx context.Context, id ulid.ULID) error {
	var errs []error
	for u, err := range d.uploads(ctx, d.idPrefix(objectsDir, id)) {
		if err == nil {
			err = d.client.AbortMultipartUpload(ctx, d.bucket, u.Key, u.UploadID)
		}
		if err = translate(err); err != nil && !errors.Is(err, blobstore.ErrNotFound) {
			errs = append(errs, fmt.Errorf("abort upload to %s: %w", u.Key, err))
		}
	}
	sealed := make(map[name]bool)
	for l, err := range d.labels(ctx, d.idPrefix(labelsDir, id)) {
		if err != nil {
			return errors.Join(append(errs, err)...)
		}
		sealed[l.name] = true
	}
	for o, err := range d.objects(ctx, d.idPrefix(objectsDir, id)) {
		if err == nil && !sealed[o.name] {
			err = d.removeKey(ctx, d.objectKey(o.name))
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// removeKey removes a key of the bucket. There being none is no error.
func (d *Driver) removeKey(ctx context.Context, key string) error {
	err := translate(d.client.RemoveObject(ctx, d.bucket, key, minio.RemoveObjectOptions{}))
	if errors.Is(err, blobstore.ErrNotFound) {
		return nil
	}
	return err
}
