package access

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloudlets/cloudlets/registry/clocktest"
)

func TestQuotaHoldsUnderConcurrentUploads(t *testing.T) {
	const room, size = 10, 100_000
	now := clocktest.New()
	s := start(t, Config{Quotas: []Quota{{"golden", room * size}, {"", 100 * size}}}, now.Now)
	push := func(repository string, i int, known bool) answer {
		content := fmt.Sprintf("%0*d", size, i)
		if known {
			return s.push(t, repository, "", content)
		}
		at := s.do(t, "POST", "/v2/"+repository+"/blobs/uploads/", "", "").want(t, 202).header.Get("Location")
		return s.stream(t, at, io.MultiReader(strings.NewReader(content))) // hides its length
	}
	var stored atomic.Int64
	var wg sync.WaitGroup
	for i := range 3 * room {
		wg.Go(func() {
			switch a := push(fmt.Sprintf("golden/%d", i%3), i, i%2 == 0); a.status {
			case 201, 202:
				stored.Add(1)
			case 403:
				if !strings.Contains(a.body, `"DENIED"`) || !strings.Contains(a.body, "quota of") {
					t.Errorf("refused with %s", a.body)
				}
			default:
				t.Errorf("got status %d: %s", a.status, a.body)
			}
		})
	}
	wg.Wait()
	used, err := s.meta.Usage(t.Context(), "golden")
	if err != nil || used > room*size || stored.Load() < 1 {
		t.Errorf("%d bytes of %d are used after %d uploads, %v", used, room*size, stored.Load(), err)
	}
	push("goldener", 1000, true).want(t, 201)
	push("other", 1001, false).want(t, 202)
	for i := 2000; i < 2000+3*room; i++ { // with nobody else at it, it can be filled
		now.Pass(time.Minute)
		push("golden/x", i, true)
	}
	if used, err = s.meta.Usage(t.Context(), "golden"); err != nil || used <= (room-1)*size || used > room*size {
		t.Errorf("%d bytes of %d are used at last, %v", used, room*size, err)
	}
	now.Pass(time.Minute)
	push("golden/x", 1, true).want(t, 403)
}

// sendAll sends a request as simple clients do: all of it, before they look at
// the answer.
func (s *server) sendAll(t *testing.T, method, path string, size int, chunked bool) answer {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", s.host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	length := fmt.Sprintf("Content-Length: %d", size)
	var body io.WriteCloser = struct {
		io.Writer
		io.Closer
	}{conn, io.NopCloser(nil)}
	if chunked {
		length, body = "Transfer-Encoding: chunked", httputil.NewChunkedWriter(conn)
	}
	fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: %s\r\n%s\r\n\r\n", method, path, s.host, length)
	part := make([]byte, 64<<10)
	for sent := 0; sent < size; sent += len(part) {
		if _, err := body.Write(part); err != nil {
			t.Fatalf("after %d bytes of %d: %v", sent, size, err)
		}
	}
	if err := body.Close(); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(conn, "\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	defer resp.Body.Close()
	content, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(content)}
}

func TestQuotaOverrunIsAnsweredWhileSending(t *testing.T) {
	const size = 64 << 20 // more than connections buffer
	now := clocktest.New()
	s := start(t, Config{Quotas: []Quota{{"golden", 5 << 20}}}, now.Now)
	for name, chunked := range map[string]bool{"of unknown length": true, "too long from the start": false} {
		at := s.do(t, "POST", "/v2/golden/x/blobs/uploads/", "", "").want(t, 202).header.Get("Location")
		a := s.sendAll(t, "PATCH", at, size, chunked).want(t, 403)
		if chunked { // which is over; the other never began
			s.do(t, "GET", at, "", "").want(t, 404)
		}
		if !strings.Contains(a.body, "quota of") {
			t.Errorf("%s: got %v", name, a)
		}
		now.Pass(time.Minute) // used is measured again
	}
	// What was refused does not use up the quota.
	if used, err := s.meta.Usage(t.Context(), "golden"); err != nil || used != 0 {
		t.Errorf("%d bytes are used, %v", used, err)
	}
}

func TestWhoMayNotPushIsToldWhileSending(t *testing.T) {
	s, _ := ruled(t, nil)
	s.sendAll(t, "PATCH", "/v2/hidden/blobs/uploads/x", 64<<20, true).want(t, 401)
	s.sendAll(t, "PUT", "/v2/hidden/manifests/x", 64<<20, false).want(t, 401)
}
