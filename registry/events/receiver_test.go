package events

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/cloudlets/cloudlets/config"
	"github.com/cloudlets/cloudlets/registry/metadata"
	"github.com/cloudlets/cloudlets/registry/metadata/pgtest"
)

// receiver is an endpoint that writes down what it is told.
type receiver struct {
	*httptest.Server

	mu       sync.Mutex
	answer   func(n int, w http.ResponseWriter, r *http.Request) bool // nil is 200
	requests int
	events   []Event
	headers  http.Header
	problems []string
}

// listen starts a receiver. answer, if it returns true, has answered the n-th
// request, from 0 on, and its events do not count.
func listen(t testing.TB, answer func(n int, w http.ResponseWriter, r *http.Request) bool) *receiver {
	t.Helper()
	r := &receiver{answer: answer}
	r.Server = httptest.NewServer(r)
	t.Cleanup(func() {
		r.Close()
		r.mu.Lock()
		defer r.mu.Unlock()
		for _, p := range r.problems {
			t.Error(p)
		}
	})
	return r
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	r.mu.Lock()
	n := r.requests
	r.requests++
	r.headers = req.Header.Clone()
	r.mu.Unlock()
	if r.answer != nil && r.answer(n, w, req) {
		return
	}
	var envelope Envelope
	if err == nil {
		err = json.Unmarshal(body, &envelope)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil || req.Method != http.MethodPost || req.Header.Get("Content-Type") != MediaType {
		r.problems = append(r.problems, fmt.Sprintf("%s %s: %v", req.Method, req.Header, err))
	}
	r.events = append(r.events, envelope.Events...)
}

func (r *receiver) received() []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Event(nil), r.events...)
}

// tags returns the tags of the events in the order they came, each once.
func (r *receiver) tags() string {
	var tags []string
	seen := map[string]bool{}
	for _, e := range r.received() {
		if !seen[e.ID] {
			tags = append(tags, e.Target.Tag)
		}
		seen[e.ID] = true
	}
	return strings.Join(tags, " ")
}

func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not so within half a minute", what)
		}
	}
}

// engines opens an empty store on each database.
var engines = map[string]func(t testing.TB) *metadata.Store{
	"sqlite": func(t testing.TB) *metadata.Store {
		return opened(t)(metadata.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "metadata.sqlite"), metadata.Options{}))
	},
	"postgres": func(t testing.TB) *metadata.Store {
		return opened(t)(metadata.OpenPostgres(t.Context(), pgtest.Database(t), metadata.Options{}))
	},
}

func opened(t testing.TB) func(*metadata.Store, error) *metadata.Store {
	return func(s *metadata.Store, err error) *metadata.Store {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		return s
	}
}

// endpoint is one that is quick to try again.
func endpoint(name, url string) config.EventEndpoint {
	return config.EventEndpoint{Name: name, URL: url, Timeout: 300 * time.Millisecond, Threshold: 3, Backoff: 5 * time.Millisecond}
}

func configuration(endpoints ...config.EventEndpoint) config.Events {
	return config.Events{MaxAge: time.Hour, MaxRows: 1000, Endpoints: endpoints}
}

// run starts a sender, which the returned function stops.
func run(t testing.TB, meta *metadata.Store, log io.Writer, endpoints ...config.EventEndpoint) (s *Sender, stop func()) {
	t.Helper()
	if log == nil {
		log = io.Discard
	}
	s = New(meta, metadata.Source{Address: "node:5000", Instance: "1"}, slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err := s.Configure(t.Context(), configuration(endpoints...)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.Run(ctx)
	}()
	stop = sync.OnceFunc(func() {
		cancel()
		<-ended
	})
	t.Cleanup(stop)
	return s, stop
}

// push puts a manifest with a tag.
func push(t testing.TB, meta *metadata.Store, repository, tag string) {
	t.Helper()
	raw := []byte(repository + tag)
	err := meta.PutManifest(t.Context(), metadata.ManifestPut{
		Repository: repository, Tags: []string{tag}, Actor: "tester",
		Manifest: metadata.Manifest{Digest: digest.FromBytes(raw), MediaType: "application/vnd.oci.image.manifest.v1+json", Raw: raw},
	})
	if err != nil {
		t.Fatal(err)
	}
}

func each(t *testing.T, test func(t *testing.T, meta *metadata.Store)) {
	for name, open := range engines {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

// value returns what a counter has counted.
func value(t testing.TB, c prometheus.Counter) float64 {
	t.Helper()
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}
