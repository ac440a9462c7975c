package cloudlet

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
)

// minSecretKey is how long a key for [Configuration.Canonical] must be, in
// bytes: as long as the output of SHA-256 (RFC 2104, section 3).
const minSecretKey = 32

var errShortKey = errors.New("the configuration has secrets, and the key for them has less than 32 bytes")

// Canonical returns the configuration in the form that a derivation key is made
// of: equal configurations give equal bytes. Each secret is replaced by
// {"$secret": HMAC-SHA-256 of its place and value}. The key must be random, of
// 32 bytes or more, and known to nobody who sees derivation keys: with a plain
// or salted digest, whoever knows the salt could try passwords. A configuration
// without secrets needs no key.
func (c *Configuration) Canonical(key []byte) ([]byte, error) {
	if len(c.secrets) > 0 && len(key) < minSecretKey {
		return nil, errShortKey
	}
	return c.withSecrets(func(keys []string, secret any) (any, error) {
		value, err := marshal(secret)
		if err != nil {
			return nil, err
		}
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte("cloudlets configuration secret\x00" + pointer(keys) + "\x00"))
		mac.Write(value)
		return object{"$secret": hex.EncodeToString(mac.Sum(nil))}, nil
	})
}
