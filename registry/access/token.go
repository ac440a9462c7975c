package access

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/go-jose/go-jose/v4/jwt"
)

const (
	maxToken   = 16 << 10         // bytes
	maxSubject = 255              // bytes, with the prefix of its issuer
	leeway     = 30 * time.Second // that clocks may differ
)

// errToken is what is wrong with any token. What exactly is not told.
var errToken = errors.New("the token is not valid")

// claims are those of a token (RFC 7519, section 4.1) and the access it gives
// (Docker, Token Authentication Implementation).
type claims struct {
	jwt.Claims
	Access *[]resourceAccess `json:"access,omitempty"`
}

// authority is an issuer whose tokens are accepted.
type authority struct {
	issuer   string
	audience string
	keys     keySource
	// prefix is what the names of its principals begin with; empty for our own.
	prefix string
	// authorizes believes the claim access.
	authorizes bool
}

// verifier verifies tokens.
type verifier struct {
	authorities map[string]*authority // by issuer
	clock       func() time.Time
}

// verify returns who a token is for, and what it gives if it says so.
func (v *verifier) verify(ctx context.Context, token string) (identity, *granted, error) {
	if len(token) > maxToken {
		return identity{}, nil, fmt.Errorf("%w: it is longer than %d bytes", errToken, maxToken)
	}
	parsed, err := jwt.ParseSigned(token, algorithms)
	if err != nil || len(parsed.Headers) != 1 {
		return identity{}, nil, fmt.Errorf("%w: it cannot be read, or is signed with an algorithm that is not accepted", errToken)
	}
	var c claims
	if err := parsed.UnsafeClaimsWithoutVerification(&c); err != nil {
		return identity{}, nil, fmt.Errorf("%w: its claims cannot be read", errToken)
	}
	a := v.authorities[c.Issuer]
	if a == nil {
		return identity{}, nil, fmt.Errorf("%w: its issuer is not trusted", errToken)
	}
	key, err := a.key(ctx, parsed.Headers[0].KeyID, parsed.Headers[0].Algorithm)
	if err != nil {
		return identity{}, nil, err
	}
	c = claims{}
	if err := parsed.Claims(key, &c); err != nil {
		return identity{}, nil, fmt.Errorf("%w: its signature is wrong", errToken)
	}
	if err := a.check(&c, v.clock()); err != nil {
		return identity{}, nil, err
	}
	return a.principal(&c)
}

// key returns the key that a token is signed with. It is looked for again where
// it is not known: issuers change their keys.
func (a *authority) key(ctx context.Context, id, algorithm string) (any, error) {
	for _, fresh := range []bool{false, true} {
		keys, err := a.keys.keys(ctx, fresh)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errToken, err)
		}
		if key, ok := keys.choose(id, algorithm); ok {
			return key, nil
		}
	}
	return nil, fmt.Errorf("%w: its key is not one of the issuer's", errToken)
}

func (a *authority) check(c *claims, now time.Time) error {
	if c.Expiry == nil {
		return fmt.Errorf("%w: it never expires", errToken)
	}
	expected := jwt.Expected{Issuer: a.issuer, AnyAudience: jwt.Audience{a.audience}, Time: now}
	if err := c.ValidateWithLeeway(expected, leeway); err != nil {
		return fmt.Errorf("%w: it is not for this registry, has expired, or is not good yet", errToken)
	}
	if len(a.prefix)+len(c.Subject) > maxSubject || !printable(c.Subject) || a.prefix != "" && c.Subject == "" {
		return fmt.Errorf("%w: its subject is empty, longer than %d bytes, or not printable", errToken, maxSubject)
	}
	return nil
}

func (a *authority) principal(c *claims) (identity, *granted, error) {
	id := identity{c.Subject}
	if c.Subject != "" {
		id.name = a.prefix + c.Subject
	}
	if !a.authorizes {
		return id, nil, nil
	}
	if c.Access == nil {
		return id, newGranted(nil), nil
	}
	return id, newGranted(*c.Access), nil
}

// issuer issues tokens.
type issuer struct {
	Issuer
	service string
	key     *files[*signingKey]
	clock   func() time.Time
}

func openIssuer(c Issuer, service string, clock func() time.Time, log *slog.Logger) (*issuer, error) {
	key, err := openFiles(log, func(contents [][]byte) (*signingKey, error) { return parseSigningKey(contents[0]) }, c.Key)
	if err != nil {
		return nil, fmt.Errorf("issuer: %w", err)
	}
	return &issuer{c, service, key, clock}, nil
}

// keys returns the keys that our own tokens are verified with.
func (i *issuer) keys(ctx context.Context, fresh bool) (keySet, error) {
	return i.key.get().keys(ctx, fresh)
}

// issue returns a token for a principal with access.
func (i *issuer) issue(id identity, access []resourceAccess, now time.Time) (string, error) {
	c := claims{
		Claims: jwt.Claims{
			Issuer: i.Name, Subject: id.name, Audience: jwt.Audience{i.service}, ID: rand.Text(),
			IssuedAt: jwt.NewNumericDate(now), NotBefore: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(i.Lifetime)),
		},
		Access: &access,
	}
	token, err := jwt.Signed(i.key.get().signer).Claims(c).Serialize()
	if err != nil {
		return "", fmt.Errorf("sign token: %w", err)
	}
	return token, nil
}
