package s3_test

import (
	"bytes"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/cloudlets/cloudlets/blobstore"
	"github.com/cloudlets/cloudlets/blobstore/s3"
)

func TestRedirectIsSignedForThePublicEndpoint(t *testing.T) {
	p := newPlace(t, func(c *s3.Config) { c.Region = "" }) // which is asked for
	d := p.driver(t)
	public := strings.Replace(p.proxy.URL, "127.0.0.1", "localhost", 1)
	r, err := d.Redirects(t.Context(), s3.RedirectConfig{Endpoint: public, MinSize: 1000, Life: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	content := random(1000)
	key := seal(t, create(t, d, content), content)
	record := blobstore.Record{Kind: blobstore.Whole, Key: key, Size: 1000}
	to, err := r.Redirect(t.Context(), record)
	if err != nil || !strings.HasPrefix(to, public+"/") {
		t.Fatalf("got %q, %v", to, err)
	}
	if got := get(t, to); !bytes.Equal(got, content) {
		t.Errorf("got %d bytes: %.80q", len(got), got)
	}
	forged, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	q := forged.Query()
	q.Set("response-content-type", "text/html")
	forged.RawQuery = q.Encode()
	if got := get(t, forged.String()); bytes.Equal(got, content) {
		t.Error("a URL that was changed is served")
	}
	for name, change := range map[string]func(*blobstore.Record){
		"a map":   func(r *blobstore.Record) { r.Kind = blobstore.Mapped },
		"frames":  func(r *blobstore.Record) { r.Kind = blobstore.Framed },
		"a small": func(r *blobstore.Record) { r.Size = 999 },
	} {
		other := record
		change(&other)
		if to, err := r.Redirect(t.Context(), other); to != "" || err != nil {
			t.Errorf("%s: got %q, %v", name, to, err)
		}
	}
}

func TestRedirectsSayWhatDoesNotWork(t *testing.T) {
	d := newPlace(t).driver(t)
	for want, c := range map[string]s3.RedirectConfig{
		"expected 10s to 1h": {Life: 2 * time.Hour},
		"expected http":      {Endpoint: "cdn.example.com"},
	} {
		if _, err := d.Redirects(t.Context(), c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
