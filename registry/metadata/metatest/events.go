package metatest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/registry/metadata"
)

// watch registers endpoints.
func (f *fixture) watch(names ...string) {
	f.T.Helper()
	_, err := f.RenewEndpoints(f.ctx, names, day)
	f.must(err)
}

// events returns what is queued for an endpoint without a position.
func (f *fixture) events() []metadata.Queued {
	f.T.Helper()
	queued, err := f.QueuedEvents(f.ctx, 0, 1000)
	f.must(err)
	return queued
}

// told is an event in short: action, repository, tag or digest.
func told(e metadata.Event) string {
	what := e.Tag
	if what == "" {
		what = string(e.Digest)
	}
	return strings.Join([]string{string(e.Action), e.Repository, what, e.Origin.Actor}, " ")
}

func testEvents(t *testing.T, f *fixture) {
	f.watch("ci")
	origin := metadata.Origin{Actor: "alice", Address: "192.0.2.1:1", Method: "PUT"}
	f.ctx = metadata.WithOrigin(f.ctx, origin)
	layer1 := f.blob("a", "one")
	f.must(f.MountBlob(f.ctx, "b", "a", layer1))
	refs := []metadata.Reference{{Digest: layer1, Kind: metadata.RefLayer, MediaType: "application/layer", Size: 3}}
	image := put("a", "image", refs, "v1", "v2")
	f.must(f.PutManifest(f.ctx, image))
	second := f.manifest("a", "second")
	f.must(f.DeleteTag(f.ctx, "a", "v1", "bob"))
	f.must(f.DeleteManifest(f.ctx, "a", image.Manifest.Digest, "bob"))
	f.must(f.RemoveBlob(f.ctx, "a", layer1))
	f.must(f.RestoreBlob(f.ctx, "a", layer1))
	queued := f.events()
	var got []string
	ids := map[string]bool{}
	for i, q := range queued {
		got = append(got, told(q.Event))
		ids[q.Event.ID] = true
		if i > 0 && q.Position <= queued[i-1].Position {
			t.Errorf("event %d has the position %d after %d", i, q.Position, queued[i-1].Position)
		}
		if q.Event.Origin.Address != origin.Address || !q.Event.At.Equal(f.clock.Now()) {
			t.Errorf("event %d comes from %+v at %v", i, q.Event.Origin, q.Event.At)
		}
	}
	if len(ids) != len(queued) {
		t.Errorf("%d events have %d ids", len(queued), len(ids))
	}
	m, l := string(image.Manifest.Digest), string(layer1)
	sameAll(t, got, []string{
		"push a " + l + " alice", "mount b " + l + " alice",
		"push a v1 tester", "push a v2 tester", "push a " + string(second) + " tester",
		"delete a v1 bob", "delete a v2 bob", "delete a " + m + " bob", "delete a " + l + " alice", "push a " + l + " alice",
	})
	pushed := queued[2].Event
	want := metadata.Descriptor{MediaType: "application/layer", Digest: layer1, Size: 3}
	if len(pushed.References) != 1 || pushed.References[0] != want || pushed.MediaType != image.Manifest.MediaType ||
		pushed.Size != image.Manifest.Size || !pushed.Manifest || pushed.Digest != image.Manifest.Digest {
		t.Errorf("the manifest is told of as %+v", pushed)
	}
	if mounted := queued[1].Event; mounted.From != "a" || mounted.Size != 3 || mounted.Manifest {
		t.Errorf("the mount is told of as %+v", mounted)
	}
}

func testNoEvents(t *testing.T, f *fixture) {
	f.manifest("a", "image", "v1")
	f.watch("ci")
	same(t, len(f.events()), 0)
	pending, err := f.Backlog(f.ctx, "ci")
	f.must(err)
	same(t, pending, false)
}

func testFailedChange(t *testing.T, f *fixture) {
	f.watch("ci")
	f.manifest("a", "image", "v1")
	before := len(f.events())
	missing := put("a", "broken", layer(digestOf("absent")), "v1")
	f.wantErr(f.PutManifest(f.ctx, missing), metadata.ErrBlobUnknown)
	f.wantErr(f.DeleteTag(f.ctx, "a", "v2", "bob"), metadata.ErrManifestUnknown)
	f.wantErr(f.MountBlob(f.ctx, "a", "", digestOf("absent")), metadata.ErrBlobUnknown)
	f.clock.Pass(3 * day)
	_, err := f.ReviewDry(f.ctx, forever)
	f.must(err)
	same(t, len(f.events()), before)
}

func testDelivery(t *testing.T, f *fixture) {
	f.watch("ci", "scanner")
	for i := range 3 {
		f.manifest("a", fmt.Sprint("image", i))
	}
	queued := f.events()
	advance := func(endpoint string, i int) {
		t.Helper()
		_, mine, err := f.ClaimEndpoint(f.ctx, endpoint, "me", time.Minute)
		f.must(err)
		same(t, mine, true)
		f.must(f.AdvanceEndpoint(f.ctx, endpoint, "me", queued[i].Position, time.Minute))
	}
	advance("ci", 2)
	same(t, len(f.events()), 3)
	advance("scanner", 0)
	same(t, len(f.events()), 2)
	f.clock.Pass(time.Minute)
	states, err := f.Endpoints(f.ctx)
	f.must(err)
	sameAll(t, states, []metadata.EndpointState{{Name: "ci"}, {Name: "scanner", Pending: 2, Oldest: time.Minute}})
	for endpoint, want := range map[string]bool{"ci": false, "scanner": true, "unknown": false} {
		got, err := f.Backlog(f.ctx, endpoint)
		f.must(err)
		same(t, got, want)
	}
	advance("scanner", 2)
	same(t, len(f.events()), 0)
	f.manifest("a", "later")
	if later := f.events(); len(later) != 1 || later[0].Position <= queued[2].Position {
		t.Errorf("after all were delivered there are %+v", later)
	}
}

