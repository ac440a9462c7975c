package s3

import (
	"context"
	"crypto/md5" //nolint:gosec // entity tags are made with it
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"strings"

	"github.com/minio/minio-go/v7"

	"github.com/cloudlets/cloudlets/blobstore"
)

// maxTransfers is how many parts of one object are on their way at once.
const maxTransfers = 4

// Headers of S3 about checksums (Amazon S3 API Reference, "UploadPart").
const (
	headerCRC32C    = "x-amz-checksum-crc32c"
	headerAlgorithm = "x-amz-checksum-algorithm"
	algorithmCRC32C = "CRC32C"
)

// transfer is a part that is on its way or has arrived.
type transfer struct {
	part part
	err  error
	done chan struct{} // closed once part and err are final
}

// transferred returns the transfer of a part that has arrived.
func transferred(p part) *transfer {
	t := &transfer{part: p, done: make(chan struct{})}
	close(t.done)
	return t
}

// arrived says whether the part is there.
func (t *transfer) arrived() bool {
	select {
	case <-t.done:
		return t.err == nil
	default:
		return false
	}
}

// failed returns why nothing can be written any more, or nil.
func (w *writer) failed() error {
	if w.err != nil {
		return w.err
	}
	for _, t := range w.parts[max(0, len(w.parts)-maxTransfers):] {
		select {
		case <-t.done:
			if t.err != nil {
				return t.err
			}
		default:
		}
	}
	return nil
}

