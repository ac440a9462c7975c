package access

import (
	"reflect"
	"strings"
	"testing"

	"github.com/cloudlets/cloudlets/registry/clocktest"
)

func TestWarningsAreToldWhoAsks(t *testing.T) {
	s := start(t, Config{Warnings: []Warning{
		{Repositories: []string{"old/**"}, Text: `use "new" \ instead`},
		{Repositories: []string{"*"}, Tags: []string{"*-rc*", "edge"}, Text: "not for production"},
		{Repositories: []string{"**"}, Tags: []string{"edge"}, Text: "moves"},
	}}, clocktest.New().Now)
	old, rc, moves := `299 - "use \"new\" \\ instead"`, `299 - "not for production"`, `299 - "moves"`
	index := `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`
	for path, want := range map[string][]string{
		"old/a/manifests/v1":     {old},
		"old/a/manifests/v1-rc1": {old},
		"new/manifests/v1":       nil,
		"new/manifests/v1-rc1":   {rc},
		"new/manifests/edge":     {rc, moves},
	} {
		for _, method := range []string{"PUT", "GET", "HEAD"} {
			if got := s.do(t, method, "/v2/"+path, "", index).header["Warning"]; !reflect.DeepEqual(got, want) {
				t.Errorf("%s %s: got %q, want %q", method, path, got, want)
			}
		}
	}
	if got := s.do(t, "GET", "/v2/old/a/tags/list", "", "").want(t, 200).header["Warning"]; got != nil {
		t.Errorf("a list warns: %q", got)
	}
}

func TestWarningsAreBounded(t *testing.T) {
	c := Config{}
	for range 10 {
		c.Warnings = append(c.Warnings, Warning{Repositories: []string{"**"}, Text: strings.Repeat("x", maxWarning)})
	}
	got := start(t, c, clocktest.New().Now).do(t, "GET", "/v2/a/manifests/v1", "", "").header["Warning"]
	if len(got) != 4 || len(strings.Join(got, "")) > 4096 {
		t.Errorf("got %d warnings of %d bytes", len(got), len(strings.Join(got, "")))
	}
}

func TestWhoMayNotPullIsNotWarned(t *testing.T) {
	s, _ := ruled(t, func(c *Config) { c.Warnings = []Warning{{Repositories: []string{"hidden"}, Text: "secret plans"}} })
	if a := s.do(t, "GET", "/v2/hidden/manifests/v1", basic("bob", secret), "").want(t, 403); a.header["Warning"] != nil {
		t.Errorf("got %v", a.header)
	}
}
