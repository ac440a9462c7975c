package s3

import (
	"context"
	"fmt"
	"iter"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/oklog/ulid/v2"

	"github.com/cloudlets/cloudlets/blobstore"
)

// listPage is how many multipart uploads are asked for at once.
const listPage = 1000

// stored is the bytes of one name.
type stored struct {
	name name
	id   ulid.ULID
	size int64
}

// labelled is the label of one name.
type labelled struct {
	name  name
	label blobstore.Label
}

// List returns every object. Labels and bytes are listed side by side: both in
// the order of names.
func (d *Driver) List(ctx context.Context) iter.Seq2[blobstore.Object, error] {
	return func(yield func(blobstore.Object, error) bool) {
		unsealed := make(map[ulid.ULID]int64)
		if !d.listSealed(ctx, unsealed, yield) {
			return
		}
		for u, err := range d.uploads(ctx, d.prefix+objectsDir+"/") {
			if err != nil {
				yield(blobstore.Object{}, err)
				return
			}
			_, id, err := parseName(strings.TrimPrefix(u.Key, d.prefix+objectsDir+"/"))
			if err == nil {
				unsealed[id] += 0
			}
		}
		for id, size := range unsealed {
			if !yield(blobstore.Object{Key: unsealedKey(id), Size: size}, nil) {
				return
			}
		}
	}
}

// listSealed yields the objects that have a label, adds up the others in
// unsealed, and says whether to go on.
func (d *Driver) listSealed(ctx context.Context, unsealed map[ulid.ULID]int64, yield func(blobstore.Object, error) bool) bool {
	next, stop := iter.Pull2(d.labels(ctx, d.prefix+labelsDir+"/"))
	defer stop()
	label, err, more := next()
	for o, failed := range d.objects(ctx, d.prefix+objectsDir+"/") {
		if failed != nil {
			return yield(blobstore.Object{}, failed) && false
		}
		for more && err == nil && label.name < o.name {
			label, err, more = next() // its bytes were removed meanwhile
		}
		if err != nil {
			return yield(blobstore.Object{}, err) && false
		}
		if !more || label.name != o.name {
			unsealed[o.id] += o.size
			continue
		}
		if !yield(blobstore.Object{Key: sealedKey(o.name, label.label), Label: label.label, Size: o.size, Sealed: true}, nil) {
			return false
		}
	}
	return true
}

// keys lists the keys of the bucket that begin with prefix, in order.
func (d *Driver) keys(ctx context.Context, prefix string) iter.Seq2[minio.ObjectInfo, error] {
	return func(yield func(minio.ObjectInfo, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		for o := range d.client.ListObjectsIter(ctx, d.bucket, minio.ListObjectsOptions{Prefix: prefix, Recursive: true}) {
			if o.Err != nil {
				yield(o, fmt.Errorf("list keys below %s: %w", prefix, translate(o.Err)))
				return
			}
			if !yield(o, nil) {
				return
			}
		}
		if err := ctx.Err(); err != nil {
			yield(minio.ObjectInfo{}, err)
		}
	}
}

// objects lists the bytes whose keys begin with prefix. What is not ours is left
// out.
func (d *Driver) objects(ctx context.Context, prefix string) iter.Seq2[stored, error] {
	return func(yield func(stored, error) bool) {
		for o, err := range d.keys(ctx, prefix) {
			var s stored
			if err == nil {
				n, id, unknown := parseName(strings.TrimPrefix(o.Key, d.prefix+objectsDir+"/"))
				if unknown != nil {
					continue
				}
				s = stored{n, id, o.Size}
			}
			if !yield(s, err) {
				return
			}
		}
	}
}

// labels lists the labels whose keys begin with prefix.
func (d *Driver) labels(ctx context.Context, prefix string) iter.Seq2[labelled, error] {
	return func(yield func(labelled, error) bool) {
		for o, err := range d.keys(ctx, prefix) {
			var l labelled
			if err == nil {
				n, label, unknown := parseLabelName(strings.TrimPrefix(o.Key, d.prefix+labelsDir+"/"))
				if unknown != nil {
					continue
				}
				l = labelled{n, label}
			}
			if !yield(l, err) {
				return
			}
		}
	}
}

// uploads lists the multipart uploads whose keys begin with prefix.
func (d *Driver) uploads(ctx context.Context, prefix string) iter.Seq2[minio.ObjectMultipartInfo, error] {
	return func(yield func(minio.ObjectMultipartInfo, error) bool) {
		var key, id string
		for {
			page, err := d.client.ListMultipartUploads(ctx, d.bucket, prefix, key, id, "", listPage)
			if err != nil {
				yield(minio.ObjectMultipartInfo{}, fmt.Errorf("list multipart uploads below %s: %w", prefix, translate(err)))
				return
			}
			for _, u := range page.Uploads {
				if strings.HasPrefix(u.Key, prefix) && !yield(u, nil) {
					return
				}
			}
			if !page.IsTruncated {
				return
			}
			key, id = page.NextKeyMarker, page.NextUploadIDMarker
		}
	}
}
