package access

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/cloudlets/cloudlets/registry"
)

// What refusals say. They are the same whatever exists.
const (
	messageUnauthorized = "who you are is not known, or your credentials are wrong or do not allow this: log in (cloudlets login, docker login)"
	messageDenied       = "you may not do this, or there is no such repository: ask whoever runs the registry for the right"
	messageTooMany      = "too many requests: wait as long as Retry-After says"
)

// refuse is the answer to somebody who may not do what a request needs.
// Somebody with a token is told to get one for it, others with credentials that
// there is no way.
func (c *Control) refuse(r *http.Request, p *principal, needs []registry.Need) error {
	if c.challenges() && (!p.known() || p.granted != nil) {
		code := ""
		if p.granted != nil {
			code = "insufficient_scope"
		}
		return c.challenge(r, needs, code)
	}
	return &registry.Error{Status: http.StatusForbidden, Code: registry.CodeDenied, Message: messageDenied}
}

// unauthorized is the answer to wrong credentials.
func (c *Control) unauthorized(r *http.Request, needs []registry.Need, token bool) error {
	code := ""
	if token {
		code = "invalid_token"
	}
	return c.challenge(r, needs, code)
}

// challenges says whether there are credentials to ask for.
func (c *Control) challenges() bool { return c.users != nil || len(c.verifier.authorities) > 0 }

// challenge asks for credentials. code is one of RFC 6750, section 3.1, or empty.
func (c *Control) challenge(r *http.Request, needs []registry.Need, code string) error {
	value := basicChallenge
	if c.bearer {
		value = c.bearerChallenge(r, needs, code)
	}
	return unauthenticated(value)
}

// basicChallenge asks for a user name and a password (RFC 7617, section 2).
const basicChallenge = `Basic realm="cloudlets", charset="UTF-8"`

func unauthenticated(challenge string) error {
	return &registry.Error{Status: http.StatusUnauthorized, Code: registry.CodeUnauthorized, Message: messageUnauthorized,
		Header: http.Header{"Www-Authenticate": {challenge}}}
}

// bearerChallenge says where to get a token and for what (Docker, Token
// Authentication Specification; RFC 6750, section 3). Nothing in it needs
// quoting: names of repositories were checked, as was the configuration.
func (c *Control) bearerChallenge(r *http.Request, needs []registry.Need, code string) string {
	var b strings.Builder
	b.WriteString(`Bearer realm="` + c.realmFor(r) + `",service="` + c.service + `"`)
	for i, scope := range scopesOf(needs) {
		if i > 0 {
			b.WriteByte(' ')
		} else {
			b.WriteString(`,scope="`)
		}
		b.WriteString(scope.String())
	}
	if len(needs) > 0 {
		b.WriteByte('"')
	}
	if code != "" {
		b.WriteString(`,error="` + code + `"`)
	}
	return b.String()
}

// realmFor returns the URL of the token endpoint.
func (c *Control) realmFor(r *http.Request) string {
	if c.realm != "" {
		return c.realm
	}
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	return scheme + "://" + strings.NewReplacer(`"`, "", `\`, "").Replace(r.Host) + tokenPath
}

// tooMany is the answer to a client that asks too often (RFC 6585, section 4).
func tooMany(wait time.Duration) error {
	return &registry.Error{Status: http.StatusTooManyRequests, Code: registry.CodeTooManyRequests, Message: messageTooMany,
		Header: http.Header{"Retry-After": {strconv.Itoa(max(1, int(wait/time.Second)))}}}
}
