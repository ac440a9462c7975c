package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"path/filepath"
	"testing"
	"time"
)

// authority is a private one.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func pemFile(t *testing.T, name, kind string, der []byte) string {
	t.Helper()
	return mustWrite(t, filepath.Join(t.TempDir(), name), string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})))
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a private authority"}, IsCA: true, BasicConstraintsValid: true,
		NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert, key, pemFile(t, "ca.pem", "CERTIFICATE", der)}
}

// issue makes a certificate for a name, and its key.
func (a *authority) issue(t *testing.T, name string) (cert, key string) {
	t.Helper()
	private := newKey(t)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, private.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return pemFile(t, "cert.pem", "CERTIFICATE", der), pemFile(t, "key.pem", "PRIVATE KEY", encoded)
}

// TestPrivateAuthority has a registry whose certificate is of a private
// authority, and which knows its clients by theirs.
func TestPrivateAuthority(t *testing.T) {
	ca := newAuthority(t)
	cert, key := ca.issue(t, "registry")
	s := startServer(t, t.TempDir(), "sh", "-c", `exec "$@" --tls-cert '`+cert+`' --tls-key '`+key+`' --tls-client-ca '`+ca.file+`'`, "sh")
	mine, myKey := ca.issue(t, "builder")
	known := []string{"--ca-file", ca.file, "--cert", mine, "--key", myKey}
	with := func(flags []string, args ...string) []string { return append(args, flags...) }

	rootfs := writeTar(t, smallRootfs())
	ok(t, with(known, "push", rootfs, s.ref("golden/small:1"))...)
	back := filepath.Join(t.TempDir(), "back.tar")
	ok(t, with(known, "pull", s.ref("golden/small:1"), "-o", back)...)
	same(t, back, rootfs)
	ok(t, with(known, "retention", "holds", s.ref("golden/small"))...)
	ok(t, "ls", s.host, "--insecure", "--cert", mine, "--key", myKey)

	fails(t, exitFailed, []string{"403"}, "ls", s.host, "--ca-file", ca.file)
	fails(t, exitFailed, []string{"--ca-file"}, "ls", s.host, "--cert", mine, "--key", myKey)
	fails(t, exitFailed, []string{"--ca-file"}, "ls", s.host, "--ca-file", newAuthority(t).file)
	fails(t, exitFailed, []string{"holds no certificate"}, "ls", s.host, "--ca-file", myKey)
	fails(t, exitNotFound, []string{"/nowhere"}, "ls", s.host, "--ca-file", "/nowhere")
	fails(t, exitUsage, []string{"both a certificate and its key"}, "ls", s.host, "--cert", mine)
	fails(t, exitUsage, []string{"plain HTTP"}, "ls", s.host, "--plain-http", "--ca-file", ca.file)
	fails(t, exitUsage, []string{"unknown flag: --ca-file"}, "serve", "--ca-file", ca.file)
}
