package access

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/cloudlets/cloudlets/registry/clocktest"
)

// forge signs claims with any key and algorithm.
func forge(t testing.TB, algorithm jose.SignatureAlgorithm, key any, id string, c any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: jose.JSONWebKey{Key: key, KeyID: id}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(c).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func unsigned(t testing.TB, header string, c any) string {
	t.Helper()
	body, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	e := base64.RawURLEncoding.EncodeToString
	return e([]byte(header)) + "." + e(body) + "."
}

// foreign is an issuer whose tokens a control trusts.
func foreign(t testing.TB, keys keySource, now func() time.Time) *Control {
	t.Helper()
	c, err := newControl(Config{}, slog.New(slog.DiscardHandler), now)
	if err != nil {
		t.Fatal(err)
	}
	c.verifier.authorities["https://issuer"] = &authority{issuer: "https://issuer", audience: "cloudlets", keys: keys, prefix: "ci:"}
	return c
}

type fixedKeys keySet

func (k fixedKeys) keys(context.Context, bool) (keySet, error) { return keySet(k), nil }

func goodClaims(now time.Time) jwt.Claims {
	return jwt.Claims{Issuer: "https://issuer", Subject: "job", Audience: jwt.Audience{"other", "cloudlets"},
		IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(time.Minute))}
}

func TestTokensAreVerified(t *testing.T) {
	now := clocktest.New()
	key, other := newECDSA(t), newECDSA(t)
	rsaKey, err := rsa.GenerateKey(rand.Reader, minRSA)
	if err != nil {
		t.Fatal(err)
	}
	set, err := parseKeySet(jwks(t, jose.JSONWebKey{Key: &key.PublicKey, KeyID: "ec", Algorithm: "ES256"}, jose.JSONWebKey{Key: &rsaKey.PublicKey, KeyID: "rsa", Algorithm: "RS256", Use: "sig"}))
	if err != nil {
		t.Fatal(err)
	}
	c := foreign(t, fixedKeys(set), now.Now)
	with := func(change func(*jwt.Claims)) jwt.Claims {
		claims := goodClaims(now.Now())
		change(&claims)
		return claims
	}
	good := goodClaims(now.Now())
	public, err := x509.MarshalPKIXPublicKey(&rsaKey.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	es := func(claims any) string { return forge(t, jose.ES256, key, "ec", claims) }
	valid := es(good)
	for name, test := range map[string]struct {
		token string
		want  string // of the error; empty for none
	}{
		"good":                   {valid, ""},
		"good RSA":               {forge(t, jose.RS256, rsaKey, "rsa", good), ""},
		"a clock behind":         {es(with(func(c *jwt.Claims) { c.NotBefore = jwt.NewNumericDate(now.Now().Add(leeway)) })), ""},
		"expired":                {es(with(func(c *jwt.Claims) { c.Expiry = jwt.NewNumericDate(now.Now().Add(-leeway - time.Second)) })), "expired"},
		"not yet":                {es(with(func(c *jwt.Claims) { c.NotBefore = jwt.NewNumericDate(now.Now().Add(time.Hour)) })), "not good yet"},
		"never expires":          {es(with(func(c *jwt.Claims) { c.Expiry = nil })), "never expires"},
		"wrong audience":         {es(with(func(c *jwt.Claims) { c.Audience = jwt.Audience{"other"} })), "not for this registry"},
		"no audience":            {es(with(func(c *jwt.Claims) { c.Audience = nil })), "not for this registry"},
		"wrong issuer":           {es(with(func(c *jwt.Claims) { c.Issuer = "https://evil" })), "issuer is not trusted"},
		"no subject":             {es(with(func(c *jwt.Claims) { c.Subject = "" })), "subject"},
		"a subject of lines":     {es(with(func(c *jwt.Claims) { c.Subject = "a\nb" })), "subject"},
		"wrong key":              {forge(t, jose.ES256, other, "ec", good), "signature is wrong"},
		"no key ID":              {forge(t, jose.ES256, key, "", good), "not one of the issuer's"},
		"unknown key ID":         {forge(t, jose.ES256, key, "x", good), "not one of the issuer's"},
		"another key's ID":       {forge(t, jose.ES256, key, "rsa", good), "not one of the issuer's"},
		"another algorithm":      {forge(t, jose.PS256, rsaKey, "rsa", good), "not one of the issuer's"},
		"HMAC of the public key": {forge(t, jose.HS256, public, "rsa", good), "algorithm that is not accepted"},
		"none":                   {unsigned(t, `{"alg":"none","kid":"ec"}`, good), "algorithm that is not accepted"},
		"no algorithm":           {unsigned(t, `{"kid":"ec"}`, good), "cannot be read"},
		"unsigned":               {unsigned(t, `{"alg":"ES256","kid":"ec"}`, good), ""},
		"cut off":                {valid[:len(valid)-4], "signature is wrong"},
		"too long":               {strings.Repeat("a", maxToken+1), "longer"},
		"not a token":            {"hunter2", "cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			id, granted, err := c.verifier.verify(t.Context(), test.token)
			if name == "unsigned" {
				test.want = "the token is not valid"
			}
			if test.want == "" {
				if err != nil || id.name != "ci:job" || granted != nil {
					t.Errorf("got %+v, %+v, %v", id, granted, err)
				}
				return
			}
			if !errors.Is(err, errToken) || !strings.Contains(err.Error(), test.want) || id.known() {
				t.Errorf("got %+v and the error %v, want %q", id, err, test.want)
			}
			if err != nil && strings.Contains(err.Error(), test.token) {
				t.Errorf("the error tells the token: %v", err)
			}
		})
	}
}

