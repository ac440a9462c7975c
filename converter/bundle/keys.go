package bundle

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
)

// ParsePrivateKey reads an RSA private key in PEM: PKCS#1 or PKCS#8, not
// encrypted. Nothing of it is in the error.
func ParsePrivateKey(text []byte) (*rsa.PrivateKey, error) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		switch block.Type {
		case "RSA PRIVATE KEY":
			if block.Headers["DEK-Info"] != "" {
				return nil, errors.New("the private key is encrypted with a passphrase: decrypt it with openssl rsa first")
			}
			return x509.ParsePKCS1PrivateKey(block.Bytes)
		case "ENCRYPTED PRIVATE KEY":
			return nil, errors.New("the private key is encrypted with a passphrase: decrypt it with openssl rsa first")
		case "PRIVATE KEY":
			return parsePKCS8(block.Bytes)
		}
	}
	return nil, errors.New("expected an RSA private key in PEM (-----BEGIN PRIVATE KEY----- or -----BEGIN RSA PRIVATE KEY-----)")
}

func parsePKCS8(der []byte) (*rsa.PrivateKey, error) {
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(*rsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("expected an RSA private key, found a %T", parsed)
	}
	return key, nil
}

// ParseCertificate reads the public key of an X.509 certificate in PEM. Neither
// its dates nor who signed it are looked at: certificates of EC2 users are
// names for keys.
func ParseCertificate(text []byte) (*rsa.PublicKey, error) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, err
		}
		key, ok := cert.PublicKey.(*rsa.PublicKey)
		if !ok {
			return nil, fmt.Errorf("expected a certificate of an RSA key, found one of a %T", cert.PublicKey)
		}
		return key, nil
	}
	return nil, errors.New("expected an X.509 certificate in PEM (-----BEGIN CERTIFICATE-----)")
}
