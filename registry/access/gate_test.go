package access

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cloudlets/cloudlets/registry"
)

// noUsage says that nothing is stored.
type noUsage struct{}

func (noUsage) Usage(context.Context, string) (int64, error) { return 0, nil }

func TestGateIsReplacedWhileItServes(t *testing.T) {
	gate, err := NewGate(Config{}, noUsage{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	request := httptest.NewRequest(http.MethodGet, "/v2/a/tags/list", nil)
	pull := registry.Need{Action: registry.ActionPull, Repository: "a"}
	if p, err := gate.Authorize(request, pull); p != nil || err != nil {
		t.Fatalf("an open gate asks who is there: %v, %v", p, err)
	}
	closed := Config{Rules: []Rule{{Repositories: []string{"b"}, Principals: []string{"anonymous"}, Actions: []string{"pull"}}}}
	apply, err := gate.Prepare(closed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := gate.Authorize(request, pull); err != nil {
		t.Errorf("what was only prepared is in force: %v", err)
	}
	apply()
	var answer *registry.Error
	if _, err := gate.Authorize(request, pull); !errors.As(err, &answer) || answer.Status != http.StatusForbidden {
		t.Errorf("after the change: %v", err)
	}
	for name, broken := range map[string]Config{
		"rule without action": {Rules: []Rule{{Repositories: []string{"**"}, Principals: []string{"anonymous"}}}},
		"absent users":        {Users: filepath.Join(t.TempDir(), "absent")},
	} {
		if _, err := gate.Prepare(broken); err == nil {
			t.Errorf("%s: was accepted", name)
		}
	}
	if _, err := gate.Authorize(request, pull); err == nil {
		t.Error("a broken configuration opened the gate")
	}
}

func TestGateGoesOnCounting(t *testing.T) {
	c := Config{Rates: Rates{Requests: Rate{PerSecond: .001, Burst: 2}}, Quotas: []Quota{{Bytes: 100}}}
	gate, err := NewGate(c, noUsage{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ask := func() error {
		_, err := gate.Authorize(httptest.NewRequest(http.MethodGet, "/v2/", nil))
		return err
	}
	body, err := gate.Admit(t.Context(), "a", io.NopCloser(strings.NewReader("")), 60)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	reload := func(c Config) {
		t.Helper()
		apply, err := gate.Prepare(c)
		if err != nil {
			t.Fatal(err)
		}
		apply()
	}
	for range 2 {
		if err := ask(); err != nil {
			t.Fatal(err)
		}
		reload(c)
	}
	if ask() == nil {
		t.Error("a reload has given a client its requests back")
	}
	if _, err := gate.Admit(t.Context(), "a", io.NopCloser(strings.NewReader("")), 60); err == nil {
		t.Error("a reload has forgotten the bytes under way")
	}
	c.Rates.Requests.Burst, c.Quotas = 3, []Quota{{Bytes: 1000}}
	reload(c)
	if err := ask(); err != nil {
		t.Errorf("the new rate is not in force: %v", err)
	}
	if _, err := gate.Admit(t.Context(), "a", io.NopCloser(strings.NewReader("")), 600); err != nil {
		t.Errorf("the new quota is not in force: %v", err)
	}
}

func TestGateServesTokensOnceThereIsAnIssuer(t *testing.T) {
	gate, err := NewGate(Config{}, noUsage{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	handler := gate.Handler(http.NotFoundHandler())
	keys := func() int {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, keysPath, nil))
		return w.Code
	}
	if got := keys(); got != http.StatusNotFound {
		t.Errorf("without an issuer: %d", got)
	}
	apply, err := gate.Prepare(Config{
		Users: htpasswdFile(t, "alice"), Issuer: &Issuer{Key: write(t, "key.pem", pemKey(t, newECDSA(t)))}})
	if err != nil {
		t.Fatal(err)
	}
	apply()
	if got := keys(); got != http.StatusOK {
		t.Errorf("with an issuer: %d", got)
	}
}
