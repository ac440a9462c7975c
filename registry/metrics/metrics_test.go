package metrics

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/cloudlets/cloudlets/blobstore"
	"github.com/cloudlets/cloudlets/registry/metadata"
)

func newMetrics(log io.Writer) *Metrics {
	return New(Options{
		Endpoint: func(path string) string { return strings.Trim(path, "/") },
		Log:      slog.New(slog.NewTextHandler(log, nil)),
	})
}

// scrape reads /metrics with Prometheus' own parser.
func scrape(t *testing.T, m *Metrics) map[string]*dto.MetricFamily {
	t.Helper()
	w := httptest.NewRecorder()
	m.Admin().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(w.Body)
	if err != nil || w.Code != http.StatusOK {
		t.Fatalf("status %d, %v", w.Code, err)
	}
	return families
}

// find returns the one series that has the values of labels.
func find(t *testing.T, f *dto.MetricFamily, values ...string) *dto.Metric {
	t.Helper()
	for _, metric := range f.GetMetric() {
		var have []string
		for _, l := range metric.GetLabel() {
			have = append(have, l.GetValue())
		}
		if strings.Join(have, " ") == strings.Join(values, " ") {
			return metric
		}
	}
	t.Fatalf("no series %v in %v", values, f)
	return nil
}

func TestRequestsAreCounted(t *testing.T) {
	m := newMetrics(io.Discard)
	h := m.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		switch r.URL.Path {
		case "/blob":
			_, _ = io.WriteString(w, "four")
		case "/upload":
			w.WriteHeader(http.StatusAccepted)
		case "/broken":
			panic(http.ErrAbortHandler)
		}
	}))
	do := func(method, path, body string) {
		defer func() { _ = recover() }()
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(method, path, strings.NewReader(body)))
	}
	do("GET", "/blob", "")
	do("GET", "/blob", "")
	do("PATCH", "/upload", "seven b")
	do("BREW", "/broken", "")
	families := scrape(t, m)
	requests := families["cloudlets_http_requests_total"]
	// Labels come sorted by name: code, endpoint, method.
	for _, c := range []struct {
		labels []string
		want   float64
	}{
		{[]string{"200", "blob", "GET"}, 2},
		{[]string{"202", "upload", "PATCH"}, 1},
		{[]string{"499", "broken", "other"}, 1},
	} {
		if got := find(t, requests, c.labels...).GetCounter().GetValue(); got != c.want {
			t.Errorf("%v: %v, want %v", c.labels, got, c.want)
		}
	}
	if got := find(t, families["cloudlets_http_sent_bytes_total"], "blob", "GET").GetCounter().GetValue(); got != 8 {
		t.Errorf("%v bytes sent, want 8", got)
	}
	if got := find(t, families["cloudlets_http_received_bytes_total"], "upload", "PATCH").GetCounter().GetValue(); got != 7 {
		t.Errorf("%v bytes received, want 7", got)
	}
	if got := find(t, families["cloudlets_http_request_duration_seconds"], "blob", "GET").GetHistogram().GetSampleCount(); got != 2 {
		t.Errorf("%v durations, want 2", got)
	}
	if got := families["cloudlets_http_requests_in_flight"].GetMetric()[0].GetGauge().GetValue(); got != 0 {
		t.Errorf("%v requests in flight, want 0", got)
	}
	if families["go_goroutines"] == nil {
		t.Error("nothing about the Go runtime")
	}
}

func TestAccessLogCanBeSwitched(t *testing.T) {
	var log bytes.Buffer
	m := newMetrics(&log)
	h := m.Wrap(http.NotFoundHandler())
	get := func() { h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/a", nil)) }
	get()
	if log.Len() > 0 {
		t.Errorf("logged although it is off: %s", &log)
	}
	m.LogAccess(true)
	get()
	if !strings.Contains(log.String(), "status=404") || !strings.Contains(log.String(), "path=/a") {
		t.Errorf("logged %q", &log)
	}
}

// readFromRecorder notices whether what it is given is still a file.
type readFromRecorder struct {
	*httptest.ResponseRecorder
	file bool
}

func (r *readFromRecorder) ReadFrom(src io.Reader) (int64, error) {
	limited, ok := src.(*io.LimitedReader)
	if ok {
		_, r.file = limited.R.(*os.File)
	}
	return io.Copy(r.ResponseRecorder, src)
}

func TestFilesAreStillSentByTheKernel(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	below := &readFromRecorder{ResponseRecorder: httptest.NewRecorder()}
	newMetrics(io.Discard).Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.Copy(w, &io.LimitedReader{R: f, N: 7})
	})).ServeHTTP(below, httptest.NewRequest(http.MethodGet, "/blob", nil))
	if !below.file || below.Body.String() != "content" {
		t.Errorf("a file: %v, body %q", below.file, below.Body)
	}
}

