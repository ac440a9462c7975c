package access

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cloudlets/cloudlets/registry"
)

func TestPatternMatchesWholeParts(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"golden/debian", "golden/debian", true},
		{"golden/debian", "golden/debian/12", false},
		{"golden/*", "golden/debian", true},
		{"golden/*", "golden", false},
		{"golden/*", "golden/debian/12", false},
		{"golden/**", "golden", true},
		{"golden/**", "golden/debian/12", true},
		{"golden/**", "goldener", false},
		{"**", "a/b/c", true},
		{"**/kits", "kits", true},
		{"**/kits", "a/b/kits", true},
		{"**/kits", "a/kits/b", false},
		{"a/**/b/**/c", "a/x/b/b/y/c", true},
		{"a/**/b/**/c", "a/x/y/c", false},
		{"team-*/x*y", "team-a/xy", true},
		{"team-*/x*y", "team-a/xyz", false},
		{"**", "", true},
		{"*", "", false},
		{"golden/**", "", false},
	} {
		p, err := parsePattern(c.pattern)
		if err != nil {
			t.Fatal(err)
		}
		if got := p.match(c.name); got != c.want {
			t.Errorf("%s matches %q: got %v", c.pattern, c.name, got)
		}
	}
	for _, bad := range []string{"", "/a", "a/", "a//b", "a**", "a/**b"} {
		if _, err := parsePattern(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

// slowMatch is what a star means, word for word.
func slowMatch(p, s string) bool {
	if p == "" {
		return s == ""
	}
	if p[0] == '*' {
		return slowMatch(p[1:], s) || s != "" && slowMatch(p, s[1:])
	}
	return s != "" && p[0] == s[0] && slowMatch(p[1:], s[1:])
}

func TestGlobIsWhatStarsMean(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.StringMatching(`[ab*]{0,8}`).Draw(t, "pattern")
		s := rapid.StringMatching(`[ab]{0,10}`).Draw(t, "text")
		if got, want := glob(p).match(s), slowMatch(p, s); got != want {
			t.Fatalf("%q matches %q: got %v, want %v", p, s, got, want)
		}
	})
}

func TestRulesGiveRights(t *testing.T) {
	p, err := newPolicy([]Rule{
		{[]string{"public/**"}, []string{"anonymous"}, []string{"pull"}},
		{[]string{"golden/**"}, []string{"authenticated"}, []string{"pull", "render"}},
		{[]string{"golden/**"}, []string{"@builders"}, []string{"push"}},
		{[]string{"**"}, []string{"root"}, []string{"*"}},
		{[]string{"nodes/*"}, []string{"cert:*.nodes.example"}, []string{"pull", "push"}},
		{[]string{"ci/x"}, []string{"gitlab:project_path:a/b:*"}, []string{"push"}},
	}, map[string][]string{"builders": {"ci", "alice"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		who, action, repository string
		want                    bool
	}{
		{"", "pull", "public/a", true},
		{"bob", "pull", "public/a", true},
		{"", "push", "public/a", false},
		{"", "pull", "golden/a", false},
		{"bob", "pull", "golden/a", true},
		{"bob", "render", "golden/a", true},
		{"bob", "push", "golden/a", false},
		{"alice", "push", "golden/a", true},
		{"alice", "delete", "golden/a", false},
		{"root", "admin", "x", true},
		{"root", "pull", "", true},
		{"alice", "pull", "", false},
		{"cert:a.nodes.example", "push", "nodes/a", true},
		{"cert:nodes.example", "push", "nodes/a", false},
		{"a.nodes.example", "push", "nodes/a", false},
		{"gitlab:project_path:a/b:ref:main", "push", "ci/x", true},
		{"gitlab:project_path:a/c:ref:main", "push", "ci/x", false},
		{"", "list", "", true},
		{"", "list", "golden/a", false},
		{"bob", "list", "golden/a", true},
	} {
		need := registry.Need{Action: registry.Action(c.action), Repository: c.repository}
		if got := p.may(identity{c.who}, need); got != c.want {
			t.Errorf("%q may %s %q: got %v", c.who, c.action, c.repository, got)
		}
	}
}

func TestConfigurationIsChecked(t *testing.T) {
	rule := Rule{[]string{"**"}, []string{"a"}, []string{"pull"}}
	for want, c := range map[string]Config{
		"rules[0]: action \"pul\"":      {Rules: []Rule{{[]string{"**"}, []string{"a"}, []string{"pul"}}}},
		"there is no group \"x\"":       {Rules: []Rule{{[]string{"**"}, []string{"@x"}, []string{"pull"}}}},
		"expected repositories":         {Rules: []Rule{{Principals: []string{"a"}, Actions: []string{"pull"}}}},
		"has the member \"anonymous\"":  {Rules: []Rule{{[]string{"**"}, []string{"@x"}, []string{"pull"}}}, Groups: map[string][]string{"x": {"anonymous"}}},
		"expected cert and key":         {TLS: TLS{Cert: "x"}},
		"expected tls.cert and tls.key": {TLS: TLS{ClientCA: "x"}},
		"proxies[0]":                    {Proxies: []string{"10.0.0.1"}},
		"quotas[0]":                     {Quotas: []Quota{{"a/", 1}}},
		"warnings[0]: expected":         {Warnings: []Warning{{Text: "x"}}},
		"as headers have":               {Warnings: []Warning{{Repositories: []string{"**"}, Text: "a\r\nSet-Cookie: b"}}},
		"repository pattern":            {Warnings: []Warning{{Repositories: []string{"a//b"}, Text: "x"}}},
		"rates.requests":                {Rates: Rates{Requests: Rate{-1, 1}}},
		"issuer.lifetime":               {Users: "x", Issuer: &Issuer{Key: "x", Lifetime: 1}},
		"expected users":                {Issuer: &Issuer{Key: "x"}},
		"jwks \"http://a\"":             {Trusted: []TrustedIssuer{{Name: "a", Issuer: "b", JWKS: "http://a"}}},
		"trusted[0]: name \"a:b\"":      {Trusted: []TrustedIssuer{{Name: "a:b", Issuer: "b", JWKS: "x"}}},
		"is another one's too":          {Trusted: []TrustedIssuer{{Name: "a", Issuer: "b", JWKS: "x"}, {Name: "c", Issuer: "b", JWKS: "x"}}},
	} {
		c.SetDefaults()
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got the error %v, want one with %q", err, want)
		}
	}
	good := Config{Rules: []Rule{rule}, Quotas: []Quota{{"", 1}, {"a/b", 0}}, Proxies: []string{"::1/128"}}
	good.SetDefaults()
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
}
