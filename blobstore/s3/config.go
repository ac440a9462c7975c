package s3

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// Limits of S3 (Amazon S3 User Guide, "Amazon S3 multipart upload limits").
const (
	maxParts      = 10_000
	minPart       = 5 << 20 // of any part but the last, in bytes
	maxObjectSize = 5 << 40 // in bytes
)

// How objects are cut into parts, in bytes. What is left at the end may be added
// to a part, if it is too short for one.
const (
	maxPartSize   = 1 << 30
	knownPartSize = 16 << 20 // where the length is known beforehand
)

// Defaults of [Config], in bytes.
const (
	DefaultPartSize  = 64 << 20
	DefaultSpoolSize = 4 << 30
	DefaultCacheSize = 1 << 30
)

const (
	defaultIdle      = 2 * time.Minute
	defaultSpoolWait = 30 * time.Second
	defaultAttempts  = 8 // which take about ten seconds
)

// Config says where a bucket is and how to use it.
type Config struct {
	// Endpoint is the URL of the server, such as https://s3.eu-central-1.amazonaws.com.
	Endpoint string
	Bucket   string
	// Prefix, if not empty, is what all keys begin with.
	Prefix string
	// Region is the bucket's; empty asks the server.
	Region string
	// Credentials are by default those of the AWS_* environment, of the file
	// ~/.aws/credentials, or of the machine's role.
	Credentials *credentials.Credentials

	// PartSize is the size of a part, in bytes, where the length of an object
	// is not known beforehand. An object has at most 10,000 parts.
	PartSize int64
	// EqualParts keeps all parts of an object at one size, but for the last:
	// Cloudflare R2 wants that. It costs moving what is left at the end of
	// each request once more.
	EqualParts bool
	// NoChecksums leaves out the CRC-32C of what is sent, for servers that do
	// not know it.
	NoChecksums bool

	// SpoolDir is a directory for parts that are not complete, and for the
	// cache. Nothing stays in it. Empty is the system's for temporary files.
	SpoolDir string
	// SpoolSize bounds the parts in the spool, in bytes. Who needs more waits
	// for SpoolWait and then gets blobstore.ErrBusy.
	SpoolSize int64
	SpoolWait time.Duration
	// CacheSize bounds what is kept of what was read, in bytes.
	CacheSize int64
	// Attempts is how often a request is made before it has failed.
	Attempts int
	// Idle is how long a connection to the server may stand still.
	Idle time.Duration
	Log  *slog.Logger
}

// withDefaults fills in what was left out and checks the rest.
func (c Config) withDefaults() (Config, error) {
	for _, d := range []struct {
		value    *int64
		fallback int64
	}{{&c.PartSize, DefaultPartSize}, {&c.SpoolSize, DefaultSpoolSize}, {&c.CacheSize, DefaultCacheSize}} {
		if *d.value == 0 {
			*d.value = d.fallback
		}
	}
	if c.SpoolWait == 0 {
		c.SpoolWait = defaultSpoolWait
	}
	if c.Attempts == 0 {
		c.Attempts = defaultAttempts
	}
	if c.Idle == 0 {
		c.Idle = defaultIdle
	}
	if c.SpoolDir == "" {
		c.SpoolDir = os.TempDir()
	}
	if c.Log == nil {
		c.Log = slog.Default()
	}
	if c.Prefix != "" && !strings.HasSuffix(c.Prefix, "/") {
		c.Prefix += "/"
	}
	if c.Credentials == nil {
		c.Credentials = credentials.NewChainCredentials([]credentials.Provider{
			&credentials.EnvAWS{}, &credentials.FileAWSCredentials{}, &credentials.IAM{},
		})
	}
	switch {
	case c.Bucket == "":
		return c, errors.New("no bucket was named")
	case c.PartSize < minPart || c.PartSize > maxPartSize:
		return c, fmt.Errorf("parts of %d bytes: expected %d to %d", c.PartSize, minPart, int64(maxPartSize))
	case c.SpoolSize < 2*c.PartSize:
		return c, fmt.Errorf("a spool of %d bytes: expected room for two parts of %d", c.SpoolSize, c.PartSize)
	}
	return c, nil
}

// parseEndpoint returns the host of a server's URL, and whether to use TLS.
func parseEndpoint(endpoint string) (host string, secure bool, err error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return "", false, fmt.Errorf("endpoint: %w", err)
	}
	secure = u.Scheme == "https"
	if !secure && u.Scheme != "http" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.User != nil || u.RawQuery != "" {
		return "", false, fmt.Errorf("endpoint %q: expected http or https, a host and nothing else: https://s3.example.com", u.Redacted())
	}
	return u.Host, secure, nil
}

// connect returns a driver that has not asked for anything yet.
func (c Config) connect() (*Driver, error) {
	host, secure, err := parseEndpoint(c.Endpoint)
	if err != nil {
		return nil, err
	}
	transport, err := newTransport(secure, c.Idle)
	if err != nil {
		return nil, err
	}
	client, err := minio.NewCore(host, &minio.Options{
		Creds: c.Credentials, Secure: secure, Region: c.Region, Transport: transport, MaxRetries: c.Attempts,
	})
	if err != nil {
		return nil, err
	}
	return newDriver(c, client, transport)
}

// New returns a driver, after it has tried out that the bucket can be written
// to. Close it after use.
func New(ctx context.Context, c Config) (*Driver, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("open S3 store: %w", err)
	}
	d, err := c.connect()
	if err != nil {
		return nil, fmt.Errorf("open S3 store: %w", err)
	}
	if err := d.probe(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("open S3 store: bucket %s at %s: %w", c.Bucket, c.Endpoint, err), d.Close())
	}
	return d, nil
}