func TestDeadlinesReachTheConnection(t *testing.T) {
	result := make(chan error, 1)
	server := httptest.NewServer(newMetrics(io.Discard).Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		result <- http.NewResponseController(w).SetWriteDeadline(time.Now().Add(time.Minute))
	})))
	defer server.Close()
	answer, err := server.Client().Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if err := <-result; err != nil {
		t.Error(err)
	}
}

func TestReadyzFailsWithItsChecks(t *testing.T) {
	var log bytes.Buffer
	var broken error
	h := newMetrics(&log).Admin(Check{"metadata", func(context.Context) error { return broken }})
	status := func(path string) int {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
		if strings.Contains(w.Body.String(), "password") {
			t.Errorf("%s tells a stranger why: %s", path, w.Body)
		}
		return w.Code
	}
	if got := status("/readyz"); got != http.StatusOK {
		t.Errorf("ready: %d", got)
	}
	broken = errors.New("dial with password x")
	if got := status("/readyz"); got != http.StatusServiceUnavailable {
		t.Errorf("not ready: %d", got)
	}
	if got := status("/livez"); got != http.StatusOK {
		t.Errorf("alive: %d", got)
	}
	if !strings.Contains(log.String(), "password") {
		t.Errorf("the log does not say why: %s", &log)
	}
}

func TestReadyzNamesTheReasonAndNothingElse(t *testing.T) {
	const secret = "password x"
	for _, c := range []struct {
		err  error
		want string
	}{
		{ErrStopping, "the server is stopping"},
		{fmt.Errorf(secret+": %w", syscall.ENOSPC), "no space left on device"},
		{fmt.Errorf(secret+": %w", syscall.EROFS), "the disk can only be read"},
		{fmt.Errorf(secret+": %w", context.DeadlineExceeded), "no answer within 5s"},
		{&net.OpError{Op: "dial " + secret, Err: syscall.ECONNREFUSED}, "cannot be reached"},
		{errors.New(secret), "failed, the log says more"},
	} {
		w := httptest.NewRecorder()
		check := Check{Name: "part", Run: func(context.Context) error { return c.err }}
		newMetrics(io.Discard).Admin(check).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/readyz", nil))
		if w.Code != http.StatusServiceUnavailable || w.Body.String() != "part: "+c.want+"\n" {
			t.Errorf("%v: %d %s", c.err, w.Code, w.Body)
		}
	}
}

func TestDirectoryIsWritableOrSaysWhyNot(t *testing.T) {
	dir := t.TempDir()
	if err := Writable("disk", dir).Run(t.Context()); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("the check leaves %v, %v", left, err)
	}
	if err := Writable("disk", dir+"/absent").Run(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an absent directory: %v", err)
	}
}

func TestStateIsCountedNowAndThen(t *testing.T) {
	m := newMetrics(io.Discard)
	asked := 0
	failure := errors.New("down")
	m.WatchState(func(context.Context) (metadata.State, error) {
		asked++
		return metadata.State{
			Blobs:     map[blobstore.Kind]metadata.Amount{blobstore.Whole: {Count: 2, Bytes: 30}},
			Endpoints: []metadata.EndpointState{{Name: "ci", Pending: 4, Oldest: time.Minute}},
		}, failure
	})
	if scrape(t, m)["cloudlets_blobs"] != nil {
		t.Error("a store that does not answer is said to hold something")
	}
	failure = nil
	for range 3 {
		families := scrape(t, m)
		for name, want := range map[string]float64{
			"cloudlets_blobs": 2, "cloudlets_blob_bytes": 30, "cloudlets_events_pending": 4, "cloudlets_events_oldest_pending_seconds": 60, "cloudlets_uploads": 0,
		} {
			if f := families[name]; f == nil || f.GetMetric()[0].GetGauge().GetValue() != want {
				t.Errorf("%s is %v, want %v", name, f, want)
			}
		}
	}
	if asked != 2 {
		t.Errorf("the store was asked %d times, want once for its failure and once for all else", asked)
	}
}
