package events

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/config"
	"github.com/cloudlets/cloudlets/registry/metadata"
)

// numbered returns the tags t0 t1 … in order.
func numbered(n int) string {
	tags := make([]string, n)
	for i := range tags {
		tags[i] = fmt.Sprint("t", i)
	}
	return strings.Join(tags, " ")
}

func TestEveryChangeIsToldInOrderWhateverTheEndpointAnswers(t *testing.T) {
	const changes = 12
	for name, answer := range map[string]func(n int, w http.ResponseWriter, r *http.Request) bool{
		"always well": nil,
		"errors first": func(n int, w http.ResponseWriter, _ *http.Request) bool {
			codes := []int{500, 503, 429, 404, 302, 408}
			if n < len(codes) {
				w.Header().Set("Location", "http://127.0.0.1:1/elsewhere")
				w.WriteHeader(codes[n])
				return true
			}
			return false
		},
		"every other request fails": func(n int, w http.ResponseWriter, _ *http.Request) bool {
			if n%2 == 0 {
				w.WriteHeader(http.StatusBadGateway)
			}
			return n%2 == 0
		},
		"stands still once": func(n int, _ http.ResponseWriter, r *http.Request) bool {
			if n == 0 {
				<-r.Context().Done()
			}
			return n == 0
		},
		"breaks off": func(n int, _ http.ResponseWriter, _ *http.Request) bool {
			if n < 2 {
				panic(http.ErrAbortHandler)
			}
			return false
		},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, meta *metadata.Store) {
				r := listen(t, answer)
				_, stop := run(t, meta, nil, endpoint("ci", r.URL))
				for i := range changes {
					push(t, meta, "a", fmt.Sprint("t", i))
				}
				eventually(t, "all events", func() bool { return r.tags() == numbered(changes) })
				stop()
				states, err := meta.Endpoints(t.Context())
				if err != nil || len(states) != 1 || states[0].Pending != 0 {
					t.Errorf("afterwards: %+v, %v", states, err)
				}
			})
		})
	}
}

func TestEndpointThatIsDownMissesNothing(t *testing.T) {
	each(t, func(t *testing.T, meta *metadata.Store) {
		well := listen(t, nil)
		listener, err := net.Listen("tcp", "127.0.0.1:0") // closed at once: an address where nobody listens
		if err != nil {
			t.Fatal(err)
		}
		address := listener.Addr().String()
		listener.Close()
		s, _ := run(t, meta, nil, endpoint("well", well.URL), endpoint("down", "http://"+address))
		for i := range 60 { // more than a batch
			push(t, meta, "a", fmt.Sprint("t", i))
		}
		eventually(t, "the endpoint that is well", func() bool { return well.tags() == numbered(60) })
		eventually(t, "failures of the other", func() bool { return value(t, s.counts.failed.WithLabelValues("down")) > 5 })
		back := listen(t, nil)
		if err := s.Configure(t.Context(), configuration(endpoint("well", well.URL), endpoint("down", back.URL))); err != nil {
			t.Fatal(err)
		}
		eventually(t, "what it has missed", func() bool { return back.tags() == numbered(60) })
		eventually(t, "all count as sent", func() bool { return value(t, s.counts.sent.WithLabelValues("down")) == 60 })
		if len(well.received()) != 60 {
			t.Errorf("the endpoint that was well was told of %d events, want 60", len(well.received()))
		}
	})
}

func TestSenderGoesOnWhereAnotherHasStopped(t *testing.T) {
	each(t, func(t *testing.T, meta *metadata.Store) {
		r := listen(t, nil)
		_, stop := run(t, meta, nil, endpoint("ci", r.URL))
		push(t, meta, "a", "t0")
		eventually(t, "the first", func() bool { return r.tags() == "t0" })
		stop()
		push(t, meta, "a", "t1")
		run(t, meta, nil, endpoint("ci", r.URL))
		eventually(t, "the second", func() bool { return r.tags() == "t0 t1" })
		if got := len(r.received()); got != 2 {
			t.Errorf("%d events were told, want 2", got)
		}
	})
}

