package access

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/registry/clocktest"
)

// push pushes a blob and says what the server answers.
func (s *server) push(t testing.TB, repository, authorization, content string) answer {
	t.Helper()
	return s.do(t, "POST", "/v2/"+repository+"/blobs/uploads/?digest="+digest.FromString(content).String(), authorization, content)
}

// ruled is a registry with users, tokens and rules, and a repository that bob
// does not know of.
func ruled(t testing.TB, change func(*Config)) (*server, *clocktest.Clock) {
	t.Helper()
	now := clocktest.New()
	return ruledAt(t, now.Now, change), now
}

func ruledAt(t testing.TB, now func() time.Time, change func(*Config)) *server {
	t.Helper()
	c := Config{
		Users:  htpasswdFile(t, "root", "bob"),
		Issuer: &Issuer{Key: write(t, "key.pem", pemKey(t, newECDSA(t)))},
		Rules: []Rule{
			{[]string{"**"}, []string{"root"}, []string{"*"}},
			{[]string{"bobs/**"}, []string{"bob"}, []string{"pull", "push"}},
			{[]string{"public"}, []string{"anonymous"}, []string{"pull"}},
		},
		Rates: Rates{Failures: Rate{1, 1000}},
	}
	if change != nil {
		change(&c)
	}
	s := start(t, c, now)
	for _, repository := range []string{"hidden", "public", "bobs/a"} {
		s.push(t, repository, basic("root", secret), "content").want(t, 201)
		m := `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`
		s.do(t, "PUT", "/v2/"+repository+"/manifests/v1", basic("root", secret), m).want(t, 201)
	}
	return s
}

func TestAnswersAreTheSameWhateverExists(t *testing.T) {
	for name, change := range map[string]func(*Config){"tokens": nil, "passwords": func(c *Config) { c.Issuer = nil }} {
		t.Run(name, func(t *testing.T) {
			s, _ := ruled(t, change)
			who := map[string]string{
				"nobody": "", "no credentials": basic("", ""), "another user": basic("bob", secret), "a wrong password": basic("bob", "wrong"),
				"an unknown user": basic("eve", secret), "no token": "Bearer x", "nonsense": "Nonsense",
			}
			if name == "tokens" {
				who["a token for another"] = s.token(t, basic("bob", secret), "scope=repository:hidden:pull")
			}
			d := digest.FromString("content").String()
			for someone, authorization := range who {
				for _, request := range [][2]string{
					{"GET", "/tags/list"}, {"GET", "/manifests/v1"}, {"HEAD", "/manifests/v1"}, {"PUT", "/manifests/v1"}, {"DELETE", "/manifests/v1"},
					{"GET", "/blobs/" + d}, {"HEAD", "/blobs/" + d}, {"DELETE", "/blobs/" + d}, {"POST", "/blobs/uploads/"},
					{"GET", "/blobs/uploads/x"}, {"GET", "/referrers/" + d}, {"POST", "/_cloudlets/frames/" + d}, {"POST", "/_cloudlets/renders/"},
					{"GET", "/_cloudlets/retention/holds"}, {"PUT", "/_cloudlets/retention/holds/v1"},
				} {
					there := s.do(t, request[0], "/v2/hidden"+request[1], authorization, "")
					none := s.do(t, request[0], "/v2/absent"+request[1], authorization, "")
					if there.status != 401 && there.status != 403 {
						t.Errorf("%s: %s: got status %d: %s", someone, request, there.status, there.body)
					}
					none.header.Set("Www-Authenticate", strings.ReplaceAll(none.header.Get("Www-Authenticate"), "absent", "hidden"))
					there.header.Set("Www-Authenticate", there.header.Get("Www-Authenticate"))
					if !reflect.DeepEqual(there, none) {
						t.Errorf("%s: %s: a repository that exists is answered\n%v\none that does not\n%v", someone, request, there, none)
					}
				}
			}
			wrong, unknown := s.do(t, "GET", "/v2/", basic("bob", "wrong"), ""), s.do(t, "GET", "/v2/", basic("eve", secret), "")
			if wrong.status != 401 || !reflect.DeepEqual(wrong, unknown) {
				t.Errorf("a wrong password is answered\n%v\nan unknown user\n%v", wrong, unknown)
			}
			if log := s.logged(); strings.Contains(log, secret) || strings.Contains(log, "Bearer ") {
				t.Errorf("the log tells secrets:\n%s", log)
			}
		})
	}
}

