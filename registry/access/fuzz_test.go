package access

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/crypto/bcrypt"

	"github.com/cloudlets/cloudlets/registry/clocktest"
)

func FuzzHtpasswd(f *testing.F) {
	f.Add([]byte(madeByHtpasswd))
	f.Add([]byte("# x\n\na:$2y$05$"))
	f.Fuzz(func(t *testing.T, content []byte) {
		users, err := parseHtpasswd(content)
		if err != nil {
			return
		}
		for user, hash := range users {
			if cost, err := bcrypt.Cost(hash); err != nil || cost > maxCost || !validUser(user) || strings.Contains(user, ":") {
				t.Errorf("accepted %q with %q", user, hash)
			}
		}
	})
}

func FuzzAuthorization(f *testing.F) {
	for _, seed := range []string{basic("alice", secret), "Bearer a.b.c", "basic Og==", "Basic", "Bearer  ", "Digest x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		c, err := parseAuthorization(http.Header{"Authorization": {value}})
		switch {
		case err != nil && !c.none():
			t.Errorf("%q: credentials beside an error", value)
		case c.token != "" && c.user+c.password != "":
			t.Errorf("%q: both a token and a user", value)
		case c.user == "" && c.password != "" || strings.Contains(c.user, ":"):
			t.Errorf("%q: got %+v", value, c)
		}
	})
}

func FuzzToken(f *testing.F) {
	now := clocktest.New()
	key := newECDSA(f)
	c := foreign(f, fixedKeys{{Key: &key.PublicKey, KeyID: "ec"}}, now.Now)
	good := forge(f, jose.ES256, key, "ec", goodClaims(now.Now()))
	f.Add(good)
	f.Add(unsigned(f, `{"alg":"none"}`, goodClaims(now.Now())))
	f.Add(unsigned(f, `{"alg":"ES256","kid":"ec","crit":["b64"],"b64":false}`, goodClaims(now.Now())))
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, token string) {
		// Nobody else has the key, so what is signed is what was.
		if id, _, err := c.verifier.verify(t.Context(), token); err == nil && id.name != "ci:job" {
			t.Errorf("%q was accepted as of %q", token, id.name)
		}
	})
}

func FuzzScope(f *testing.F) {
	f.Add("repository:a/b:pull,push registry:catalog:*")
	f.Add("(:0:")
	f.Add("repository(plugin):host:5000/a:pull")
	f.Fuzz(func(t *testing.T, text string) {
		scopes, err := parseScopes([]string{text})
		if err != nil {
			return
		}
		for _, scope := range scopes {
			again, err := parseScope(scope.String())
			if err != nil || again.String() != scope.String() || scope.Type == "" || scope.Name == "" {
				t.Errorf("%q reads as %+v, which reads as %+v, %v", text, scope, again, err)
			}
		}
	})
}

func FuzzForwarded(f *testing.F) {
	for _, s := range []string{"10.0.0.1", "10.0.0.1, 192.0.2.7", "::1", "fe80::1%eth0", "x, 10.0.0.2", ",,", "[::1]:80"} {
		f.Add("10.0.0.9:1", s)
		f.Add("[2001:db8::9]:1", s)
		f.Add("192.0.2.1:1", s)
	}
	proxies := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8::/32")}
	f.Fuzz(func(t *testing.T, remote, forwarded string) {
		r := &http.Request{RemoteAddr: remote, Header: http.Header{"X-Forwarded-For": {forwarded}}}
		got := clientAddress(r, proxies)
		peer, err := netip.ParseAddrPort(remote)
		if err != nil {
			return
		}
		trusted := slices.ContainsFunc(proxies, func(n netip.Prefix) bool { return n.Contains(peer.Addr().Unmap()) })
		if alone := clientAddress(&http.Request{RemoteAddr: remote}, proxies); !trusted && got != alone {
			t.Errorf("%s says that it is %s by %q", remote, got, forwarded)
		}
	})
}

func FuzzKeySet(f *testing.F) {
	f.Add([]byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","alg":"EdDSA","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`))
	f.Add([]byte(`{"keys":[]}`))
	f.Add([]byte(`{"keys":[{"kty":"oct","k":"AA"}]}`))
	f.Fuzz(func(t *testing.T, content []byte) {
		if _, err := parseKeySet(content); err != nil && err.Error() == "" {
			t.Error("an error without words")
		}
	})
}
