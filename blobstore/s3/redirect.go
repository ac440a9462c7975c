package s3

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/cloudlets/cloudlets/blobstore"
)

// Defaults of [RedirectConfig].
const (
	DefaultRedirectMinSize = 1 << 20 // bytes
	DefaultRedirectLife    = 15 * time.Minute
)

// Bounds of RedirectConfig.Life. The upper one is far below how long an object
// stays after its blob was removed, so that no URL outlives what it reads.
const (
	minRedirectLife = 10 * time.Second
	maxRedirectLife = time.Hour
)

// RedirectConfig says which blobs clients may fetch from the bucket themselves.
type RedirectConfig struct {
	// Endpoint is the URL of the server as clients reach it; empty is
	// Config.Endpoint.
	Endpoint string
	// MinSize is how many bytes a blob has at least: for small ones another
	// round trip costs more than sending them. Zero is all.
	MinSize int64
	// Life is how long a URL can be used, which the server looks at when a
	// request begins; zero is DefaultRedirectLife.
	Life time.Duration
}

// Redirects makes URLs at which the blobs in a bucket can be read.
type Redirects struct {
	driver *Driver
	client *minio.Client // signs for the public endpoint, and sends nothing
	config RedirectConfig
}

// Redirects returns what makes URLs for blobs in the driver's bucket.
func (d *Driver) Redirects(ctx context.Context, c RedirectConfig) (*Redirects, error) {
	if c.Endpoint == "" {
		c.Endpoint = d.config.Endpoint
	}
	if c.Life == 0 {
		c.Life = DefaultRedirectLife
	}
	if c.Life < minRedirectLife || c.Life > maxRedirectLife {
		return nil, fmt.Errorf("redirects: URLs that last %s: expected %s to %s", c.Life, minRedirectLife, maxRedirectLife)
	}
	host, secure, err := parseEndpoint(c.Endpoint)
	if err != nil {
		return nil, fmt.Errorf("redirects: %w", err)
	}
	// The region is part of a signature. The public endpoint need not be within
	// reach from here, so the other one is asked.
	region := d.config.Region
	if region == "" {
		if region, err = d.client.GetBucketLocation(ctx, d.bucket); err != nil {
			return nil, fmt.Errorf("redirects: look up the region of bucket %s: %w", d.bucket, err)
		}
	}
	client, err := minio.New(host, &minio.Options{Creds: d.config.Credentials, Secure: secure, Region: region, Transport: d.transport})
	if err != nil {
		return nil, fmt.Errorf("redirects: %w", err)
	}
	return &Redirects{driver: d, client: client, config: c}, nil
}

// Redirect returns a URL from which whoever has it can GET a blob, or a range of
// it, for a while: it is a secret. It is empty where the blob is not one object,
// or too small.
func (r *Redirects) Redirect(ctx context.Context, record blobstore.Record) (string, error) {
	if record.Kind != blobstore.Whole || record.Size < r.config.MinSize {
		return "", nil
	}
	n, _, err := parseSealedKey(record.Key)
	if err != nil {
		return "", err
	}
	// S3 API Reference, GetObject, "response-content-type".
	answer := url.Values{"response-content-type": {"application/octet-stream"}}
	u, err := r.client.PresignedGetObject(ctx, r.driver.bucket, r.driver.objectKey(n), r.config.Life, answer)
	if err != nil {
		return "", fmt.Errorf("sign the URL of object %s: %w", record.Key, err)
	}
	return u.String(), nil
}