// What is refused is refused before anything is looked up, so it takes the same
// work whatever exists: none, as without a database.
func TestRefusalsLookNothingUp(t *testing.T) {
	s, _ := ruled(t, nil)
	if err := s.meta.Close(); err != nil {
		t.Fatal(err)
	}
	s.do(t, "GET", "/v2/hidden/tags/list", basic("root", secret), "").want(t, 500)
	for _, authorization := range []string{"", basic("bob", secret), basic("bob", "wrong"), "Bearer x"} {
		for _, request := range [][2]string{
			{"GET", "/tags/list"}, {"HEAD", "/manifests/v1"}, {"PUT", "/manifests/v1"}, {"POST", "/blobs/uploads/?mount=" + string(digest.FromString("content"))},
			{"GET", "/_cloudlets/history/v1"}, {"GET", "/_cloudlets/retention/holds"}, {"GET", "/_cloudlets/frames"},
		} {
			if a := s.do(t, request[0], "/v2/hidden"+request[1], authorization, ""); a.status != 401 && a.status != 403 {
				t.Errorf("%s: got status %d: %s", request, a.status, a.body)
			}
		}
	}
}

func TestChallengesAreDockers(t *testing.T) {
	s, _ := ruled(t, nil)
	for _, c := range []struct{ method, path, authorization, want string }{
		{"GET", "/v2/", "", ``},
		{"GET", "/v2/a/b/tags/list", "", `,scope="repository:a/b:pull"`},
		{"POST", "/v2/a/blobs/uploads/", "", `,scope="repository:a:pull,push"`},
		{"DELETE", "/v2/a/manifests/x", "", `,scope="repository:a:delete"`},
		{"POST", "/v2/a/_cloudlets/renders/", "", `,scope="repository:a:render"`},
		{"POST", "/v2/a/_cloudlets/frames/x", "", `,scope="repository:a:pull,push"`},
		{"DELETE", "/v2/a/_cloudlets/retention/holds/x", "", `,scope="repository:a:admin"`},
		{"GET", "/v2/_catalog", s.token(t, "", ""), `,scope="registry:catalog:*",error="insufficient_scope"`},
		{"GET", "/v2/a/tags/list", "Bearer x", `,scope="repository:a:pull",error="invalid_token"`},
	} {
		a := s.do(t, c.method, c.path, c.authorization, "").want(t, 401)
		want := `Bearer realm="` + s.url + `/token",service="cloudlets"` + c.want
		if got := a.header.Get("Www-Authenticate"); got != want || !strings.Contains(a.body, `"UNAUTHORIZED"`) {
			t.Errorf("%s %s: got\n%s\nwant\n%s\n%s", c.method, c.path, got, want, a.body)
		}
	}
}

func TestTokensGiveWhatWasAskedForAndIsAllowed(t *testing.T) {
	s, now := ruled(t, nil)
	bob := basic("bob", secret)
	both := s.token(t, bob, "service=cloudlets&scope=repository:bobs/a:pull,push,delete&scope=repository:public:pull%20repository:hidden:*")
	for _, c := range []struct {
		method, path, authorization string
		status                      int
	}{
		{"GET", "/v2/", both, 200},
		{"GET", "/v2/bobs/a/tags/list", both, 200},
		{"POST", "/v2/bobs/a/blobs/uploads/", both, 202},
		{"DELETE", "/v2/bobs/a/manifests/v1", both, 401},
		{"GET", "/v2/hidden/tags/list", both, 401},
		{"GET", "/v2/bobs/b/tags/list", both, 401}, // not asked for
		{"GET", "/v2/public/tags/list", both, 200},
		{"GET", "/v2/public/tags/list", s.token(t, "", "scope=repository:public:pull,push"), 200},
		{"POST", "/v2/public/blobs/uploads/", s.token(t, "", "scope=repository:public:pull,push"), 401},
		{"GET", "/v2/public/tags/list", "", 200}, // without a token, too
		{"GET", "/v2/bobs/a/tags/list", bob, 200},
		{"DELETE", "/v2/bobs/a/manifests/v1", bob, 403},
		{"GET", "/token", basic("bob", "wrong"), 401},
		{"GET", "/token", both, 401}, // a token buys no other
		{"GET", "/token?service=other", bob, 400},
		{"GET", "/token?scope=nonsense", bob, 400},
		{"POST", "/token", "", 400},
	} {
		if a := s.do(t, c.method, c.path, c.authorization, ""); a.status != c.status {
			t.Errorf("%s %s: got status %d, want %d: %s", c.method, c.path, a.status, c.status, a.body)
		}
	}
	now.Pass(DefaultLifetime + leeway + time.Second)
	s.do(t, "GET", "/v2/bobs/a/tags/list", both, "").want(t, 401)
}

