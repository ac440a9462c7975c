package access

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/cloudlets/cloudlets/registry"
)

// maxForm bounds the body of a request for a token, in bytes.
const maxForm = 64 << 10

// Handler serves what the registry does not: /token, where tokens are issued,
// and /token/keys, the JWKS to verify them with. next serves all else.
func (c *Control) Handler(next http.Handler) http.Handler {
	if c.issuer == nil {
		return next
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+tokenPath, c.getToken)
	mux.HandleFunc("POST "+tokenPath, c.postToken)
	mux.HandleFunc("GET "+keysPath, c.getKeys)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// The mux would clean the paths of the registry's requests, and redirect.
		if r.URL.Path == tokenPath || r.URL.Path == keysPath {
			mux.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// getToken issues a token to whoever the request's credentials are of (Docker,
// Token Authentication Specification).
func (c *Control) getToken(w http.ResponseWriter, r *http.Request) {
	q, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		registry.WriteError(w, r, badRequest("the query cannot be read"))
		return
	}
	c.answerToken(w, r, q)
}

// postToken issues a token for a password in a form (Docker, OAuth2 Token
// Authentication).
func (c *Control) postToken(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		registry.WriteError(w, r, badRequest("the form cannot be read"))
		return
	}
	form := r.PostForm
	if form.Get("grant_type") != "password" {
		writeJSON(w, http.StatusBadRequest, map[string]string{"error": "unsupported_grant_type"}) // RFC 6749, section 5.2
		return
	}
	r.SetBasicAuth(form.Get("username"), form.Get("password"))
	c.answerToken(w, r, form)
}

func (c *Control) answerToken(w http.ResponseWriter, r *http.Request, q url.Values) {
	answer, err := c.newToken(r, q)
	if err != nil {
		registry.WriteError(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, answer)
}

// tokenAnswer is the answer to a request for a token.
type tokenAnswer struct {
	Token       string    `json:"token"`
	AccessToken string    `json:"access_token"` // the same, in OAuth 2.0's words
	ExpiresIn   int       `json:"expires_in"`   // seconds
	IssuedAt    time.Time `json:"issued_at"`
	Scope       string    `json:"scope,omitempty"`
}

func (c *Control) newToken(r *http.Request, q url.Values) (*tokenAnswer, error) {
	if service := q.Get("service"); service != "" && service != c.service {
		return nil, badRequest("the service is not this one's")
	}
	scopes, err := parseScopes(q["scope"])
	if err != nil {
		return nil, badRequest(err.Error())
	}
	p, err := c.authenticate(r, nil)
	var answer *registry.Error
	if errors.As(err, &answer) && answer.Status == http.StatusUnauthorized {
		return nil, unauthenticated(basicChallenge)
	}
	if err != nil {
		return nil, err
	}
	if p.granted != nil || !p.welcome() {
		return nil, unauthenticated(basicChallenge) // a token buys no other
	}
	access := grantable(p, scopes)
	now := c.clock().Truncate(time.Second)
	token, err := c.issuer.issue(p.identity, access, now)
	if err != nil {
		return nil, err
	}
	return &tokenAnswer{Token: token, AccessToken: token, ExpiresIn: int(c.issuer.Lifetime / time.Second), IssuedAt: now.UTC()}, nil
}

// getKeys answers with the keys that our tokens are verified with.
func (c *Control) getKeys(w http.ResponseWriter, r *http.Request) {
	keys, err := c.issuer.keys(r.Context(), false)
	if err != nil {
		registry.WriteError(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, jose.JSONWebKeySet{Keys: keys})
}

func badRequest(message string) error {
	return &registry.Error{Status: http.StatusBadRequest, Code: registry.CodeUnsupported, Message: message}
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a client that is gone has no use for it
}
