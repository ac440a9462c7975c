package access

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
)

// Config returns a configuration for a server, whose certificates are read
// again when their files change, or nil without certificates.
func (t TLS) Config(log *slog.Logger) (*tls.Config, error) {
	if err := t.validate(); err != nil || t.Cert == "" {
		return nil, err
	}
	pair, err := openFiles(log, parsePair, t.Cert, t.Key)
	if err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	config := &tls.Config{
		MinVersion:     tls.VersionTLS12,
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return pair.get(), nil },
	}
	if t.ClientCA == "" {
		return config, nil
	}
	pool, err := openFiles(log, parsePool, t.ClientCA)
	if err != nil {
		return nil, fmt.Errorf("tls: %w", err)
	}
	config.ClientAuth = tls.VerifyClientCertIfGiven
	if t.RequireClient {
		config.ClientAuth = tls.RequireAndVerifyClientCert
	}
	config.ClientCAs = pool.get()
	// A session that is resumed does not show its certificate again, so it might
	// outlive the trust in it.
	config.SessionTicketsDisabled = true
	server := config.Clone()
	server.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		current := config.Clone()
		current.ClientCAs = pool.get()
		return current, nil
	}
	return server, nil
}

func parsePair(contents [][]byte) (*tls.Certificate, error) {
	pair, err := tls.X509KeyPair(contents[0], contents[1])
	if err != nil {
		return nil, err
	}
	return &pair, nil
}

func parsePool(contents [][]byte) (*x509.CertPool, error) {
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(contents[0]) {
		return nil, errors.New("expected certificates in PEM")
	}
	return pool, nil
}

// certificateName returns the name of a client that has shown a certificate
// which was verified, or nothing: cert: and its common name, else its first DNS
// name or URI.
func certificateName(state *tls.ConnectionState) string {
	if state == nil || len(state.VerifiedChains) == 0 || len(state.VerifiedChains[0]) == 0 {
		return ""
	}
	leaf := state.VerifiedChains[0][0]
	name := leaf.Subject.CommonName
	if name == "" && len(leaf.DNSNames) > 0 {
		name = leaf.DNSNames[0]
	}
	if name == "" && len(leaf.URIs) > 0 {
		name = leaf.URIs[0].String()
	}
	if name == "" || len(name) > maxSubject || !printable(name) {
		return ""
	}
	return certificatePrefix + name
}
