package access

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// algorithms are those that tokens may be signed with: with a private key, so
// neither none nor HMAC.
var algorithms = []jose.SignatureAlgorithm{
	jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512,
}

const (
	maxKeySet  = 1 << 20 // bytes
	minRSA     = 2048    // bits
	fetchEvery = 30 * time.Second
	fetchTime  = 10 * time.Second
)

// keySet are public keys.
type keySet []jose.JSONWebKey

// parseKeySet reads a JWKS (RFC 7517, section 5). Keys that are not for
// verifying signatures, or of kinds that are not known, are passed over.
func parseKeySet(content []byte) (keySet, error) {
	var encoded struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(content, &encoded); err != nil {
		return nil, errors.New("expected a JSON Web Key Set: it is not JSON")
	}
	var keys keySet
	for _, raw := range encoded.Keys {
		var key jose.JSONWebKey
		if key.UnmarshalJSON(raw) == nil && verifies(&key) {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("none of the %d keys of the set is public and for verifying signatures", len(encoded.Keys))
	}
	return keys, nil
}

func verifies(key *jose.JSONWebKey) bool {
	if key.Use != "" && key.Use != "sig" || !key.Valid() {
		return false
	}
	switch k := key.Key.(type) {
	case *rsa.PublicKey:
		return k.N.BitLen() >= minRSA
	case *ecdsa.PublicKey, ed25519.PublicKey:
		return true
	}
	return false
}

// choose returns the key that a token names, or, where it names none, the only
// one there is.
func (s keySet) choose(id, algorithm string) (any, bool) {
	if id == "" && len(s) != 1 {
		return nil, false
	}
	i := slices.IndexFunc(s, func(k jose.JSONWebKey) bool {
		return (id == "" || k.KeyID == id) && (k.Algorithm == "" || k.Algorithm == algorithm)
	})
	if i < 0 {
		return nil, false
	}
	return s[i].Key, true
}

// keySource is where the keys of an issuer are.
type keySource interface {
	// keys returns the keys. fresh looks for new ones, if that was not done just
	// before.
	keys(ctx context.Context, fresh bool) (keySet, error)
}

// keyFile is a JWKS in a file.
type keyFile struct{ *files[keySet] }

func (f keyFile) keys(context.Context, bool) (keySet, error) { return f.get(), nil }

// keyURL is a JWKS on a web server.
type keyURL struct {
	url     string
	refresh time.Duration
	client  *http.Client
	clock   func() time.Time
	log     *slog.Logger

	mu      sync.Mutex
	held    keySet
	fetched time.Time // or tried
}

// keys returns what was fetched last, also where it cannot be fetched again.
func (u *keyURL) keys(ctx context.Context, fresh bool) (keySet, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	age := u.clock().Sub(u.fetched)
	if age >= u.refresh || age >= fetchEvery && (fresh || u.held == nil) {
		u.fetched = u.clock()
		held, err := u.fetch(context.WithoutCancel(ctx))
		if err != nil {
			u.log.Error("keys cannot be fetched: going on with what was", "url", redact(u.url), "error", err)
		} else {
			u.held = held
		}
	}
	if u.held == nil {
		return nil, errors.New("the issuer's keys cannot be had")
	}
	return u.held, nil
}

func (u *keyURL) fetch(ctx context.Context) (keySet, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.url, nil)
	if err != nil {
		return nil, errors.New("the URL is not valid")
	}
	resp, err := u.client.Do(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(io.LimitReader(resp.Body, maxKeySet))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("got status %d, expected 200", resp.StatusCode)
	}
	return parseKeySet(content)
}

// openKeys returns where the keys of an issuer are. A file must be there, a
// server may come later.
func openKeys(place string, refresh time.Duration, clock func() time.Time, log *slog.Logger) (keySource, error) {
	if strings.Contains(place, "://") {
		return &keyURL{url: place, refresh: refresh, client: &http.Client{CheckRedirect: stayHTTPS}, clock: clock, log: log}, nil
	}
	f, err := openFiles(log, func(contents [][]byte) (keySet, error) { return parseKeySet(contents[0]) }, place)
	if err != nil {
		return nil, err
	}
	return keyFile{f}, nil
}

// stayHTTPS follows redirects only to what could have been configured.
func stayHTTPS(r *http.Request, via []*http.Request) error {
	if len(via) > 3 || !isHTTP(r.URL.String(), false) {
		return errors.New("redirected too often, or to http")
	}
	return nil
}

// signingKey is the private key that tokens are signed with.
type signingKey struct {
	signer jose.Signer
	public keySet
}

// keys returns the public half.
func (k *signingKey) keys(context.Context, bool) (keySet, error) { return k.public, nil }

// parseSigningKey reads a private key in PEM. Its ID is its thumbprint (RFC 7638).
func parseSigningKey(content []byte) (*signingKey, error) {
	private, err := parsePrivate(content)
	if err != nil {
		return nil, err
	}
	algorithm, err := algorithmOf(private)
	if err != nil {
		return nil, err
	}
	public := jose.JSONWebKey{Key: private.Public(), Algorithm: string(algorithm), Use: "sig"}
	thumbprint, err := public.Thumbprint(crypto.SHA256)
	if err != nil {
		return nil, err
	}
	public.KeyID = base64.RawURLEncoding.EncodeToString(thumbprint)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: jose.JSONWebKey{Key: private, KeyID: public.KeyID}},
		(&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return nil, err
	}
	return &signingKey{signer, keySet{public}}, nil
}

func parsePrivate(content []byte) (crypto.Signer, error) {
	for {
		var block *pem.Block
		if block, content = pem.Decode(content); block == nil {
			return nil, errors.New("expected a private key in PEM")
		}
		var key any
		var err error
		switch block.Type {
		case "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case "EC PRIVATE KEY":
			key, err = x509.ParseECPrivateKey(block.Bytes)
		case "RSA PRIVATE KEY":
			key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
		default:
			continue // such as EC PARAMETERS
		}
		signer, ok := key.(crypto.Signer)
		if err != nil || !ok {
			return nil, fmt.Errorf("the %s cannot be read", block.Type)
		}
		return signer, nil
	}
}

func algorithmOf(key crypto.Signer) (jose.SignatureAlgorithm, error) {
	switch k := key.(type) {
	case ed25519.PrivateKey:
		return jose.EdDSA, nil
	case *rsa.PrivateKey:
		if k.N.BitLen() >= minRSA {
			return jose.RS256, nil
		}
	case *ecdsa.PrivateKey:
		switch k.Curve {
		case elliptic.P256():
			return jose.ES256, nil
		case elliptic.P384():
			return jose.ES384, nil
		case elliptic.P521():
			return jose.ES512, nil
		}
	}
	return "", fmt.Errorf("expected a key of ECDSA (P-256, P-384, P-521), Ed25519, or RSA of %d bits or more", minRSA)
}
