package registry_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// announce sends the head of a request whose body would have size bytes, and
// returns what is answered before any of them.
func announce(t *testing.T, f *fixture, method, path string, size int64) reply {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", f.host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n\r\n", method, path, f.host, size)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, body}
}

// TestBlobThatCannotBeStoredIsRefusedAtOnce announces more than an object of S3
// holds. A blob of 100 GiB and one of 5 TiB are fine.
func TestBlobThatCannotBeStoredIsRefusedAtOnce(t *testing.T) {
	node := newBucket(t, nil).node(t)
	d := digest.FromString("too large")
	const tooLarge = 5<<40 + 1
	announce(t, node, "POST", withDigest("/v2/a/blobs/uploads/", d), tooLarge).wantError(t, 413, "SIZE_INVALID")
	announce(t, node, "PUT", withDigest(begin(t, node.url, "a", ""), d), tooLarge).wantError(t, 413, "SIZE_INVALID")
	announce(t, node, "PATCH", begin(t, node.url, "a", ""), tooLarge).wantError(t, 413, "SIZE_INVALID")
	at := begin(t, node.url, "a", "")
	do(t, node.url, "PATCH", at, []byte("abc")).want(t, 202)
	announce(t, node, "PATCH", at, tooLarge-3).wantError(t, 413, "SIZE_INVALID") // with what is there
	if r := do(t, node.url, "GET", at, nil); r.status != 404 && !strings.HasPrefix(r.header.Get("Range"), "0-") {
		t.Errorf("the upload is answered %d", r.status)
	}
}
