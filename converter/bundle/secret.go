package bundle

import (
	"bytes"
	"crypto/aes"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"log/slog"
	"math/big"
)

// Secret is what the parts of a bundle are encrypted with. It prints as what it
// is, and not as what is in it.
type Secret struct {
	Key, IV [aes.BlockSize]byte
}

const redacted = "[secret of a bundle]"

// String implements [fmt.Stringer].
func (Secret) String() string { return redacted }

// GoString implements [fmt.GoStringer].
func (Secret) GoString() string { return redacted }

// LogValue implements [slog.LogValuer].
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// RandomSecret returns a secret that nobody knows: each bundle of an image is
// another one.
func RandomSecret() Secret {
	var s Secret
	_, _ = rand.Read(s.Key[:]) // It never fails.
	_, _ = rand.Read(s.IV[:])
	return s
}

// parseHex reads a key or an IV of two hexadecimal digits a byte, as openssl enc
// takes them. They are not repeated in the error.
func parseHex(to, digits []byte) error {
	if len(digits) != 2*len(to) {
		return fmt.Errorf("expected %d hexadecimal digits, got %d characters", 2*len(to), len(digits))
	}
	if _, err := hex.Decode(to, digits); err != nil {
		return fmt.Errorf("expected %d hexadecimal digits, got other characters", 2*len(to))
	}
	return nil
}

// DeriveSecret returns the secret that belongs to an image: an HKDF-SHA256
// (RFC 5869) of the user's private key, for the SHA-256 of the image and the name
// it goes by. The same key and image give the same bundle on every machine, and
// nothing has to be kept.
//
// Who lacks the private key can tell it from a random secret in one way only:
// two bundles of one image under one name are equal. Another image has another
// key and IV, so no IV is used for two contents. Who has the private key could
// decrypt the bundle anyway.
func DeriveSecret(key *rsa.PrivateKey, image [sha256.Size]byte, name string) (Secret, error) {
	info := fmt.Sprintf("cloudlets AMI bundle 1\x00%x\x00%s", image, name)
	derived, err := hkdf.Key(sha256.New, x509.MarshalPKCS1PrivateKey(key), nil, info, 2*aes.BlockSize)
	if err != nil {
		return Secret{}, fmt.Errorf("derive the bundle's key: %w", err)
	}
	var s Secret
	copy(s.Key[:], derived)
	copy(s.IV[:], derived[aes.BlockSize:])
	return s, nil
}

// encryptedSecret is a secret as a manifest has it for one recipient: RSA
// PKCS#1 v1.5 of 32 hexadecimal digits. It is empty where there is none.
type encryptedSecret struct{ key, iv []byte }

// Recipient says whose key decrypted a bundle.
type Recipient string

// Recipients of a bundle.
const (
	User  Recipient = "user"
	Cloud Recipient = "cloud"
)

// Decrypt returns the secret of the bundle. Both what is encrypted for the user
// and for the cloud is tried. The error wraps [ErrKey].
func (m *Manifest) Decrypt(key *rsa.PrivateKey) (Secret, Recipient, error) {
	for _, r := range []struct {
		who    Recipient
		secret encryptedSecret
	}{{User, m.user}, {Cloud, m.cloud}} {
		if s, ok := r.secret.decrypt(key); ok {
			return s, r.who, nil
		}
	}
	return Secret{}, "", fmt.Errorf("%w: expected the private key of the certificate that the bundle was made with, or that of the cloud", ErrKey)
}

func (e encryptedSecret) decrypt(key *rsa.PrivateKey) (Secret, bool) {
	var s Secret
	for _, half := range []struct{ to, from []byte }{{s.Key[:], e.key}, {s.IV[:], e.iv}} {
		text, err := rsa.DecryptPKCS1v15(nil, key, half.from)
		if err != nil || parseHex(half.to, text) != nil {
			return Secret{}, false
		}
	}
	return s, true
}

// encrypt encrypts the secret for a recipient.
func (s Secret) encrypt(to *rsa.PublicKey) (encryptedSecret, error) {
	key, err := s.pad(to, "key", s.Key[:])
	if err != nil {
		return encryptedSecret{}, err
	}
	iv, err := s.pad(to, "iv", s.IV[:])
	if err != nil {
		return encryptedSecret{}, err
	}
	return encryptedSecret{rsaPublic(to, key), rsaPublic(to, iv)}, nil
}

// Of PKCS#1 v1.5 (RFC 8017, section 7.2.1): an encryption block is 0, 2, at
// least eight bytes of padding that are not zero, 0, the message.
const (
	blockType  = 2
	minPadding = 8
)

// pad returns the encryption block of half of the secret. Its padding has to be
// unpredictable for who does not know the secret, and the same each time: it is
// derived from the secret, for this recipient and this half.
func (s Secret) pad(to *rsa.PublicKey, half string, message []byte) ([]byte, error) {
	text := []byte(hex.EncodeToString(message))
	padding := to.Size() - 3 - len(text)
	if padding < minPadding {
		return nil, fmt.Errorf("the RSA key of %d bits is too short to encrypt a bundle's secret: expected 1024 or more", to.N.BitLen())
	}
	info := fmt.Sprintf("cloudlets AMI bundle 1 padding\x00%s\x00%x", half, x509.MarshalPKCS1PublicKey(to))
	// One byte in 256 is zero, and left out.
	random, err := hkdf.Key(sha256.New, append(s.Key[:], s.IV[:]...), nil, info, min(2*padding+64, 255*sha256.Size))
	if err != nil {
		return nil, fmt.Errorf("pad the bundle's %s: %w", half, err)
	}
	random = bytes.ReplaceAll(random, []byte{0}, nil)
	if len(random) < padding {
		return nil, fmt.Errorf("the RSA key of %d bits is too long", to.N.BitLen())
	}
	block := append([]byte{0, blockType}, random[:padding]...)
	return append(append(block, 0), text...), nil
}

// rsaPublic applies the public key: crypto/rsa would choose a padding at random.
func rsaPublic(to *rsa.PublicKey, block []byte) []byte {
	c := new(big.Int).Exp(new(big.Int).SetBytes(block), big.NewInt(int64(to.E)), to.N)
	return c.FillBytes(make([]byte, to.Size()))
}
