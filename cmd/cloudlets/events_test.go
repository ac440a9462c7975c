package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/registry/events"
	"github.com/cloudlets/cloudlets/registry/metadata/pgtest"
)

// moodyReceiver is an endpoint that fails in all ways while it is in a bad mood.
type moodyReceiver struct {
	*httptest.Server

	mu     sync.Mutex
	moody  bool
	events []events.Event
}

func newMoodyReceiver(t testing.TB) *moodyReceiver {
	t.Helper()
	r := &moodyReceiver{moody: true}
	r.Server = httptest.NewServer(http.HandlerFunc(r.serve))
	t.Cleanup(r.Close)
	return r
}

func (r *moodyReceiver) serve(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	r.mu.Lock()
	moody := r.moody
	r.mu.Unlock()
	var envelope events.Envelope
	if err != nil || json.Unmarshal(body, &envelope) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	keep := func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.events = append(r.events, envelope.Events...)
	}
	if !moody {
		keep()
		return
	}
	switch rand.N(4) {
	case 0:
		w.WriteHeader(http.StatusInternalServerError)
	case 1:
		<-req.Context().Done()
	case 2:
		keep() // and does not say so
		panic(http.ErrAbortHandler)
	default:
		keep()
	}
}

// told returns what was told of tags of a repository, each event once, in order.
func (r *moodyReceiver) told(repository string) (told []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := map[string]bool{}
	for _, e := range r.events {
		if e.Target.Repository == repository && e.Target.Tag != "" && !seen[e.ID] {
			told = append(told, e.Action+" "+e.Target.Tag)
		}
		seen[e.ID] = true
	}
	return told
}

// try sends a request to a registry that may be about to be killed, and returns
// the status, or 0.
func (s *server) try(method, path, mediaType, body string) int {
	req, err := http.NewRequestWithContext(context.Background(), method, "http://"+s.host+path, strings.NewReader(body))
	if err != nil {
		return 0
	}
	req.Header.Set("Content-Type", mediaType)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

const ociIndex = "application/vnd.oci.image.index.v1+json"

// index returns a manifest without blobs, another one for each number.
func index(n int) string {
	return fmt.Sprintf(`{"schemaVersion":2,"mediaType":%q,"manifests":[],"annotations":{"n":"%d"}}`, ociIndex, n)
}

// TestEventsSurviveKill kills the registry at random moments while it is pushed
// to and while its endpoint fails. Every change that was acknowledged is told, in
// the order of its repository, and none that was refused.
func TestEventsSurviveKill(t *testing.T) {
	for name, database := range map[string]func() string{
		"sqlite":   func() string { return "" },
		"postgres": func() string { return pgtest.Database(t) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newMoodyReceiver(t)
			path := mustWrite(t, filepath.Join(t.TempDir(), "cloudlets.yaml"), fmt.Sprintf(
				"database: %q\nevents:\n  endpoints:\n    - {name: ci, url: %q, timeout: 200ms, backoff: 10ms}\n", database(), r.URL))
			data := t.TempDir()
			start := func() *server { return startServer(t, data, "env", configVariable+"="+path) }
			want := map[string][]string{}
			n := 0
			for range crashes(t) {
				s := start()
				timer := time.AfterFunc(50*time.Millisecond+rand.N(300*time.Millisecond), s.kill)
				for pushUntilKilled(s, want, &n) {
				}
				timer.Stop()
				s.kill()
			}
			r.mu.Lock()
			r.moody = false
			r.mu.Unlock()
			s := start()
			for repository, acknowledged := range want {
				eventually(t, "all that was acknowledged is told", func() bool { return isWithin(acknowledged, r.told(repository)) })
			}
			if told := r.told("golden/refused"); len(told) > 0 {
				t.Errorf("refused changes were told: %v", told)
			}
			s.stop(t)
			t.Logf("%d changes", n)
		})
	}
}

// pushUntilKilled changes a repository once and notes what was acknowledged. It
// returns false once the registry does not answer.
func pushUntilKilled(s *server, want map[string][]string, n *int) bool {
	*n++
	repository, tag := fmt.Sprintf("golden/%d", *n%3), fmt.Sprintf("t%d", *n)
	at := "/v2/" + repository + "/manifests/" + tag
	note := func(action string) { want[repository] = append(want[repository], action+" "+tag) }
	status := s.try(http.MethodPut, at, ociIndex, index(*n))
	if status != http.StatusCreated {
		return status != 0
	}
	note("push")
	if *n%2 == 0 {
		if status = s.try(http.MethodDelete, at, "", ""); status == http.StatusAccepted {
			note("delete")
		}
	}
	missing := fmt.Sprintf(`{"schemaVersion":2,"config":{"mediaType":"a/b","digest":%q,"size":1},"layers":[]}`, digest.FromString(tag))
	s.try(http.MethodPut, "/v2/golden/refused/manifests/"+tag, "application/vnd.oci.image.manifest.v1+json", missing)
	return status != 0
}

// isWithin says whether all of want are in got, in their order: between them may
// be changes that were not acknowledged because the registry was killed.
func isWithin(want, got []string) bool {
	for _, w := range want {
		i := slices.Index(got, w)
		if i < 0 {
			return false
		}
		got = got[i+1:]
	}
	return true
}
