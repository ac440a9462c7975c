package access

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cloudlets/cloudlets/registry"
)

// authorityCA vouches for certificates.
type authorityCA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newCA(t testing.TB) *authorityCA {
	t.Helper()
	ca := &authorityCA{key: newECDSA(t)}
	ca.pem, _ = certify(t, nil, ca.key, "ca")
	block, _ := pem.Decode(ca.pem)
	var err error
	if ca.cert, err = x509.ParseCertificate(block.Bytes); err != nil {
		t.Fatal(err)
	}
	return ca
}

// certify makes a certificate for 127.0.0.1 and for clients; a nil CA signs
// itself.
func certify(t testing.TB, ca *authorityCA, key *ecdsa.PrivateKey, name string) (cert, private []byte) {
	t.Helper()
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	parent, signer := template, key
	if ca == nil {
		template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	} else {
		parent, signer = ca.cert, ca.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pemKey(t, key)
}

// rewrite replaces files as an administrator does. Sizes differ, so that no
// clock has to tick.
func rewrite(t testing.TB, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, append(content, []byte(strings.Repeat("\n", time.Now().Nanosecond()%97+1))...), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestCertificatesAreReadAgain(t *testing.T) {
	ca := newCA(t)
	firstCert, firstKey := certify(t, ca, newECDSA(t), "first")
	secondCert, secondKey := certify(t, ca, newECDSA(t), "second")
	cert, key := write(t, "cert.pem", firstCert), write(t, "key.pem", firstKey)
	pair, err := openFiles(slog.New(slog.DiscardHandler), parsePair, cert, key)
	if err != nil {
		t.Fatal(err)
	}
	want := func(name string) {
		t.Helper()
		age(pair)
		if got := pair.get().Leaf.Subject.CommonName; got != name {
			t.Errorf("got the certificate of %s, want %s", got, name)
		}
	}
	want("first")
	rewrite(t, cert, secondCert)
	want("first") // the key is not there yet
	rewrite(t, key, secondKey)
	want("second")
	os.Remove(cert)
	want("second")
	rewrite(t, cert, firstCert)
	rewrite(t, key, firstKey)
	want("first")
}

// serveTLS serves with certificate control what the test says of each client.
func serveTLS(t testing.TB, settings TLS, control *Control) string {
	t.Helper()
	config, err := settings.Config(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, err := control.Authorize(r, registry.Need{Action: registry.ActionPull, Repository: "nodes"})
		if err != nil {
			registry.WriteError(w, r, err)
			return
		}
		w.Write([]byte(p.Name()))
	}))
	listener := tls.NewListener(h.Listener, config)
	h.Listener = listener
	h.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	h.Start()
	t.Cleanup(h.Close)
	return "https://" + listener.Addr().String() + "/"
}

func TestClientCertificatesName(t *testing.T) {
	ca, other := newCA(t), newCA(t)
	serverCert, serverKey := certify(t, ca, newECDSA(t), "server")
	trusted := write(t, "ca.pem", ca.pem)
	settings := TLS{Cert: write(t, "cert.pem", serverCert), Key: write(t, "key.pem", serverKey), ClientCA: trusted}
	control, err := New(Config{TLS: settings, Rules: []Rule{{[]string{"nodes"}, []string{"cert:node-*"}, []string{"pull"}}}}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	url := serveTLS(t, settings, control)
	root := ca
	get := func(ca *authorityCA, name string) string {
		t.Helper()
		roots := x509.NewCertPool()
		roots.AddCert(root.cert)
		config := &tls.Config{RootCAs: roots}
		if name != "" {
			cert, key := certify(t, ca, newECDSA(t), name)
			pair, err := tls.X509KeyPair(cert, key)
			if err != nil {
				t.Fatal(err)
			}
			config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
		}
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
		resp, err := client.Get(url)
		if err != nil {
			return "refused"
		}
		defer resp.Body.Close()
		if resp.StatusCode != 200 {
			return resp.Status[:3]
		}
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(body)
	}
	for _, c := range []struct {
		ca         *authorityCA
		name, want string
	}{
		{ca, "node-1", "cert:node-1"},
		{ca, "laptop", "403"},
		{nil, "", "403"},
		{other, "node-1", "refused"},
	} {
		if got := get(c.ca, c.name); got != c.want {
			t.Errorf("%q: got %s, want %s", c.name, got, c.want)
		}
	}
	rewrite(t, trusted, other.pem)
	time.Sleep(checkEvery)
	if got := get(other, "node-2"); got != "cert:node-2" {
		t.Errorf("after the change of those who vouch: got %s", got)
	}
	if got := get(ca, "node-1"); got != "refused" {
		t.Errorf("those who no longer vouch do: got %s", got)
	}
}