// TestSeveralSendersTellOnce has senders share a database as servers do.
func TestSeveralSendersTellOnce(t *testing.T) {
	meta := engines["postgres"](t)
	const changes = 40
	var telling, most int
	var mu sync.Mutex
	r := listen(t, func(int, http.ResponseWriter, *http.Request) bool {
		mu.Lock()
		telling++
		most = max(most, telling)
		mu.Unlock()
		time.Sleep(time.Millisecond)
		mu.Lock()
		telling--
		mu.Unlock()
		return false
	})
	for range 3 {
		run(t, meta, nil, endpoint("ci", r.URL))
	}
	for i := range changes {
		push(t, meta, "a", fmt.Sprint("t", i))
	}
	eventually(t, "all events", func() bool { return r.tags() == numbered(changes) })
	if got := len(r.received()); got != changes || most != 1 {
		t.Errorf("%d events were told by up to %d at once, want %d by one", got, most, changes)
	}
}

func TestIgnoredAndDisabled(t *testing.T) {
	each(t, func(t *testing.T, meta *metadata.Store) {
		all, picky, off := listen(t, nil), listen(t, nil), listen(t, nil)
		choosy := endpoint("picky", picky.URL)
		choosy.Ignore = config.EventFilter{MediaTypes: []string{"application/vnd.oci.image.manifest.v1+json"}, Actions: []string{"mount"}}
		disabled := endpoint("off", off.URL)
		disabled.Disabled = true
		s, _ := run(t, meta, nil, endpoint("all", all.URL), choosy, disabled)
		push(t, meta, "a", "t0")
		if err := meta.DeleteTag(t.Context(), "a", "t0", "tester"); err != nil {
			t.Fatal(err)
		}
		eventually(t, "both events", func() bool { return len(all.received()) == 2 })
		eventually(t, "the one that is not ignored", func() bool { return len(picky.received()) == 1 })
		if e := picky.received()[0]; e.Action != "delete" {
			t.Errorf("told of %+v", e)
		}
		disabled.Disabled = false
		if err := s.Configure(t.Context(), configuration(endpoint("all", all.URL), disabled)); err != nil {
			t.Fatal(err)
		}
		eventually(t, "what was kept meanwhile", func() bool { return len(off.received()) == 2 })
	})
}

func TestPullsAreToldWhereTheyAreWanted(t *testing.T) {
	meta := engines["sqlite"](t)
	r, other := listen(t, nil), listen(t, nil)
	wants := endpoint("wants", r.URL)
	wants.Pulls = true
	s, _ := run(t, meta, nil, endpoint("other", other.URL))
	if s.WantsPulls() {
		t.Error("nobody wants pulls")
	}
	if err := s.Configure(t.Context(), configuration(endpoint("other", other.URL), wants)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "pulls are wanted", s.WantsPulls)
	const pulls = 2 * maxPulls
	for range pulls {
		s.Pulled(metadata.NewEvent(t.Context(), time.Now(), metadata.Event{Action: metadata.EventPull, Repository: "a"}))
	}
	sent, dropped := s.counts.sent.WithLabelValues("wants"), s.counts.dropped.WithLabelValues("wants", reasonPull)
	eventually(t, "all are told or dropped", func() bool { return value(t, sent)+value(t, dropped) == pulls })
	if e := r.received()[0]; e.Action != "pull" || e.Source.Addr != "node:5000" {
		t.Errorf("told of %+v", e)
	}
	if len(other.received()) > 0 {
		t.Error("somebody was told who does not want to know")
	}
}

