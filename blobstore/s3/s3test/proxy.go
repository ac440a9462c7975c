package s3test

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"
)

// Proxy stands in front of a server. It counts what passes, and fails when told
// to.
type Proxy struct {
	URL string

	mu     sync.Mutex
	counts Counts
	fault  func(r *http.Request) Fault
}

// Counts is what has passed a proxy.
type Counts struct {
	Requests map[string]int // by operation: see Operation
	In, Out  int64          // bytes of bodies to the server, and from it
}

// Fault is what a proxy does to a request.
type Fault int

// The faults. A request that is cut off gets some of its way first.
const (
	None    Fault = iota
	Busy          // 503 SlowDown, and the server knows of nothing
	CutIn         // the connection ends within the request
	CutOut        // the connection ends within the answer; the server has done what it should
	LostOut       // the connection ends before the answer; the server has done what it should
	Failing       // 500 InternalError, and the server knows of nothing
	Slow          // the request waits a little first
	faults        // how many there are
)

// Faults are all of them but None.
func Faults() []Fault {
	var all []Fault
	for f := Busy; f < faults; f++ {
		all = append(all, f)
	}
	return all
}

// slowness is how long a slow request waits.
const slowness = 300 * time.Millisecond

// cutAfter is how many bytes of a body get through before a cut.
const cutAfter = 100_000

func startProxy(t testing.TB, address string) *Proxy {
	p := &Proxy{counts: Counts{Requests: make(map[string]int)}}
	transport := &http.Transport{MaxIdleConnsPerHost: 32, DisableCompression: true}
	reverse := &httputil.ReverseProxy{
		Director: func(r *http.Request) { // the signature is of the Host that the client knows
			r.URL.Scheme, r.URL.Host = "http", address
			r.Header["X-Forwarded-For"] = nil
		},
		Transport: transport,
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) {
			panic(http.ErrAbortHandler)
		},
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.serve(reverse, w, r) }))
	s.Config.ErrorLog = nil
	t.Cleanup(func() {
		s.Close()
		transport.CloseIdleConnections()
	})
	p.URL = s.URL
	return p
}

// Fail makes the proxy ask f for each request what to do to it.
func (p *Proxy) Fail(f func(r *http.Request) Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = f
}

// Take returns what has passed since it was last called.
func (p *Proxy) Take() Counts {
	p.mu.Lock()
	defer p.mu.Unlock()
	taken := p.counts
	p.counts = Counts{Requests: make(map[string]int)}
	return Counts{Requests: maps.Clone(taken.Requests), In: taken.In, Out: taken.Out}
}

func (p *Proxy) serve(reverse http.Handler, w http.ResponseWriter, r *http.Request) {
	fault := p.count(r)
	cw := &countingWriter{ResponseWriter: w, proxy: p, left: -1}
	r.Body = &countingBody{ReadCloser: r.Body, proxy: p, left: -1}
	switch fault {
	case Busy:
		refuse(w, http.StatusServiceUnavailable, "SlowDown")
		return
	case Failing:
		refuse(w, http.StatusInternalServerError, "InternalError")
		return
	case Slow:
		time.Sleep(slowness)
	case CutIn: // what has no body gets through
		r.Body.(*countingBody).left = min(cutAfter, r.ContentLength/2)
	case CutOut:
		cw.left = cutAfter
	case LostOut:
		cw.left = 0
	case None:
	}
	reverse.ServeHTTP(cw, r)
}

// count counts a request and returns what to do to it.
func (p *Proxy) count(r *http.Request) Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counts.Requests[Operation(r)]++
	if p.fault == nil {
		return None
	}
	return p.fault(r)
}

// refuse answers with one of S3's error codes.
func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>The test wants it so.</Message></Error>`, code)
}

// Operation names what a request does, as S3 does, but for PutObject and the
// like on a label: those are PutLabel and so on.
func Operation(r *http.Request) string {
	q := r.URL.Query()
	_, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	multipart := q.Has("uploads") || q.Has("uploadId")
	switch {
	case key == "":
		return r.Method + " bucket " + firstParameter(q)
	case multipart && r.Method == http.MethodPost && q.Has("uploads"):
		return "CreateMultipartUpload"
	case multipart && r.Method == http.MethodPost:
		return "CompleteMultipartUpload"
	case multipart && r.Method == http.MethodPut:
		return "UploadPart"
	case multipart && r.Method == http.MethodDelete:
		return "AbortMultipartUpload"
	}
	verb := strings.ToUpper(r.Method[:1]) + strings.ToLower(r.Method[1:])
	if strings.Contains("/"+key, "/labels/") {
		return verb + "Label"
	}
	return verb + "Object"
}

func firstParameter(q url.Values) string {
	for _, known := range []string{"uploads", "lifecycle", "location", "list-type"} {
		if q.Has(known) {
			return known
		}
	}
	return ""
}

// countingBody counts what is read of a request, and ends after left bytes
// unless that is negative.
type countingBody struct {
	io.ReadCloser
	proxy *Proxy
	left  int64
}

func (b *countingBody) Read(buf []byte) (int, error) {
	if b.left == 0 {
		return 0, errors.New("cut off")
	}
	if b.left > 0 {
		buf = buf[:min(int64(len(buf)), b.left)]
	}
	n, err := b.ReadCloser.Read(buf)
	if b.left > 0 {
		b.left -= int64(n)
	}
	b.proxy.mu.Lock()
	b.proxy.counts.In += int64(n)
	b.proxy.mu.Unlock()
	return n, err
}

// countingWriter counts what is written of an answer, and ends after left bytes
// unless that is negative.
type countingWriter struct {
	http.ResponseWriter
	proxy *Proxy
	left  int64
}

// WriteHeader ends the connection where nothing may be answered.
func (w *countingWriter) WriteHeader(status int) {
	if w.left == 0 {
		panic(http.ErrAbortHandler)
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *countingWriter) Write(p []byte) (int, error) {
	cut := w.left >= 0 && int64(len(p)) > w.left
	if cut {
		p = p[:w.left]
	}
	n, err := w.ResponseWriter.Write(p)
	w.proxy.mu.Lock()
	w.proxy.counts.Out += int64(n)
	w.proxy.mu.Unlock()
	if cut {
		w.Flush()
		panic(http.ErrAbortHandler)
	}
	if w.left > 0 {
		w.left -= int64(n)
	}
	return n, err
}

// Flush sends what was written.
func (w *countingWriter) Flush() {
	_ = http.NewResponseController(w.ResponseWriter).Flush() // there is nobody to tell
}
