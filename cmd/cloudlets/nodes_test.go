package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	mathrand "math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/api"
)

// uploadExpiry is the default of uploadExpiry.
const uploadExpiry = 24 * time.Hour

// newNodes starts two nodes on one database and one bucket.
func newNodes(t *testing.T) [2]*clusterNode {
	b := newBucket(t, "64m")
	return [2]*clusterNode{newNode(t, b), newNode(t, b)}
}

// mover moves one tag again and again.
type mover struct {
	*pusher
	config pushedBlob
	moved  []digest.Digest // that were acknowledged, in that order
	tried  []digest.Digest
}

func (m *mover) move(tag string) {
	raw := manifestOf(m.config, nil, fmt.Sprintf(`,"annotations":{"mover":%q}`, rand.Text()))
	d := digest.FromBytes(raw)
	m.tried = append(m.tried, d)
	_, err := m.want(http.StatusCreated, http.MethodPut, m.manifestPath(tag), map[string]string{"Content-Type": ociManifest}, bytes.NewReader(raw))
	if err == nil {
		m.moved = append(m.moved, d)
	}
}

// TestTagMovedOnTwoNodesKeepsItsHistory has many clients move one tag through two
// nodes, one of which is killed meanwhile.
func TestTagMovedOnTwoNodesKeepsItsHistory(t *testing.T) {
	nodes := newNodes(t)
	ledger := newLedger(true)
	movers := make([]*mover, 8)
	var group sync.WaitGroup
	end := make(chan struct{})
	for i := range movers {
		m := &mover{pusher: newPusher(newCaller(ledger, uploadExpiry, nodes[i%2].address, nodes[(i+1)%2].address), "golden/one")}
		movers[i] = m
		var err error
		if m.config, err = m.pushBlob([]byte("{}")); err != nil {
			t.Fatal(err, ledger.broken)
		}
		group.Go(func() {
			for {
				select {
				case <-end:
					return
				default:
					m.move("latest")
				}
			}
		})
	}
	for i := range min(crashes(t), 20) {
		time.Sleep(300*time.Millisecond + mathrand.N(300*time.Millisecond))
		nodes[i%2].kill()
		nodes[i%2].start(t)
	}
	time.Sleep(time.Second)
	close(end)
	group.Wait()
	if len(ledger.broken) > 0 {
		t.Fatalf("%d promises were broken: %s", len(ledger.broken), ledger.broken[0])
	}
	for _, n := range nodes {
		checkHistory(t, n, movers)
	}
}

// checkHistory checks that the history of the tag has every move that was
// acknowledged once, in an order that everybody has seen, and nothing that nobody
// has tried.
func checkHistory(t *testing.T, n *clusterNode, movers []*mover) {
	t.Helper()
	events := historyOf(t, n, "golden/one", "latest")
	at := map[digest.Digest]int{}
	previous := absent
	for i, e := range events {
		d := digest.Digest(e.Digest)
		if _, twice := at[d]; twice || digest.Digest(e.Previous) != previous {
			t.Fatalf("event %d is %+v after %q, and it was there before: %v", i, e, previous, twice)
		}
		at[d] = i
		previous = d
	}
	moves, tried := 0, 0
	for _, m := range movers {
		last := -1
		for _, d := range m.moved {
			place, ok := at[d]
			if !ok || place < last {
				t.Fatalf("a move that was acknowledged is at %d, %v, the one before it at %d", place, ok, last)
			}
			last = place
		}
		moves += len(m.moved)
		tried += len(m.tried)
		for _, d := range m.tried {
			delete(at, d)
		}
	}
	if len(at) > 0 {
		t.Errorf("nobody has tried %v", at)
	}
	if now, err := newCaller(newLedger(true), uploadExpiry, n.address).pull("/v2/golden/one/manifests/latest"); err != nil || now != previous {
		t.Errorf("the tag is %s, %v; the history ends with %s", now, err, previous)
	}
	t.Logf("%d moves tried, %d acknowledged, %d in the history", tried, moves, len(events))
}

// historyOf returns all changes of a tag, the oldest first.
func historyOf(t *testing.T, n *clusterNode, repository, tag string) []api.TagEvent {
	t.Helper()
	var events []api.TagEvent
	path := fmt.Sprintf("/v2/%s/_cloudlets/history/%s?n=100", repository, tag)
	for path != "" {
		resp, body := n.get(t, path, "", "")
		var page api.TagHistory
		if err := json.Unmarshal([]byte(body), &page); err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("GET %s: %d %s", path, resp.StatusCode, body)
		}
		events = append(events, page.Events...)
		path = ""
		if len(page.Events) == 100 {
			path = fmt.Sprintf("/v2/%s/_cloudlets/history/%s?n=100&last=%s", repository, tag, strconv.FormatInt(page.Events[99].ID, 10))
		}
	}
	slices.Reverse(events)
	return events
}

// TestUploadGoesFromNodeToNode sends each chunk to the other node, one of which is
// killed in between, and ends it where it was not begun.
func TestUploadGoesFromNodeToNode(t *testing.T) {
	nodes := newNodes(t)
	c := newCaller(newLedger(true), uploadExpiry, nodes[0].address, nodes[1].address) // in turn
	p := newPusher(c, "golden/one")
	for range 3 {
		content := bytes.Repeat(p.content(), 50)
		content = content[:min(len(content), 30<<20)]
		a, err := c.want(http.StatusAccepted, http.MethodPost, "/v2/golden/one/blobs/uploads/", nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		at := a.header.Get("Location")
		for off, i := 0, 0; off < len(content); i++ {
			end := min(len(content), off+len(content)/7+1)
			chunk := map[string]string{"Content-Range": fmt.Sprintf("%d-%d", off, end-1)}
			a, err := c.want(http.StatusAccepted, http.MethodPatch, at, chunk, bytes.NewReader(content[off:end]))
			if err != nil || a.header.Get("Range") != fmt.Sprintf("0-%d", end-1) {
				t.Fatalf("PATCH: %v %v %v", a, err, c.ledger.broken)
			}
			off = end
			if i == 3 {
				nodes[0].kill()
				nodes[0].start(t)
			}
		}
		d := digest.FromBytes(content)
		if _, err := c.want(http.StatusCreated, http.MethodPut, withDigest(at, d), nil, nil); err != nil {
			t.Fatal(err, c.ledger.broken)
		}
		for range nodes {
			if got, err := c.pull(p.blobPath(d)); got != d || err != nil {
				t.Errorf("got %s, %v, want %s", got, err, d)
			}
		}
	}
}