func TestTokenWithoutKeyIDNeedsAnIssuerWithOneKey(t *testing.T) {
	now := clocktest.New()
	key := newECDSA(t)
	c := foreign(t, fixedKeys{{Key: &key.PublicKey, KeyID: "ec"}}, now.Now)
	if _, _, err := c.verifier.verify(t.Context(), forge(t, jose.ES256, key, "", goodClaims(now.Now()))); err != nil {
		t.Error(err)
	}
}

func TestKeySetsHoldPublicKeysOnly(t *testing.T) {
	key := newECDSA(t)
	public := jose.JSONWebKey{Key: &key.PublicKey, KeyID: "a"}
	encryption := jose.JSONWebKey{Key: &key.PublicKey, KeyID: "b", Use: "enc"}
	symmetric := jose.JSONWebKey{Key: []byte("secret"), KeyID: "c"}
	private := jose.JSONWebKey{Key: key, KeyID: "d"}
	set, err := parseKeySet(jwks(t, encryption, symmetric, private, public))
	if err != nil || len(set) != 1 || set[0].KeyID != "a" {
		t.Errorf("got %d keys, %v", len(set), err)
	}
	for _, bad := range [][]byte{nil, []byte("{}"), []byte("[]"), jwks(t, symmetric, private, encryption)} {
		if _, err := parseKeySet(bad); err == nil {
			t.Errorf("%s was accepted", bad)
		}
	}
}

func TestKeysOfAnIssuerRotate(t *testing.T) {
	now := clocktest.New()
	keys := []*ecdsa.PrivateKey{newECDSA(t), newECDSA(t), newECDSA(t)}
	var current, fetched atomic.Int64
	var down atomic.Bool
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fetched.Add(1)
		if down.Load() {
			w.WriteHeader(503)
			return
		}
		i := current.Load()
		w.Write(jwks(t, jose.JSONWebKey{Key: &keys[i].PublicKey, KeyID: string(rune('a' + i))}))
	}))
	defer h.Close()
	source, err := openKeys(h.URL, time.Hour, now.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	c := foreign(t, source, now.Now)
	try := func(i int) error {
		_, _, err := c.verifier.verify(t.Context(), forge(t, jose.ES256, keys[i], string(rune('a'+i)), goodClaims(now.Now())))
		return err
	}
	step := func(what string, err error, good bool, fetches int64) {
		t.Helper()
		if (err == nil) != good || fetched.Load() != fetches {
			t.Errorf("%s: got %v after %d fetches, want %d", what, err, fetched.Load(), fetches)
		}
	}
	step("first", try(0), true, 1)
	step("known", try(0), true, 1)
	step("unknown at once", try(1), false, 1)
	now.Pass(fetchEvery)
	current.Store(1)
	step("new key", try(1), true, 2)
	step("old key", try(0), false, 2)
	down.Store(true)
	now.Pass(2 * time.Hour)
	step("issuer down", try(1), true, 3)
	down.Store(false)
	current.Store(2)
	now.Pass(fetchEvery)
	step("issuer back", try(2), true, 4)
}

func TestKeysInAFileRotate(t *testing.T) {
	now := clocktest.New()
	first, second := newECDSA(t), newECDSA(t)
	path := write(t, "jwks.json", jwks(t, jose.JSONWebKey{Key: &first.PublicKey, KeyID: "a"}))
	c, err := newControl(Config{Trusted: []TrustedIssuer{{Name: "ci", Issuer: "https://issuer", JWKS: path}}}, slog.New(slog.DiscardHandler), now.Now)
	if err != nil {
		t.Fatal(err)
	}
	token := forge(t, jose.ES256, second, "second", goodClaims(now.Now()))
	if _, _, err := c.verifier.verify(t.Context(), token); err == nil {
		t.Error("a key that is not there was accepted")
	}
	if err := os.WriteFile(path, jwks(t, jose.JSONWebKey{Key: &second.PublicKey, KeyID: "second"}), 0o600); err != nil {
		t.Fatal(err)
	}
	age(c.verifier.authorities["https://issuer"].keys.(keyFile).files)
	if _, _, err := c.verifier.verify(t.Context(), token); err != nil {
		t.Error(err)
	}
}

func TestSigningKeysAreOfKnownKinds(t *testing.T) {
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		content []byte
		good    bool
	}{
		"ECDSA":     {pemKey(t, newECDSA(t)), true},
		"weak RSA":  {pemKey(t, crypto.Signer(weak)), false},
		"not a key": {[]byte("hunter2"), false},
		"empty":     {nil, false},
	} {
		_, err := parseSigningKey(c.content)
		if (err == nil) != c.good {
			t.Errorf("%s: got %v", name, err)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error tells the content: %v", err)
		}
	}
}
