package nbd

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/extent"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// disks are exports by name.
type disks map[string]*Export

func (d disks) Open(_ context.Context, _ Peer, name string) (*Export, error) {
	if e, ok := d[name]; ok {
		return e, nil
	}
	return nil, fmt.Errorf("%q: %w", name, ErrUnknownExport)
}

func (d disks) List(context.Context, Peer) ([]Listed, error) {
	var all []Listed
	for name, e := range d {
		all = append(all, Listed{name, e.Description})
	}
	return all, nil
}

const (
	diskName = "golden/debian@sha256:0123456789abcdef"
	diskSize = 48<<20 + 512
)

// testDisk is a disk with large holes, small runs of zeros, inline bytes and
// content.
func testDisk(t testing.TB) (*Export, convertertest.Blobs) {
	t.Helper()
	blobs := convertertest.Blobs{}
	content := make([]byte, 9<<20)
	mathrand.NewChaCha8([32]byte{1}).Read(content)
	d := blobs.Add(content)
	var b extent.Builder
	b.Source(d, 0, 1<<20)
	b.Zero(7 << 20)
	b.Inline(content[:100])
	b.Zero(3996)
	b.Source(d, 1<<20, 8<<20)
	b.Zero(1 << 20)
	for i := range int64(256) {
		b.Source(d, i*4096, 1000+i*11)
		b.ZeroTo(17<<20 + 4096 + (i+1)*4096)
	}
	b.ZeroTo(diskSize - 512)
	b.Inline(content[:512])
	m, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	reader := extent.NewReader(context.Background(), m, blobs)
	return &Export{Name: diskName, Description: "a test", Map: m, Content: reader}, blobs
}

// serve serves exports until the test ends, and returns the address.
func serve(t testing.TB, network string, c Config) net.Addr {
	t.Helper()
	_, addr := start(t, network, c)
	return addr
}

func start(t testing.TB, network string, c Config) (*Server, net.Addr) {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(t.TempDir(), "nbd.sock")
	}
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	s := New(c)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Error("shut down:", err)
		}
		if err := <-served; err != ErrServerClosed {
			t.Error("serve:", err)
		}
	})
	return s, l.Addr()
}

// uri returns what clients call an export by.
func uri(addr net.Addr, name string) string {
	u := url.URL{Scheme: "nbd", Host: addr.String(), Path: "/" + name}
	if addr.Network() == "unix" {
		u = url.URL{Scheme: "nbd+unix", Path: "/" + name, RawQuery: url.Values{"socket": {addr.String()}}.Encode()}
	}
	return u.String()
}

// rawFile writes the test's disk to a file.
func rawFile(t testing.TB, e *Export, blobs convertertest.Blobs) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk.raw")
	convertertest.WriteFile(t, e.Map, blobs, path)
	return path
}

// certificates makes an authority, a server certificate for localhost, and one of
// a client, and writes them as QEMU and libnbd want them.
func certificates(t testing.TB) (dir string, server *tls.Config) {
	t.Helper()
	dir = t.TempDir()
	ca, caKey := certificate(t, dir, "ca", nil, nil)
	serverCert, _ := certificate(t, dir, "server", ca, caKey)
	certificate(t, dir, "client", ca, caKey)
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "server-cert.pem"), filepath.Join(dir, "server-key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	pair.Leaf = serverCert
	pool := x509.NewCertPool()
	pool.AddCert(ca)
	return dir, &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert}
}

func certificate(t testing.TB, dir, name string, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true,
	}
	if parent == nil {
		template.IsCA, template.KeyUsage, template.ExtKeyUsage = true, x509.KeyUsageCertSign, nil
		parent, parentKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, filepath.Join(dir, name+"-cert.pem"), "CERTIFICATE", der)
	writePEM(t, filepath.Join(dir, name+"-key.pem"), "PRIVATE KEY", private)
	return cert, key
}

func writePEM(t testing.TB, path, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}