func testEndpointOwner(t *testing.T, f *fixture) {
	f.watch("ci")
	claim := func(owner string, want bool) {
		t.Helper()
		_, mine, err := f.ClaimEndpoint(f.ctx, "ci", owner, time.Minute)
		f.must(err)
		same(t, mine, want)
	}
	claim("one", true)
	claim("one", true)
	claim("two", false)
	f.clock.Pass(time.Minute)
	claim("two", true)
	f.wantErr(f.AdvanceEndpoint(f.ctx, "ci", "one", 5, time.Minute), metadata.ErrConflict)
	f.must(f.ReleaseEndpoint(f.ctx, "ci", "one"))
	claim("one", false)
	f.must(f.ReleaseEndpoint(f.ctx, "ci", "two"))
	claim("one", true)
	_, mine, err := f.ClaimEndpoint(f.ctx, "unknown", "one", time.Minute)
	f.must(err)
	same(t, mine, false)
}

func testForgottenEndpoint(t *testing.T, f *fixture) {
	f.watch("ci", "scanner")
	f.manifest("a", "image")
	f.clock.Pass(day)
	forgotten, err := f.RenewEndpoints(f.ctx, []string{"ci"}, day)
	f.must(err)
	sameAll(t, forgotten, nil)
	f.clock.Pass(time.Second)
	forgotten, err = f.RenewEndpoints(f.ctx, []string{"ci"}, day)
	f.must(err)
	sameAll(t, forgotten, []string{"scanner"})
	same(t, len(f.events()), 1)
	f.clock.Pass(2 * day)
	forgotten, err = f.RenewEndpoints(f.ctx, nil, day)
	f.must(err)
	sameAll(t, forgotten, []string{"ci"})
	same(t, len(f.events()), 0)
	f.manifest("a", "another")
	same(t, len(f.events()), 0)
}

func testTrimEvents(t *testing.T, f *fixture) {
	f.watch("ci", "scanner")
	for i := range 6 {
		f.manifest("a", fmt.Sprint("image", i))
		f.clock.Pass(time.Minute)
	}
	_, _, err := f.ClaimEndpoint(f.ctx, "ci", "me", time.Minute)
	f.must(err)
	f.must(f.AdvanceEndpoint(f.ctx, "ci", "me", f.events()[2].Position, time.Minute))
	for _, step := range []struct {
		age                   time.Duration
		rows                  int64
		left                  int
		droppedCI, droppedAll int64
	}{
		{day, 100, 6, 0, 0},
		{day, 5, 5, 0, 1},
		{4 * time.Minute, 100, 4, 0, 1},
		{day, 1, 1, 2, 3},
	} {
		dropped, err := f.TrimEvents(f.ctx, step.age, step.rows)
		f.must(err)
		if left := len(f.events()); left != step.left || dropped["ci"] != step.droppedCI || dropped["scanner"] != step.droppedAll {
			t.Errorf("%v, %d rows: %d left, dropped %v; want %+v", step.age, step.rows, left, dropped, step)
		}
	}
}

// testEventOrder moves tags at once from many sides, half of them the same one,
// and reads the outbox at the same time as a sender does: by position, once.
func testEventOrder(t *testing.T, f *fixture) {
	f.watch("ci")
	const writers, each = 8, 10
	var writing sync.WaitGroup
	for w := range writers {
		tag := "latest"
		if w%2 == 1 {
			tag = fmt.Sprint("own", w)
		}
		writing.Go(func() {
			for i := range each {
				if err := f.PutManifest(f.ctx, put("a", fmt.Sprintf("%d-%d", w, i), nil, tag)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	written := make(chan struct{})
	go func() { writing.Wait(); close(written) }()
	seen := f.follow(written)
	total := 0
	for tag, got := range seen {
		total += len(got)
		history, err := f.TagHistory(f.ctx, "a", tag, 0, writers*each+1)
		f.must(err)
		var want []digest.Digest
		for _, e := range slices.Backward(history) {
			want = append(want, e.Digest)
		}
		sameAll(t, got, want)
	}
	same(t, total, writers*each)
}

// follow reads the outbox as it is written, until done is closed and nothing is
// left, and returns what was pushed by tag.
func (f *fixture) follow(done <-chan struct{}) map[string][]digest.Digest {
	f.T.Helper()
	seen := map[string][]digest.Digest{}
	position := int64(0)
	for last := false; ; {
		queued, err := f.QueuedEvents(f.ctx, position, 5)
		f.must(err)
		for _, q := range queued {
			seen[q.Event.Tag] = append(seen[q.Event.Tag], q.Event.Digest)
			position = q.Position
		}
		if last && len(queued) == 0 {
			return seen
		}
		select {
		case <-done:
			last = true
		default:
		}
	}
}

func sameAll[T comparable](t *testing.T, got, want []T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got\n%v\nwant\n%v", got, want)
	}
}
