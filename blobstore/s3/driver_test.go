package s3_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/opencontainers/go-digest"
	"go.uber.org/goleak"

	"github.com/cloudlets/cloudlets/blobstore"
	"github.com/cloudlets/cloudlets/blobstore/blobtest"
	"github.com/cloudlets/cloudlets/blobstore/s3"
	"github.com/cloudlets/cloudlets/blobstore/s3/s3test"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// place is a bucket and the settings that drivers over it share.
type place struct {
	config s3.Config
	proxy  *s3test.Proxy
}

func newPlace(t *testing.T, change ...func(*s3.Config)) place {
	t.Helper()
	bucket, proxy := s3test.Bucket(t)
	c := s3.Config{
		Endpoint: proxy.URL, Bucket: bucket, Prefix: "some/where", Region: s3test.Region,
		Credentials: credentials.NewStaticV4(s3test.AccessKey, s3test.SecretKey, ""),
		PartSize:    8 << 20, SpoolDir: t.TempDir(), Log: slog.New(slog.DiscardHandler),
	}
	for _, f := range change {
		f(&c)
	}
	return place{c, proxy}
}

func (p place) open(t *testing.T) blobstore.Driver { return p.driver(t) }

func (p place) driver(t *testing.T) *s3.Driver {
	t.Helper()
	d, err := s3.New(t.Context(), p.config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	p.proxy.Take()
	return d
}

func TestDriver(t *testing.T) {
	for name, change := range map[string]func(*s3.Config){
		"defaults":    func(*s3.Config) {},
		"equal parts": func(c *s3.Config) { c.EqualParts = true },
		"old server":  func(c *s3.Config) { c.NoChecksums, c.Prefix = true, "" },
	} {
		if testing.Short() && name != "defaults" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			blobtest.TestDriver(t, func(t *testing.T) blobtest.Open { return newPlace(t, change).open })
		})
	}
}

func random(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(n), byte(n >> 8)})
	_, _ = r.Read(b) // never fails
	return b
}

func label(content []byte) blobstore.Label {
	return blobstore.Label{Digest: digest.FromBytes(content), Kind: blobstore.Whole}
}

func write(t *testing.T, w blobstore.ObjectWriter, content []byte) {
	t.Helper()
	for len(content) > 0 { // as a server writes
		n, err := w.Write(content[:min(len(content), 256<<10)])
		if err != nil {
			t.Fatal(err)
		}
		content = content[n:]
	}
}

func create(t *testing.T, d *s3.Driver, content []byte) blobstore.ObjectWriter {
	t.Helper()
	w, err := d.Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	write(t, w, content)
	return w
}

func save(t *testing.T, w blobstore.ObjectWriter) blobstore.Point {
	t.Helper()
	p, err := w.Save(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func resume(t *testing.T, d *s3.Driver, p blobstore.Point) blobstore.ObjectWriter {
	t.Helper()
	w, err := d.Resume(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

func seal(t *testing.T, w blobstore.ObjectWriter, content []byte) string {
	t.Helper()
	key, err := w.Seal(t.Context(), label(content))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func expect(t *testing.T, d *s3.Driver, key string, want []byte) {
	t.Helper()
	b, err := d.Open(context.WithoutCancel(t.Context()), key)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	var streamed bytes.Buffer
	if _, err := b.(io.WriterTo).WriteTo(&streamed); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(streamed.Bytes(), want) {
		t.Errorf("object %s reads differently: %d bytes, want %d", key, streamed.Len(), len(want))
	}
}

func TestWritersFromOnePointDoNotMix(t *testing.T) {
	for name, head := range map[string][]byte{"pieces": random(1000), "parts": random(6 << 20), "nothing": nil} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			one, other := p.driver(t), p.driver(t)
			w := create(t, one, head)
			point := save(t, w)
			w.Close()
			first, second := resume(t, one, point), resume(t, other, point)
			ends := [][]byte{random(5<<20 + 1), random(5<<20 + 2)}
			write(t, first, ends[0])
			write(t, second, ends[1])
			save(t, second)
			sealed := 0
			for i, w := range []blobstore.ObjectWriter{first, second} {
				content := slices.Concat(head, ends[i])
				key, err := w.Seal(t.Context(), label(content))
				if err == nil {
					sealed++
					expect(t, one, key, content)
				}
			}
			if sealed == 0 {
				t.Error("neither could be sealed")
			}
		})
	}
}

func TestSpoolIsBounded(t *testing.T) {
	p := newPlace(t, func(c *s3.Config) { c.SpoolSize, c.SpoolWait = 16<<20, 1 })
	d := p.driver(t)
	a, b := create(t, d, random(2<<20)), create(t, d, random(2<<20))
	w, err := d.Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if _, err := w.Write(random(2 << 20)); !errors.Is(err, blobstore.ErrBusy) {
		t.Errorf("a third large object gave %v", err)
	}
	small := random(100)
	expect(t, d, seal(t, create(t, d, small), small), small)
	a.Close()
	content := random(3 << 20)
	expect(t, d, seal(t, create(t, d, content), content), content)
	b.Close()
}

func TestLengthsThatCannotBeStored(t *testing.T) {
	p := newPlace(t)
	d := p.driver(t)
	for name, c := range map[string]struct {
		size  int64
		final bool
		want  error
	}{
		"a large blob of known length": {4 << 40, true, nil},
		"a large blob that goes on":    {4 << 40, false, nil},
		"more than S3 can store":       {6 << 40, true, blobstore.ErrTooLarge},
	} {
		w := create(t, d, nil)
		if err := w.Expect(c.size, c.final); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
	late := create(t, d, random(17<<20))
	if err := late.Expect(1<<40, true); !errors.Is(err, blobstore.ErrTooLarge) {
		t.Errorf("parts of 8 MiB for 1 TiB: got %v", err)
	}
}

func TestNewSaysWhatDoesNotWork(t *testing.T) {
	for name, change := range map[string]func(*s3.Config){
		"no such bucket":  func(c *s3.Config) { c.Bucket = "nowhere" },
		"a wrong secret":  func(c *s3.Config) { c.Credentials = credentials.NewStaticV4(s3test.AccessKey, "wrong", "") },
		"no scheme":       func(c *s3.Config) { c.Endpoint = "localhost:9000" },
		"a path":          func(c *s3.Config) { c.Endpoint += "/bucket" },
		"no bucket":       func(c *s3.Config) { c.Bucket = "" },
		"tiny parts":      func(c *s3.Config) { c.PartSize = 1 << 20 },
		"a spool too few": func(c *s3.Config) { c.SpoolSize = 9 << 20 },
	} {
		p := newPlace(t, change)
		d, err := s3.New(t.Context(), p.config)
		if err == nil {
			d.Close()
			t.Errorf("%s: no error", name)
			continue
		}
		if bytes.Contains([]byte(err.Error()), []byte(s3test.SecretKey)) {
			t.Errorf("%s: the secret is in the error: %v", name, err)
		}
		t.Logf("%s: %v", name, err)
	}
}

func TestIdentityIsMadeOnce(t *testing.T) {
	p := newPlace(t)
	ids := make(chan string, 4)
	for range cap(ids) {
		d := p.driver(t)
		go func() {
			id, err := d.Identity(t.Context())
			if err != nil {
				t.Error(err)
			}
			ids <- id
		}()
	}
	first := <-ids
	for range cap(ids) - 1 {
		if id := <-ids; id != first || id == "" {
			t.Errorf("got %q and %q", first, id)
		}
	}
}