// wait waits for all parts to arrive.
func (w *writer) wait(ctx context.Context) error {
	for _, t := range w.parts {
		if err := t.wait(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (t *transfer) wait(ctx context.Context) error {
	select {
	case <-t.done:
		return t.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// send sends the next part, and frees its buffers once it has arrived. It waits
// for an earlier one where too many are on their way.
func (w *writer) send(ctx context.Context, content joined) error {
	err := w.begin(ctx)
	if err == nil && len(w.parts) >= maxParts {
		err = fmt.Errorf("more than %d parts: %w", maxParts, blobstore.ErrTooLarge)
	}
	if err == nil && len(w.parts) >= maxTransfers {
		err = w.parts[len(w.parts)-maxTransfers].wait(ctx)
	}
	if err != nil {
		return errors.Join(err, content.free())
	}
	t := &transfer{done: make(chan struct{})}
	w.parts = append(w.parts, t)
	number := len(w.parts)
	go func() {
		defer close(t.done)
		t.part, t.err = w.driver.putPart(w.ctx, w.upload, number, content)
		t.err = errors.Join(t.err, content.free())
	}()
	return nil
}

// begin begins the multipart upload, if there is none.
func (w *writer) begin(ctx context.Context) error {
	if w.upload != nil {
		return nil
	}
	var o minio.PutObjectOptions
	if !w.driver.config.NoChecksums {
		o.UserMetadata = map[string]string{headerAlgorithm: algorithmCRC32C}
	}
	n := newName(w.id)
	var id string
	err := w.driver.retry(ctx, func() (err error) {
		id, err = w.driver.client.NewMultipartUpload(ctx, w.driver.bucket, w.driver.objectKey(n), o)
		return err
	})
	if err != nil {
		return fmt.Errorf("begin a multipart upload: %w", translate(err))
	}
	w.upload = &upload{Name: n, ID: id, PartSize: w.partSize}
	return nil
}

// putPart sends one part.
func (d *Driver) putPart(ctx context.Context, u *upload, number int, content joined) (part, error) {
	p := part{Size: content.size()}
	o := minio.PutObjectPartOptions{DisableContentSha256: true, CustomHeader: make(http.Header)}
	b := &body{content: content}
	defer b.end()
	if !d.config.NoChecksums {
		var err error
		if p.CRC, err = b.checksum(p.Size); err != nil {
			return p, err
		}
		o.CustomHeader.Set(headerAlgorithm, algorithmCRC32C)
		o.CustomHeader.Set(headerCRC32C, p.CRC)
	}
	err := d.retry(ctx, func() error {
		sent, err := d.client.PutObjectPart(ctx, d.bucket, d.objectKey(u.Name), u.ID, number, b.reader(p.Size), p.Size, o)
		p.ETag = sent.ETag
		return err
	})
	if err != nil {
		return p, fmt.Errorf("send part %d: %w", number, translate(err))
	}
	return p, nil
}

// put stores an object of size bytes with one request.
func (d *Driver) put(ctx context.Context, n name, content io.ReaderAt, size int64) error {
	o := minio.PutObjectOptions{DisableContentSha256: true}
	b := &body{content: content}
	defer b.end()
	if !d.config.NoChecksums {
		crc, err := b.checksum(size)
		if err != nil {
			return err
		}
		o.UserMetadata = map[string]string{headerAlgorithm: algorithmCRC32C, headerCRC32C: crc}
	}
	err := d.retry(ctx, func() error {
		_, err := d.client.PutObject(ctx, d.bucket, d.objectKey(n), b.reader(size), size, "", "", o)
		return err
	})
	if err != nil {
		return fmt.Errorf("put %s: %w", n, translate(err))
	}
	return nil
}

// putLabel seals an object whose bytes are there.
func (d *Driver) putLabel(ctx context.Context, n name, l blobstore.Label) error {
	if err := d.putEmpty(ctx, d.labelKey(n, l), minio.PutObjectOptions{}); err != nil {
		return fmt.Errorf("put the label of %s: %w", n, translate(err))
	}
	return nil
}

// complete makes the parts one object.
func (w *writer) complete(ctx context.Context) error {
	d, u := w.driver, w.upload
	parts := make([]minio.CompletePart, len(w.parts))
	for i, t := range w.parts {
		parts[i] = minio.CompletePart{PartNumber: i + 1, ETag: t.part.ETag, ChecksumCRC32C: t.part.CRC}
	}
	var answer minio.UploadInfo
	err := translate(d.retry(ctx, func() (err error) {
		answer, err = d.client.CompleteMultipartUpload(ctx, d.bucket, d.objectKey(u.Name), u.ID, parts, minio.PutObjectOptions{})
		return err
	}))
	if err == nil && answer.ChecksumCRC32C != "" && answer.ChecksumCRC32C == w.result().crc {
		return nil
	}
	// An upload that is gone may be so because an earlier try has worked and its
	// answer was lost, or because a rival has completed it, which some stores
	// answer as if it were all the same: what is there tells.
	if err == nil || errors.Is(err, blobstore.ErrNotFound) {
		err = w.recognize(ctx, answer.ETag)
	}
	if err != nil {
		return fmt.Errorf("complete the multipart upload: %w", err)
	}
	return nil
}

// recognize returns an error unless the object that is there is made of our
// parts. answered is the entity tag that the store has just given to it, if any:
// what it means is known only where it is made of MD5s.
func (w *writer) recognize(ctx context.Context, answered string) error {
	d := w.driver
	o := minio.StatObjectOptions{Checksum: !d.config.NoChecksums}
	found, err := d.client.StatObject(ctx, d.bucket, d.objectKey(w.upload.Name), o)
	if err != nil {
		return translate(err)
	}
	want := w.result()
	same := strings.EqualFold(found.ETag, want.etag) || found.ETag == answered
	if found.ChecksumCRC32C != "" && want.crc != "" {
		same = found.ChecksumCRC32C == want.crc
	}
	if !same || found.Size != w.size {
		return fmt.Errorf("another writer has completed it with other parts: the upload is %w", blobstore.ErrNotFound)
	}
	return nil
}

// result is what an object made of parts is recognized by.
type result struct{ etag, crc string }

// result returns the one that our parts give: of their checksums, which are that
// of the checksums of the parts, and how many they are; and of their entity tags,
// the same with MD5 (Amazon S3 User Guide, "Checking object integrity").
func (w *writer) result() result {
	tags, crc := md5.New(), crc32.New(crc32.MakeTable(crc32.Castagnoli)) //nolint:gosec // see above
	for _, t := range w.parts {
		tag, err := hex.DecodeString(t.part.ETag)
		if err != nil {
			tag = nil // no MD5: then nothing is like the result
		}
		tags.Write(tag)
		sum, err := base64.StdEncoding.DecodeString(t.part.CRC)
		if err != nil {
			sum = nil
		}
		crc.Write(sum)
	}
	r := result{etag: fmt.Sprintf("%x-%d", tags.Sum(nil), len(w.parts))}
	if len(w.parts) > 0 && w.parts[0].part.CRC != "" {
		r.crc = fmt.Sprintf("%s-%d", base64.StdEncoding.EncodeToString(crc.Sum(nil)), len(w.parts))
	}
	return r
}