func TestTokenClaimsAreDockers(t *testing.T) {
	s, now := ruled(t, nil)
	token := strings.TrimPrefix(s.token(t, basic("bob", secret), "scope=repository:bobs/a:push,pull&scope=registry:catalog:*"), "Bearer ")
	body, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[1])
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatal(err)
	}
	delete(got, "jti")
	at := float64(now.Now().Unix())
	want := map[string]any{"iss": "cloudlets", "sub": "bob", "aud": "cloudlets", "iat": at, "nbf": at, "exp": at + 300, "access": []any{
		map[string]any{"type": "repository", "name": "bobs/a", "actions": []any{"pull", "push"}},
		map[string]any{"type": "registry", "name": "catalog", "actions": []any{"*"}},
	}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the claims are\n%v, want\n%v", got, want)
	}
	keys := s.do(t, "GET", "/token/keys", "", "").want(t, 200)
	set, err := parseKeySet([]byte(keys.body))
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := jwt.ParseSigned(token, algorithms)
	if err != nil {
		t.Fatal(err)
	}
	if err := parsed.Claims(set[0].Key, &claims{}); err != nil {
		t.Errorf("the published key does not verify the token: %v", err)
	}
	if strings.Contains(keys.body, `"d"`) {
		t.Error("the private key is published")
	}
}

func TestFormGetsToken(t *testing.T) {
	s, _ := ruled(t, nil)
	for form, status := range map[string]int{
		"grant_type=password&service=cloudlets&username=bob&password=correct+horse": 200,
		"grant_type=password&service=cloudlets&username=bob&password=wrong":         401,
		"grant_type=refresh_token&refresh_token=x":                                  400,
	} {
		resp, err := http.Post(s.url+"/token", "application/x-www-form-urlencoded", strings.NewReader(form))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != status {
			t.Errorf("%s: got status %d, want %d", form, resp.StatusCode, status)
		}
	}
}

func TestCatalogShowsWhatMayBePulled(t *testing.T) {
	s, _ := ruled(t, nil)
	for authorization, want := range map[string]string{
		basic("root", secret): `"bobs/a","hidden","public"`,
		basic("bob", secret):  `"bobs/a","public"`,
		"":                    `"public"`,
		s.token(t, basic("bob", secret), "scope=registry:catalog:*"): `"bobs/a","public"`,
	} {
		if a := s.do(t, "GET", "/v2/_catalog", authorization, "").want(t, 200); a.body != `{"repositories":[`+want+`]}` {
			t.Errorf("got %s, want %s", a.body, want)
		}
	}
	a := s.do(t, "GET", "/v2/_catalog?n=1", basic("bob", secret), "").want(t, 200)
	if !strings.Contains(a.body, "bobs/a") || !strings.Contains(a.header.Get("Link"), "last=bobs%2Fa") {
		t.Errorf("the first page is %s, Link %s", a.body, a.header.Get("Link"))
	}
}

