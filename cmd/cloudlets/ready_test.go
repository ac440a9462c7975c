package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/registry/metadata/pgtest"
)

// operated starts a registry on a data directory, with a configuration and a
// listener for operators, whose URL is returned.
func operated(t testing.TB, data, configuration string) (s *server, admin string) {
	t.Helper()
	path := mustWrite(t, filepath.Join(t.TempDir(), "cloudlets.yaml"), configuration+"\nadmin: {listen: '127.0.0.1:0'}\n")
	s = startServer(t, data, "env", configVariable+"="+path)
	found := adminAddress.FindStringSubmatch(s.logged())
	if found == nil {
		t.Fatalf("no address of the listener in\n%s", s.logged())
	}
	return s, "http://" + found[1]
}

// fetch returns the status and the body of an answer, or 0.
func fetch(t testing.TB, url string) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(body)
}

// expectReady waits for an answer of /readyz.
func expectReady(t testing.TB, admin string, status int, reason string) {
	t.Helper()
	var got int
	var text string
	defer func() {
		if t.Failed() {
			t.Logf("/readyz answers %d: %s", got, text)
		}
	}()
	eventually(t, fmt.Sprintf("/readyz answers %d %s", status, reason), func() bool {
		got, text = fetch(t, admin+"/readyz")
		return got == status && strings.Contains(text, reason)
	})
}

func TestReadyzTellsOfAFullDisk(t *testing.T) {
	b := newFiles(t, "8m")
	_, admin := operated(t, filepath.Join(b.disk, "data"), "")
	expectReady(t, admin, http.StatusOK, "ok")
	full := b.faults[0]
	if err := full.begin(); err != nil {
		t.Fatal(err)
	}
	expectReady(t, admin, http.StatusServiceUnavailable, "no space left on device")
	if err := full.end(); err != nil {
		t.Fatal(err)
	}
	expectReady(t, admin, http.StatusOK, "ok")
}

func TestReadyzTellsOfAnUnreachableDatabase(t *testing.T) {
	database := pgtest.Start(t)
	_, admin := operated(t, t.TempDir(), fmt.Sprintf("database: %q", database.DSN()))
	expectReady(t, admin, http.StatusOK, "ok")
	if err := database.Stop(); err != nil {
		t.Fatal(err)
	}
	expectReady(t, admin, http.StatusServiceUnavailable, "metadata: cannot be reached")
	if status, _ := fetch(t, admin+"/livez"); status != http.StatusOK {
		t.Errorf("/livez answers %d", status)
	}
	if err := database.Restart(); err != nil {
		t.Fatal(err)
	}
	expectReady(t, admin, http.StatusOK, "ok")
}

// TestStoppingLetsRequestsEndUntilTheCutOff stops a registry with two uploads
// under way: one ends in time, the other never would.
func TestStoppingLetsRequestsEndUntilTheCutOff(t *testing.T) {
	s, admin := operated(t, t.TempDir(), "shutdownTimeout: 3s")
	content := text(1, 1<<20)
	slow, endless := newStream(t, s, content), newStream(t, s, content)
	eventually(t, "both uploads are under way", func() bool {
		_, metrics := fetch(t, admin+"/metrics")
		return strings.Contains(metrics, "cloudlets_http_requests_in_flight 2\n")
	})
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	expectReady(t, admin, http.StatusServiceUnavailable, "the server is stopping")
	if status := slow.end(t, content); status != http.StatusCreated {
		t.Errorf("an upload that was under way ends with %d", status)
	}
	select {
	case <-s.ended:
	case <-time.After(time.Minute):
		t.Fatal("the registry has not stopped")
	}
	if !strings.Contains(s.logged(), "requests were cut off") || !strings.Contains(s.logged(), "msg=stopped") {
		t.Error("the log does not tell of the cut-off")
	}
	endless.cut()
}

// stream is an upload whose body comes when the test wants.
type stream struct {
	body   *io.PipeWriter
	status chan int
}

// newStream begins an upload of content and sends half of it.
func newStream(t testing.TB, s *server, content string) *stream {
	t.Helper()
	reader, writer := io.Pipe()
	st := &stream{body: writer, status: make(chan int, 1)}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost,
		"http://"+s.host+"/v2/a/blobs/uploads/?digest="+digest.FromString(content).String(), reader)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			st.status <- 0
			return
		}
		resp.Body.Close()
		st.status <- resp.StatusCode
	}()
	if _, err := writer.Write([]byte(content[:len(content)/2])); err != nil {
		t.Fatal(err)
	}
	return st
}

// end sends the rest and returns the status.
func (s *stream) end(t testing.TB, content string) int {
	t.Helper()
	if _, err := s.body.Write([]byte(content[len(content)/2:])); err != nil {
		t.Fatal(err)
	}
	s.body.Close()
	return <-s.status
}

func (s *stream) cut() {
	s.body.CloseWithError(io.ErrUnexpectedEOF)
	<-s.status
}

var metricName = regexp.MustCompile(`\b(cloudlets|go|process)_[a-z0-9_]+\b`)

// TestDashboardShowsMetricsThatExist compares the names in its queries with what
// a registry tells that has done a bit of everything.
func TestDashboardShowsMetricsThatExist(t *testing.T) {
	s, admin := operated(t, t.TempDir(), "events: {endpoints: [{name: ci, url: 'http://127.0.0.1:1/'}]}")
	ok(t, "push", writeTar(t, bootableRootfs(t)), s.ref("golden/small:1"))
	status, text := fetch(t, admin+"/metrics")
	if status != http.StatusOK {
		t.Fatalf("/metrics answers %d", status)
	}
	served := map[string]bool{}
	for line := range strings.Lines(text) {
		served[metricName.FindString(line)] = true
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(mustRead(t, "../../docs/grafana-dashboard.json")), &dashboard); err != nil {
		t.Fatal(err)
	}
	shown := 0
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			for _, name := range metricName.FindAllString(target.Expr, -1) {
				if shown++; !served[name] {
					t.Errorf("panel %q shows %s, which /metrics does not serve", p.Title, name)
				}
			}
		}
	}
	manual := mustRead(t, "../../docs/operation.md")
	for line := range strings.Lines(text) {
		if name, found := strings.CutPrefix(line, "# HELP cloudlets_"); found {
			name, _, _ = strings.Cut("cloudlets_"+name, " ")
			if !strings.Contains(manual, "`"+name+"`") {
				t.Errorf("docs/operation.md does not list %s", name)
			}
		}
	}
	if shown < len(dashboard.Panels) {
		t.Errorf("only %d names were found in %d panels", shown, len(dashboard.Panels))
	}
}
