package registry_test

import (
	"fmt"
	"log/slog"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/blobstore"
	"github.com/cloudlets/cloudlets/blobstore/file"
	"github.com/cloudlets/cloudlets/registry"
	"github.com/cloudlets/cloudlets/registry/gc"
	"github.com/cloudlets/cloudlets/registry/metadata"
	"github.com/cloudlets/cloudlets/registry/metadata/pgtest"
)

// sharedFiles starts two nodes with one PostgreSQL and one data directory.
func sharedFiles(t *testing.T) []*fixture {
	database, dir := pgtest.Database(t), t.TempDir()
	var nodes []*fixture
	for range 2 {
		meta, err := metadata.OpenPostgres(t.Context(), database, metadata.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { meta.Close() })
		driver, err := file.New(dir)
		if err != nil {
			t.Fatal(err)
		}
		blobs, err := blobstore.New(driver, meta)
		if err != nil {
			t.Fatal(err)
		}
		server, err := registry.New(registry.Config{Blobs: blobs, Metadata: meta, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		h := httptest.NewServer(server)
		t.Cleanup(h.Close)
		nodes = append(nodes, &fixture{url: h.URL, server: server, meta: meta, blobs: blobs})
	}
	return nodes
}

// rivals runs a test with two nodes that share their blobs in each of the ways
// there are.
func rivals(t *testing.T, test func(t *testing.T, nodes []*fixture)) {
	t.Run("bucket", func(t *testing.T) {
		b := newBucket(t, nil)
		test(t, []*fixture{b.node(t), b.node(t)})
	})
	t.Run("files", func(t *testing.T) { test(t, sharedFiles(t)) })
}

// both makes a request to both nodes at once.
func both(t *testing.T, nodes []*fixture, request func(i int, node *fixture) reply) [2]reply {
	var answers [2]reply
	var group sync.WaitGroup
	for i, node := range nodes {
		group.Go(func() { answers[i] = request(i, node) })
	}
	group.Wait()
	return answers
}

// wantSound checks that every blob has its bytes.
func wantSound(t *testing.T, node *fixture) {
	t.Helper()
	found, err := gc.Check(t.Context(), node.meta, node.blobs, gc.CheckOptions{})
	if err != nil || !found.Sound() {
		t.Errorf("found %+v, %v", found, err)
	}
}

// TestPutOnBothNodesLosesNothing ends one upload on two nodes at once, as a client
// does that has lost its patience.
func TestPutOnBothNodesLosesNothing(t *testing.T) {
	rivals(t, func(t *testing.T, nodes []*fixture) {
		for round := range 12 {
			size := []int{1000, 9 << 20, 6 << 20}[round%3]
			content := append(blob(size), fmt.Sprint(round)...)
			d := digest.FromBytes(content)
			at := begin(t, nodes[0].url, "a", "")
			last := []byte(nil)
			if round%2 == 0 {
				last = content[len(content)-500:]
			}
			do(t, nodes[0].url, "PATCH", at, content[:len(content)-len(last)]).want(t, 202)
			answers := both(t, nodes, func(_ int, node *fixture) reply {
				return do(t, node.url, "PUT", withDigest(at, d), last)
			})
			created := 0
			for _, a := range answers {
				if a.status == 201 {
					created++
				} else if !slices.Contains([]int{404, 416, 503}, a.status) {
					t.Errorf("round %d: got %d %s", round, a.status, a.body)
				}
			}
			if created == 0 {
				do(t, nodes[0].url, "PUT", withDigest(at, d), last).want(t, 201)
			}
			for _, node := range nodes {
				wantBlob(t, node.url, "/v2/a/blobs/"+string(d), content, d)
			}
		}
		wantSound(t, nodes[0])
	})
}

// TestLoserOfPatchIsToldTheRange sends different chunks for one place to two
// nodes. One is taken; who loses is told how far the upload has come.
func TestLoserOfPatchIsToldTheRange(t *testing.T) {
	rivals(t, func(t *testing.T, nodes []*fixture) {
		for round := range 12 {
			sizes := [2]int{1000 + round, 6<<20 + round}
			if round%2 == 0 {
				sizes = [2]int{500, 700}
			}
			at := begin(t, nodes[0].url, "a", "")
			first := blob(300)
			do(t, nodes[1].url, "PATCH", at, first).want(t, 202)
			chunks := [2][]byte{[]byte(strings.Repeat("0", sizes[0])), []byte(strings.Repeat("1", sizes[1]))}
			answers := both(t, nodes, func(i int, node *fixture) reply {
				return do(t, node.url, "PATCH", at, chunks[i], header("Content-Range", fmt.Sprintf("%d-%d", len(first), len(first)+sizes[i]-1)))
			})
			winner := slices.IndexFunc(answers[:], func(a reply) bool { return a.status == 202 })
			if winner < 0 || answers[1-winner].status == 202 {
				t.Fatalf("round %d: got %d and %d", round, answers[0].status, answers[1].status)
			}
			content := slices.Concat(first, chunks[winner])
			answers[1-winner].want(t, 416).wantHeader(t, "Range", fmt.Sprintf("0-%d", len(content)-1))
			d := digest.FromBytes(content)
			do(t, nodes[1-winner].url, "PUT", withDigest(at, d), nil).want(t, 201)
			wantBlob(t, nodes[winner].url, "/v2/a/blobs/"+string(d), content, d)
		}
		wantSound(t, nodes[0])
	})
}
