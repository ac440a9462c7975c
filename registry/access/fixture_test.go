package access

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/crypto/bcrypt"

	"github.com/cloudlets/cloudlets/blobstore"
	"github.com/cloudlets/cloudlets/blobstore/file"
	"github.com/cloudlets/cloudlets/registry"
	"github.com/cloudlets/cloudlets/registry/metadata"
)

const secret = "correct horse"

func write(t testing.TB, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// htpasswdFile makes users, all with the same password.
func htpasswdFile(t testing.TB, users ...string) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(secret), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, user := range users {
		b.WriteString(user + ":" + string(hash) + "\n")
	}
	return write(t, "htpasswd", []byte(b.String()))
}

func newECDSA(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func pemKey(t testing.TB, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func jwks(t testing.TB, keys ...jose.JSONWebKey) []byte {
	t.Helper()
	b, err := json.Marshal(jose.JSONWebKeySet{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// server is a registry with access control.
type server struct {
	url     string
	host    string
	meta    *metadata.Store
	control *Control
	log     *strings.Builder
	mu      sync.Mutex
}

func (s *server) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.Write(p)
}

func (s *server) logged() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.String()
}

func start(t testing.TB, c Config, now func() time.Time) *server {
	t.Helper()
	s := &server{log: new(strings.Builder)}
	log := slog.New(slog.NewTextHandler(s, &slog.HandlerOptions{Level: slog.LevelDebug}))
	dir := t.TempDir()
	var err error
	if s.meta, err = metadata.OpenSQLite(t.Context(), filepath.Join(dir, "metadata.sqlite"), metadata.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.meta.Close() })
	driver, err := file.New(filepath.Join(dir, "blobs"))
	if err != nil {
		t.Fatal(err)
	}
	blobs, err := blobstore.New(driver, s.meta)
	if err != nil {
		t.Fatal(err)
	}
	if s.control, err = newControl(c, log, now); err != nil {
		t.Fatal(err)
	}
	r, err := registry.New(registry.Config{Blobs: blobs, Metadata: s.meta, Log: log, Access: s.control, Quota: newLedger(c.Quotas, s.meta, now)})
	if err != nil {
		t.Fatal(err)
	}
	h := httptest.NewServer(s.control.Handler(r))
	t.Cleanup(h.Close)
	s.url, s.host = h.URL, h.Listener.Addr().String()
	return s
}

// answer is what a server answers.
type answer struct {
	status int
	header http.Header
	body   string
}

// do sends a request with an Authorization header, or none.
func (s *server) do(t testing.TB, method, path, authorization, body string) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, s.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	resp.Header.Del("Date")
	return answer{resp.StatusCode, resp.Header, string(content)}
}

func (a answer) want(t testing.TB, status int) answer {
	t.Helper()
	if a.status != status {
		t.Errorf("got status %d, want %d: %s", a.status, status, a.body)
	}
	return a
}

// basic is the header of a user with a password.
func basic(user, password string) string {
	r := http.Request{Header: make(http.Header)}
	r.SetBasicAuth(user, password)
	return r.Header.Get("Authorization")
}

// token gets a token with scopes in the query.
func (s *server) token(t testing.TB, authorization, query string) string {
	t.Helper()
	var got tokenAnswer
	a := s.do(t, "GET", "/token?"+query, authorization, "").want(t, 200)
	if err := json.Unmarshal([]byte(a.body), &got); err != nil {
		t.Fatal(err)
	}
	return "Bearer " + got.Token
}

// stream sends a body whose length is not said to an upload.
func (s *server) stream(t testing.TB, at string, body io.Reader) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "PATCH", s.url+at, body)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(content)}
}
