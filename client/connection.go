package client

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"unicode"

	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/retry"
)

// TLS says how to know a registry, and what to prove oneself with. The zero
// value trusts the authorities of the system.
type TLS struct {
	CAFile   string // PEM file of authorities to trust too
	CertFile string // PEM file of the client's certificate
	KeyFile  string // PEM file of its key
	Insecure bool   // takes any certificate for the registry's
}

// ErrOptions says that options contradict each other.
var ErrOptions = errors.New("the options do not fit together")

// set says whether anything was said: then TLS is meant, on localhost too.
func (t TLS) set() bool { return t != TLS{} }

// config returns the settings of a connection.
func (t TLS) config() (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: t.Insecure} //nolint:gosec // asked for
	if (t.CertFile == "") != (t.KeyFile == "") {
		return nil, fmt.Errorf("%w: expected both a certificate and its key, or neither", ErrOptions)
	}
	if t.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("read the client's certificate: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	if t.CAFile == "" {
		return c, nil
	}
	trusted, err := x509.SystemCertPool()
	if err != nil {
		trusted = x509.NewCertPool() // a system without any
	}
	content, err := os.ReadFile(t.CAFile)
	if err != nil {
		return nil, fmt.Errorf("read the authorities to trust: %w", err)
	}
	if !trusted.AppendCertsFromPEM(content) {
		return nil, fmt.Errorf("read the authorities to trust: %s holds no certificate: expected PEM", t.CAFile)
	}
	c.RootCAs = trusted
	return c, nil
}

// idleConnections is how many connections to a registry are kept for the next
// request: as many as are used at a time while a disk is read, for a new one takes
// several round trips.
const idleConnections = 16

// newHTTPClient returns a client that tries again what may work then.
func newHTTPClient(t TLS) (*http.Client, error) {
	config, err := t.config()
	if err != nil {
		return nil, err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = config
	transport.MaxIdleConnsPerHost = idleConnections
	return &http.Client{Transport: retry.NewTransport(transport)}, nil
}

// sender sends requests and passes the warnings of answers on. It keeps what a
// registry has signed out of errors: the query of a URL that it redirects to is
// as good as a password.
type sender struct {
	*auth.Client
	warn func(text string)
}

// Do sends a request.
func (s sender) Do(req *http.Request) (*http.Response, error) {
	resp, err := s.Client.Do(req)
	if err == nil {
		for _, value := range resp.Header.Values("Warning") {
			if text, ok := parseWarning(value); ok {
				s.warn(text)
			}
		}
	}
	var failed *url.Error
	if errors.As(err, &failed) {
		if u, parseErr := url.Parse(failed.URL); parseErr == nil && u.Host != req.URL.Host {
			failed.URL = withoutQuery(u).String()
		}
	}
	if err == nil && resp.StatusCode >= http.StatusBadRequest && resp.Request.URL.Host != req.URL.Host {
		resp.Request = resp.Request.Clone(req.Context())
		resp.Request.URL = withoutQuery(resp.Request.URL)
	}
	return resp, err
}

func withoutQuery(u *url.URL) *url.URL {
	clean := *u
	clean.RawQuery = ""
	return &clean
}

// warningForm is the form of a warning (distribution-spec, section Warnings).
var warningForm = regexp.MustCompile(`^299 - "((?:[^"\\]|\\.)*)"$`)

// quotedPair is a character with a backslash before it, in a quoted-string.
var quotedPair = regexp.MustCompile(`\\(.)`)

// parseWarning returns the text of a Warning header, without what a terminal
// would take for more than text.
func parseWarning(value string) (text string, ok bool) {
	m := warningForm.FindStringSubmatch(value)
	if m == nil {
		return "", false
	}
	text = quotedPair.ReplaceAllString(m[1], "$1")
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, text), true
}

// once returns a function that tells each text once.
func once(tell func(text string)) func(text string) {
	var told sync.Map
	return func(text string) {
		if _, again := told.LoadOrStore(text, true); !again && tell != nil {
			tell(text)
		}
	}
}