func TestSecretsAreSentAndNotLogged(t *testing.T) {
	meta := engines["sqlite"](t)
	r := listen(t, func(n int, w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusUnauthorized)
		return true
	})
	var log syncBuffer
	e := endpoint("ci", r.URL+"/hook?key=horse")
	e.Headers = config.Secrets{"Authorization": config.NewSecret("Bearer horse")}
	gone := endpoint("gone", "http://horse.invalid./horse")
	s, stop := run(t, meta, &log, e, gone)
	push(t, meta, "a", "t0")
	eventually(t, "failures", func() bool {
		return value(t, s.counts.failed.WithLabelValues("ci")) > 4 && value(t, s.counts.failed.WithLabelValues("gone")) > 0
	})
	stop()
	if got := r.headers.Get("Authorization"); got != "Bearer horse" {
		t.Errorf("the header was %q", got)
	}
	text := strings.ReplaceAll(log.String(), "lookup horse.invalid.", "") // the name of a host is none
	if strings.Contains(text, "horse") || !strings.Contains(text, "the endpoint answers 401") {
		t.Errorf("the log:\n%s", text)
	}
	if !strings.Contains(text, "level=ERROR") {
		t.Errorf("an endpoint that is down is no error:\n%s", text)
	}
}

func TestRetryAfterIsHonoured(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for header, want := range map[string]time.Duration{
		"": 0, "3": 3 * time.Second, "-1": 0, "999999999": maxRetryAfter, "soon": 0,
		now.Add(time.Minute).Format(http.TimeFormat): time.Minute, now.Add(-time.Minute).Format(http.TimeFormat): 0,
	} {
		if got := retryAfter(header, now); got != want {
			t.Errorf("%q: %v, want %v", header, got, want)
		}
	}
	w := &worker{endpoint: endpoint("ci", "")}
	if got := w.backoff(1, &refusal{retryAfter: time.Minute}); got < time.Minute {
		t.Errorf("the wait is %v", got)
	}
}

func TestBackoffGrowsAndIsBounded(t *testing.T) {
	w := &worker{endpoint: config.EventEndpoint{Threshold: 2, Backoff: time.Second}}
	for failures, want := range map[int]time.Duration{1: time.Second, 2: time.Second, 3: 2 * time.Second, 5: 8 * time.Second, 1000: maxBackoff} {
		var waits []time.Duration
		for range 20 {
			waits = append(waits, w.backoff(failures, nil))
		}
		low, high := slices.Min(waits), slices.Max(waits)
		if low < want*2/3 || high > want*4/3 || low == high {
			t.Errorf("after %d failures the wait is %v to %v, want about %v", failures, low, high, want)
		}
	}
}

func TestEnvelopeHasDistributionsForm(t *testing.T) {
	d := digest.FromString("x")
	body, err := encode([]metadata.Event{{
		ID: "1", At: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Action: metadata.EventMount, Repository: "a", From: "b", Tag: "v1",
		Digest: d, MediaType: "m", Size: 5, Manifest: true, References: []metadata.Descriptor{{MediaType: "l", Digest: d, Size: 7}},
		Origin: metadata.Origin{
			Actor: "alice", Source: metadata.Source{Address: "node:5000", Instance: "i"},
			RequestID: "r", Address: "192.0.2.1:2", Base: "https://reg", Host: "reg", Method: "PUT", UserAgent: "skopeo",
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	want := `{"events":[{"id":"1","timestamp":"2026-01-02T03:04:05Z","action":"mount","target":{"mediaType":"m","digest":"` + string(d) +
		`","size":5,"length":5,"repository":"a","fromRepository":"b","url":"https://reg/v2/a/manifests/` + string(d) +
		`","tag":"v1","references":[{"mediaType":"l","digest":"` + string(d) + `","size":7}]},"request":{"id":"r","addr":"192.0.2.1:2","host":"reg",` +
		`"method":"PUT","useragent":"skopeo"},"actor":{"name":"alice"},"source":{"addr":"node:5000","instanceID":"i"}}]}`
	if string(body) != want {
		t.Errorf("got\n%s\nwant\n%s", body, want)
	}
}

// syncBuffer is a buffer that several goroutines write to.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
