package scrub_test

import (
	"bytes"
	"context"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/blobstore"
	"github.com/cloudlets/cloudlets/registry/scrub"
)

// seal writes another object of a blob, which nothing refers to.
func (f *fixture) seal(content []byte) blobstore.Record {
	f.t.Helper()
	w, err := f.blobs.Create(f.t.Context(), digest.SHA256)
	must(f.t, err)
	_, err = w.Write(content)
	must(f.t, err)
	r, err := w.Seal(f.t.Context(), digest.FromBytes(content))
	must(f.t, err)
	return r
}

func TestRepairTakesAnotherObject(t *testing.T) {
	onBoth(t, func(t *testing.T, f *fixture) {
		m := f.family()
		for _, d := range []digest.Digest{m.bystander, m.pack, m.layer, m.disk} {
			bad, good := f.seal(m.content[d]), f.seal(m.content[d])
			damages["another byte"](f, bad.Key)
			damages["another byte"](f, f.record(d).Key)
			f.verify()
			f.wantRefused(d)
			if r := f.repair(); r.Repaired != 1 {
				t.Fatalf("%s: %+v", d, r)
			}
			if got := f.record(d); got.Key != good.Key || got.Kind != blobstore.Whole || len(got.Needs) != 0 {
				t.Errorf("it is read from %+v, want %s", got, good.Key)
			}
			f.wantServed(m.all()...)
			must(t, f.blobs.Remove(t.Context(), bad.Key))
		}
	})
}

func TestRepairMakesAViewAgain(t *testing.T) {
	onBoth(t, func(t *testing.T, f *fixture) {
		m := f.family()
		// A blob of frames of its own: the index of a layer is at its end.
		for name, damage := range damages {
			damage(f, f.record(m.view).Key)
			f.verify()
			f.wantRefused(m.view, m.disk)
			if r := f.repair(); r.Repaired != 1 {
				t.Fatalf("%s: %+v", name, r)
			}
			f.wantServed(m.view, m.disk)
			if got := f.record(m.view); got.Kind != blobstore.Framed {
				t.Errorf("it is kept as %+v", got)
			}
		}
	})
}

func TestRepairNoticesARestoredObject(t *testing.T) {
	onBoth(t, func(t *testing.T, f *fixture) {
		m := f.family()
		key := f.record(m.pack).Key
		content := f.place.read(t, key)
		f.place.remove(t, key)
		f.verify()
		if r := f.repair(); r.Repaired != 0 {
			t.Fatalf("from nothing: %+v", r)
		}
		f.place.write(t, key, content)
		f.wantRefused(m.above(m.pack)...)
		if r := f.repair(); r.Repaired != 0 {
			t.Fatalf("before its time: %+v", r)
		}
		f.clock.Pass(time.Hour)
		if r := f.repair(); r.Repaired != 1 {
			t.Fatalf("%+v", r)
		}
		f.wantServed(m.all()...)
	})
}

func TestRepairFetchesFromAnUpstream(t *testing.T) {
	for name, open := range backends {
		t.Run(name, func(t *testing.T) {
			upstream := backends[onFiles](t, nil)
			sources, err := scrub.ParseUpstreams("http://127.0.0.1:1, " + upstream.url + "/")
			must(t, err)
			f := open(t, func(c *scrub.Config) { c.Sources = sources })
			m := f.family()
			for _, d := range []digest.Digest{m.bystander, m.pack, m.layer, m.disk} {
				damages["another byte"](f, f.record(d).Key)
				f.verify()
				f.wantRefused(d)
				if d == m.bystander { // the upstream has not got it, once
					if r := f.repair(); r.Repaired != 0 {
						t.Fatalf("from nothing: %+v", r)
					}
					f.clock.Pass(time.Hour)
				}
				upstream.mustPush(m.content[d])
				if r := f.repair(); r.Repaired != 1 {
					t.Fatalf("%+v", r)
				}
				f.wantServed(m.all()...)
			}
		})
	}
}

// fixed is a source that sends the same, whatever it is asked for.
type fixed []byte

func (b fixed) Fetch(context.Context, string, digest.Digest) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(b)), nil
}

func (b fixed) String() string { return "a liar" }

func TestUpstreamThatLiesRepairsNothing(t *testing.T) {
	f := backends[onFiles](t, nil)
	for name, body := range map[string][]byte{
		"other bytes": random(50_000, 3), "too few": random(10, 2), "too many": random(60_000, 2),
	} {
		f.scrub = f.scrubber(func(c *scrub.Config) { c.Sources = []scrub.Source{fixed(body)} })
		content := random(50_000, 2)
		d := f.mustPush(content)
		damages["cut short"](f, f.record(d).Key)
		f.verify()
		if r := f.repair(); r.Repaired != 0 {
			t.Errorf("%s: %+v", name, r)
		}
		f.wantRefused(d)
		f.mustPush(content)
		f.wantServed(d)
	}
	objects := 0
	for o, err := range f.blobs.Driver().List(t.Context()) {
		must(t, err)
		if !o.Sealed {
			t.Errorf("%+v is left", o)
		}
		objects++
	}
	if objects != 4 { // the one that is sound, and three as evidence
		t.Errorf("%d objects are left", objects)
	}
}

func TestUpstreamsAreURLs(t *testing.T) {
	if sources, err := scrub.ParseUpstreams(" "); err != nil || len(sources) != 0 {
		t.Errorf("none: %v, %v", sources, err)
	}
	for list, valid := range map[string]bool{
		"https://registry.example":                        true,
		"https://registry.example/a/b/,http://[::1]:5000": true,
		"registry.example":                                false,
		"ftp://registry.example":                          false,
		"https://":                                        false,
		"https://registry.example?x=1":                    false,
		"https://a,":                                      false,
	} {
		if _, err := scrub.ParseUpstreams(list); (err == nil) != valid {
			t.Errorf("%q: %v", list, err)
		}
	}
	_, err := scrub.ParseUpstreams("https://user:hunter2@registry.example")
	if err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a password in a URL gives %v", err)
	}
}