func TestMountNeedsPullThere(t *testing.T) {
	s, _ := ruled(t, nil)
	bob := basic("bob", secret)
	only := "only here"
	s.push(t, "hidden", basic("root", secret), only).want(t, 201)
	mount := "/v2/bobs/b/blobs/uploads/?mount=" + digest.FromString(only).String()
	s.do(t, "POST", mount+"&from=hidden", bob, "").want(t, 202)
	s.do(t, "POST", mount+"&from=absent", bob, "").want(t, 202)
	s.do(t, "POST", mount, bob, "").want(t, 202)
	s.do(t, "POST", mount, basic("root", secret), "").want(t, 201)
	token := s.token(t, bob, "scope=repository:bobs/c:pull,push&scope=repository:bobs/a:pull")
	s.do(t, "POST", "/v2/bobs/c/blobs/uploads/?from=bobs/a&mount="+digest.FromString("content").String(), token, "").want(t, 201)
}

func TestClientsAreToldToWait(t *testing.T) {
	s, now := ruled(t, func(c *Config) { c.Rates = Rates{Requests: Rate{0.5, 10}, Failures: Rate{0.1, 3}} })
	count := func(authorization string, status int) (n int) {
		for range 20 {
			a := s.do(t, "GET", "/v2/public/tags/list", authorization, "")
			if a.status == 429 {
				if wait := a.header.Get("Retry-After"); wait == "" || wait == "0" || !strings.Contains(a.body, "TOOMANYREQUESTS") {
					t.Errorf("Retry-After is %q: %s", wait, a.body)
				}
				return n
			}
			a.want(t, status)
			n++
		}
		return n
	}
	if n := count("", 200); n != 10 {
		t.Errorf("%d requests were answered, want 10", n)
	}
	if n := count(basic("bob", secret), 200); n != 10 {
		t.Errorf("bob had %d requests answered, want 10", n)
	}
	now.Pass(4 * time.Second)
	if n := count("", 200); n != 2 {
		t.Errorf("after 4 s %d requests were answered, want 2", n)
	}
	now.Pass(time.Hour)
	if n := count(basic("bob", "wrong"), 401); n != 3 {
		t.Errorf("%d wrong passwords were answered, want 3", n)
	}
	s.do(t, "GET", "/v2/", basic("root", secret), "").want(t, 429) // not verified any more
	now.Pass(10 * time.Second)
	s.do(t, "GET", "/v2/", basic("root", secret), "").want(t, 200)
	if n := count(basic("bob", "wrong"), 401); n != 1 {
		t.Errorf("%d wrong passwords were answered, want 1", n)
	}
	s.do(t, "GET", "/v2/", basic("root", secret), "").want(t, 200) // known
}

func TestLimiterIsBounded(t *testing.T) {
	now := clocktest.New()
	l := newLimiter(Rate{1, 1}, now.Now)
	for i := range 2 * maxClients {
		l.take(string(rune(i)) + "x")
	}
	if n := len(l.buckets); n > maxClients+1 {
		t.Errorf("there are %d buckets", n)
	}
	now.Pass(time.Minute)
	if _, ok := l.take("new"); !ok || len(l.buckets) > 2 {
		t.Errorf("full buckets are kept: %d", len(l.buckets))
	}
}

func TestAddressOfClients(t *testing.T) {
	proxies, err := parseNetworks([]string{"10.0.0.0/8"})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ remote, forwarded, want string }{
		{"192.0.2.1:5", "", "192.0.2.1"},
		{"192.0.2.1:5", "198.51.100.7", "192.0.2.1"}, // says so itself
		{"10.0.0.1:5", "198.51.100.7", "198.51.100.7"},
		{"10.0.0.1:5", "203.0.113.9, 198.51.100.7, 10.0.0.2", "198.51.100.7"},
		{"10.0.0.1:5", "nonsense", "10.0.0.1"},
		{"[::ffff:192.0.2.1]:5", "", "192.0.2.1"},
		{"[2001:db8:1:2:3::4]:5", "", "2001:db8:1:2::/64"},
	} {
		r := &http.Request{RemoteAddr: c.remote, Header: http.Header{"X-Forwarded-For": {c.forwarded}}}
		if got := clientAddress(r, proxies); got != c.want {
			t.Errorf("%s for %s: got %s, want %s", c.remote, c.forwarded, got, c.want)
		}
	}
}
