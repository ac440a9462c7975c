package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
)

// authTransport answers a registry's challenges: Basic with the user name and
// password, Bearer with a token that it fetches
// (https://distribution.github.io/distribution/spec/auth/token/).
type authTransport struct {
	next               http.RoundTripper
	username, password string

	mu     sync.Mutex
	tokens map[string]string // Authorization by challenge
}

// RoundTrip sends a request, and once more if it was challenged.
func (a *authTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := a.next.RoundTrip(r)
	if err != nil || resp.StatusCode != http.StatusUnauthorized || r.Header.Get("Authorization") != "" {
		return resp, err
	}
	authorization, err := a.authorize(r, resp.Header.Get("WWW-Authenticate"))
	if err != nil || authorization == "" {
		return resp, nil //nolint:nilerr // without credentials the challenge is the answer
	}
	again := r.Clone(r.Context())
	if r.GetBody != nil {
		if again.Body, err = r.GetBody(); err != nil {
			return nil, err
		}
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	again.Header.Set("Authorization", authorization)
	return a.next.RoundTrip(again)
}

// authorize returns the Authorization that a challenge asks for, or "".
func (a *authTransport) authorize(r *http.Request, challenge string) (string, error) {
	scheme, rest, _ := strings.Cut(challenge, " ")
	switch {
	case strings.EqualFold(scheme, "Basic") && a.username != "":
		basic := r.Clone(r.Context())
		basic.SetBasicAuth(a.username, a.password)
		return basic.Header.Get("Authorization"), nil
	case strings.EqualFold(scheme, "Bearer"):
		return a.bearer(r, challenge, rest)
	}
	return "", nil
}

// bearer returns the token for a challenge, from before or fetched.
func (a *authTransport) bearer(r *http.Request, challenge, parameters string) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if token, ok := a.tokens[challenge]; ok {
		return token, nil
	}
	token, err := a.fetchToken(r, parseChallenge(parameters))
	if err != nil {
		return "", err
	}
	if a.tokens == nil {
		a.tokens = map[string]string{}
	}
	a.tokens[challenge] = "Bearer " + token
	return a.tokens[challenge], nil
}

// challengeParameter matches key="value".
var challengeParameter = regexp.MustCompile(`([a-zA-Z]+)="([^"]*)"`)

func parseChallenge(text string) map[string]string {
	parameters := map[string]string{}
	for _, m := range challengeParameter.FindAllStringSubmatch(text, -1) {
		parameters[strings.ToLower(m[1])] = m[2]
	}
	return parameters
}

// maxToken is how long the answer of a token service may be, in bytes.
const maxToken = 1 << 20

// fetchToken asks the realm of a challenge for a token.
func (a *authTransport) fetchToken(r *http.Request, challenge map[string]string) (string, error) {
	q := url.Values{"service": {challenge["service"]}}
	for scope := range strings.FieldsSeq(challenge["scope"]) {
		q.Add("scope", scope)
	}
	ask, err := http.NewRequestWithContext(r.Context(), http.MethodGet, challenge["realm"]+"?"+q.Encode(), http.NoBody)
	if err != nil {
		return "", fmt.Errorf("ask for a token: %w", err)
	}
	if a.username != "" {
		ask.SetBasicAuth(a.username, a.password)
	}
	resp, err := a.next.RoundTrip(ask)
	if err != nil {
		return "", fmt.Errorf("ask for a token: %w", err)
	}
	defer resp.Body.Close()
	var doc struct {
		Token       string `json:"token"`
		AccessToken string `json:"access_token"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxToken)).Decode(&doc); err != nil {
		return "", fmt.Errorf("read token of %s (status %d): %w", challenge["realm"], resp.StatusCode, err)
	}
	if doc.Token == "" {
		doc.Token = doc.AccessToken
	}
	if doc.Token == "" {
		return "", fmt.Errorf("%s gave no token (status %d)", challenge["realm"], resp.StatusCode)
	}
	return doc.Token, nil
}
