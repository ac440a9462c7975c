package scrub_test

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/blobstore/s3/s3test"
	"github.com/cloudlets/cloudlets/registry/scrub"
)

func TestEveryDamageIsFoundAndNeverServedAgain(t *testing.T) {
	for kind, pick := range map[string]func(family) digest.Digest{
		"whole":       func(m family) digest.Digest { return m.bystander },
		"whole below": func(m family) digest.Digest { return m.pack },
		"map":         func(m family) digest.Digest { return m.layer },
		"frames":      func(m family) digest.Digest { return m.view },
		"map above":   func(m family) digest.Digest { return m.disk },
	} {
		for name, damage := range damages {
			t.Run(kind+" "+name, func(t *testing.T) {
				for place, open := range backends {
					if place != onFiles && kind != "whole" && name != "another byte" {
						continue // what is derived is the same there, and databases take time
					}
					t.Run(place, func(t *testing.T) {
						f := open(t, nil)
						m := f.family()
						testDamage(t, f, m, pick(m), damage)
					})
				}
			})
		}
	}
}

func testDamage(t *testing.T, f *fixture, m family, d digest.Digest, damage func(*fixture, string)) {
	if r := f.verify(); r.Verified != 5 || r.Damaged != 0 {
		t.Fatalf("before all: %+v", r)
	}
	key := f.record(d).Key
	damage(f, key)
	if r := f.verify(); r.Damaged != 1 {
		t.Fatalf("verified: %+v", r)
	}
	found, err := f.meta.Quarantined(t.Context(), "a", "", 10)
	if err != nil || len(found) != 1 || found[0].Digest != d || found[0].Key != key || found[0].Reason == "" {
		t.Fatalf("in quarantine: %+v, %v", found, err)
	}
	above := m.above(d)
	f.wantRefused(above...)
	for _, other := range m.all() {
		if !contains(above, other) {
			f.wantServed(other)
		}
	}
	// What is pushed again is served again, and so is what is read from it.
	f.mustPush(m.content[d])
	f.wantServed(m.all()...)
	f.clock.Pass(time.Hour)
	if r := f.verify(); r.Damaged != 0 || r.Unknown != 0 || r.Verified != 5 {
		t.Errorf("verified after all: %+v", r)
	}
}

func contains(all []digest.Digest, d digest.Digest) bool {
	for _, one := range all {
		if one == d {
			return true
		}
	}
	return false
}

// TestPushReplacesWhatNobodyKnowsIsGone pushes over an object that is missing or
// short, before anybody has noticed.
func TestPushReplacesWhatNobodyKnowsIsGone(t *testing.T) {
	onBoth(t, func(t *testing.T, f *fixture) {
		m := f.family()
		for _, name := range []string{"gone", "cut short"} {
			damages[name](f, f.record(m.bystander).Key)
			f.mustPush(m.content[m.bystander])
			f.wantServed(m.bystander)
		}
		// It is below the layer that is pushed.
		damages["gone"](f, f.record(m.pack).Key)
		f.mustPush(m.content[m.layer])
		f.wantServed(m.layer, m.view, m.disk)
		f.wantRefused(m.pack)
	})
}

func TestReadThatFailsIsLookedInto(t *testing.T) {
	onBoth(t, func(t *testing.T, f *fixture) {
		m := f.family()
		gone := f.mustPush(random(1000, 7))
		damages["gone"](f, f.record(gone).Key)
		damages["another byte"](f, f.record(m.pack).Key)               // in the middle of the frames
		f = f.restart()                                                // nothing of them is cached
		f.scrub = f.scrubber(func(c *scrub.Config) { c.Interval = 0 }) // nothing is looked at by itself
		f.blobs.Watch(f.scrub.Suspect)
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { f.scrub.Run(ctx) })
		defer running.Wait()
		defer cancel()

		for _, d := range []digest.Digest{m.disk, gone} {
			if status, body, err := f.get(http.MethodGet, d); status == http.StatusOK && err == nil {
				t.Errorf("%s is served: %d bytes of %s", d, len(body), digest.FromBytes(body))
			}
		}
		f.eventually(func() bool {
			found, err := f.meta.Quarantined(t.Context(), "", "", 10)
			must(t, err)
			return len(found) == 2
		})
		f.wantRefused(m.above(m.pack)...)
		f.wantRefused(gone)
		f.wantServed(m.bystander)
	})
}

// eventually waits for something that happens in the background.
func (f *fixture) eventually(happened func() bool) {
	f.t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if happened() {
			return
		}
	}
	f.t.Fatal("it did not happen within 30 s")
}

