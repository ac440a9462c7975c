package metrics

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
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

// queried are the names of metrics in the queries of the dashboard.
var queried = regexp.MustCompile(`\b(cloudlets|go|process)_[a-z_]+`)

func TestDashboardAsksForWhatThereIs(t *testing.T) {
	dashboard, err := os.ReadFile("../../docs/grafana-dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	if !json.Valid(dashboard) {
		t.Fatal("the dashboard is not JSON")
	}
	m := newMetrics(io.Discard)
	m.Wrap(http.NotFoundHandler()).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/a", nil))
	families := scrape(t, m)
	names := queried.FindAllString(string(dashboard), -1)
	if len(names) == 0 {
		t.Error("the dashboard asks for nothing")
	}
	for _, name := range names {
		if families[strings.TrimSuffix(name, "_bucket")] == nil {
			t.Errorf("there is no metric %s", name)
		}
	}
}