func TestStoreThatFailsIsNoDamage(t *testing.T) {
	f := backends[onBucket](t, nil)
	proxy := f.place.(*bucket).proxy
	m := f.family()
	f.clock.Pass(interval)
	for name, fault := range map[string]s3test.Fault{"busy": s3test.Busy, "no answer": s3test.LostOut} {
		proxy.Fail(func(r *http.Request) s3test.Fault { return fault })
		if r, err := f.scrub.Verify(t.Context()); r.Damaged != 0 || r.Verified != 0 || err == nil && r.Unknown == 0 {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
		if found, err := f.meta.Quarantined(t.Context(), "", "", 10); err != nil || len(found) != 0 {
			t.Errorf("%s: in quarantine are %+v (%v)", name, found, err)
		}
		f.clock.Pass(time.Hour)
	}
	proxy.Fail(nil)
	f.clock.Pass(time.Hour)
	if r, err := f.scrub.Verify(t.Context()); err != nil || r.Verified != 5 {
		t.Errorf("afterwards: %+v, %v", r, err)
	}
	f.wantServed(m.all()...)
}

func TestPlaceThatIsNotThereIsNoDamage(t *testing.T) {
	absent := errors.New("not mounted")
	var present error
	f := backends[onFiles](t, func(c *scrub.Config) {
		c.Present = func(context.Context) error { return present }
	})
	d := f.mustPush(random(1000, 1))
	content := f.place.read(t, f.record(d).Key)
	f.place.remove(t, f.record(d).Key)
	present = absent
	f.clock.Pass(interval)
	if r, err := f.scrub.Verify(t.Context()); err != nil || r.Damaged != 0 || r.Unknown != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	f.place.write(t, f.record(d).Key, content)
	present = nil
	f.clock.Pass(time.Hour)
	if r, err := f.scrub.Verify(t.Context()); err != nil || r.Verified != 1 {
		t.Errorf("mounted again: %+v, %v", r, err)
	}
}

func TestScrubbersShareTheWork(t *testing.T) {
	onBoth(t, func(t *testing.T, f *fixture) {
		const blobs = 230
		for i := range blobs {
			f.mustPush(random(100, uint64(i)))
		}
		f.clock.Pass(interval)
		var nodes sync.WaitGroup
		results := make([]scrub.Result, 3)
		for i := range results {
			s := f.scrubber(nil)
			nodes.Go(func() {
				var err error
				if results[i], err = s.Verify(t.Context()); err != nil {
					t.Error(err)
				}
			})
		}
		nodes.Wait()
		sum := 0
		for _, r := range results {
			sum += r.Verified
		}
		if sum != blobs {
			t.Errorf("%d blobs were verified, want each of %d once: %+v", sum, blobs, results)
		}
		if r := f.repair(); r.Repaired != 0 {
			t.Errorf("%+v", r)
		}
	})
}

// TestScrubKeepsToItsRate verifies with a clock that only waiting moves.
func TestScrubKeepsToItsRate(t *testing.T) {
	const rate = 1 << 20
	f := backends[onFiles](t, func(c *scrub.Config) { c.Rate = rate })
	for i := range 3 {
		f.mustPush(random(5<<20, uint64(i)))
	}
	for i := range 40 {
		f.mustPush(random(10, uint64(i)))
	}
	f.clock.Pass(interval)
	begin := f.clock.Now()
	r, err := f.scrub.Verify(t.Context())
	if err != nil || r.Verified != 43 {
		t.Fatalf("%+v, %v", r, err)
	}
	// Small ones count as 128 KiB each: they cost a disk as much.
	took := f.clock.Now().Sub(begin)
	least := 15*time.Second + 40*time.Second/8 - 2*time.Second
	if took < least || took > least+5*time.Second {
		t.Errorf("15 MiB and 40 small blobs took %v at 1 MiB/s, want %v or a little more", took, least)
	}
}

// TestSharedBytesAreReadOnce checks that maps do not have what they are read from
// read again.
func TestSharedBytesAreReadOnce(t *testing.T) {
	f := backends[onBucket](t, nil)
	m := f.family()
	whole := int64(len(m.content[m.pack]) + len(m.content[m.bystander]))
	proxy := f.place.(*bucket).proxy
	proxy.Take()
	f.verify()
	if read := proxy.Take().Out; read < whole || read > whole+whole/4 {
		t.Errorf("%d bytes were read to verify what %d are kept as", read, whole)
	}
}

func TestSoundObjectIsNotQuarantinedByPush(t *testing.T) {
	onBoth(t, func(t *testing.T, f *fixture) {
		m := f.family()
		before := f.record(m.bystander)
		f.mustPush(m.content[m.bystander])
		f.mustPush(m.content[m.layer])
		if after := f.record(m.bystander); after.Key != before.Key {
			t.Errorf("a second push took the place of the first")
		}
		if !bytes.Equal(f.place.read(t, before.Key), m.content[m.bystander]) {
			t.Error("the object is another")
		}
	})
}
