package registry_test

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// begin begins an upload and returns its location.
func begin(t *testing.T, base, name, query string) string {
	t.Helper()
	r := do(t, base, "POST", "/v2/"+name+"/blobs/uploads/"+query, nil).want(t, 202)
	if r.location() == "" {
		t.Fatal("there is no Location")
	}
	return r.location()
}

// chunk is a part of a blob.
type chunk struct {
	bytes  []byte
	last   int // the offset of its last byte
	header option
}

// split cuts content in n chunks.
func split(content []byte, n int) []chunk {
	var chunks []chunk
	for i := range n {
		first, end := i*len(content)/n, (i+1)*len(content)/n
		chunks = append(chunks, chunk{content[first:end], end - 1, header("Content-Range", fmt.Sprintf("%d-%d", first, end-1))})
	}
	return chunks
}

// wantBlob fails the test unless GET and HEAD of a path give the blob.
func wantBlob(t *testing.T, base, path string, content []byte, d digest.Digest) {
	t.Helper()
	for _, method := range []string{"GET", "HEAD"} {
		r := do(t, base, method, path, nil).want(t, 200).
			wantHeader(t, "Docker-Content-Digest", string(d)).
			wantHeader(t, "Content-Length", strconv.Itoa(len(content))).
			wantHeader(t, "Content-Type", "application/octet-stream")
		if method == "GET" && !bytes.Equal(r.body, content) {
			t.Fatalf("got %d bytes that are not the blob", len(r.body))
		}
	}
}

func TestInvalidDigestsAreRefused(t *testing.T) {
	f := start(t, nil)
	at := begin(t, f.url, "a", "")
	for _, d := range []string{"sha256:abc", "sha256:" + strings.Repeat("A", 64), "md5:" + strings.Repeat("0", 32), "sha384:" + strings.Repeat("0", 96), "nothing", "sha256%3A"} {
		do(t, f.url, "GET", "/v2/a/blobs/"+d, nil).wantError(t, 400, "DIGEST_INVALID")
		do(t, f.url, "DELETE", "/v2/a/blobs/"+d, nil).wantError(t, 400, "DIGEST_INVALID")
		do(t, f.url, "POST", "/v2/a/blobs/uploads/?digest="+d, nil).wantError(t, 400, "DIGEST_INVALID")
		do(t, f.url, "POST", "/v2/a/blobs/uploads/?mount="+d, nil).wantError(t, 400, "DIGEST_INVALID")
		do(t, f.url, "PUT", at+"?digest="+d, nil).wantError(t, 400, "DIGEST_INVALID")
		do(t, f.url, "GET", "/v2/a/referrers/"+d, nil).wantError(t, 400, "DIGEST_INVALID")
	}
	do(t, f.url, "PUT", at, nil).wantError(t, 400, "DIGEST_INVALID")
	do(t, f.url, "POST", "/v2/a/blobs/uploads/?digest-algorithm=md5", nil).wantError(t, 400, "DIGEST_INVALID")
	do(t, f.url, "POST", withDigest("/v2/a/blobs/uploads/", digest.FromString("other")), []byte("x")).wantError(t, 400, "DIGEST_INVALID")
	do(t, f.url, "POST", "/v2/a/blobs/uploads/?mount="+string(digest.FromString("x"))+"&from=Not/Valid", nil).wantError(t, 400, "NAME_INVALID")
}

// The ranges that clients usually send are asked for by the suite in
// conformance/.
func TestUnusualBlobRanges(t *testing.T) {
	f := start(t, nil)
	content := make([]byte, 2048)
	for i := range content {
		content[i] = byte(i * 7)
	}
	path := "/v2/a/blobs/" + string(pushBlob(t, f.url, "a", content))
	tests := []struct {
		header      string
		status      int
		first, last int
	}{
		{"bytes=2047-2047", 206, 2047, 2047},
		{"bytes=2048-", 416, 0, 0},
		{"bytes=-0", 416, 0, 0},
		{"bytes=0-1,5-6", 200, 0, 2047},
		{"bytes=x-y", 200, 0, 2047},
		{"lines=1-2", 200, 0, 2047},
		{"bytes=99999999999999999999-", 200, 0, 2047},
	}
	for _, test := range tests {
		t.Run(test.header, func(t *testing.T) {
			r := do(t, f.url, "GET", path, nil, header("Range", test.header)).want(t, test.status)
			switch test.status {
			case 416:
				r.wantHeader(t, "Content-Range", "bytes */2048")
				return
			case 206:
				r.wantHeader(t, "Content-Range", fmt.Sprintf("bytes %d-%d/2048", test.first, test.last))
			}
			if !bytes.Equal(r.body, content[test.first:test.last+1]) {
				t.Errorf("got %d other bytes", len(r.body))
			}
		})
	}
	etag := do(t, f.url, "HEAD", path, nil).header.Get("ETag")
	do(t, f.url, "GET", path, nil, header("If-None-Match", etag)).want(t, 304)
	do(t, f.url, "GET", path, nil, header("Range", "bytes=0-1"), header("If-Range", etag)).want(t, 206)
	do(t, f.url, "GET", path, nil, header("Range", "bytes=0-1"), header("If-Range", `"other"`)).want(t, 200)
}

func TestUploadBelongsToItsRepository(t *testing.T) {
	f := start(t, nil)
	at := begin(t, f.url, "a", "")
	elsewhere := strings.Replace(at, "/v2/a/", "/v2/b/", 1)
	do(t, f.url, "PATCH", elsewhere, []byte("x")).wantError(t, 404, "BLOB_UPLOAD_UNKNOWN")
	do(t, f.url, "DELETE", elsewhere, nil).wantError(t, 404, "BLOB_UPLOAD_UNKNOWN")
	do(t, f.url, "GET", at, nil).want(t, 204).wantHeader(t, "Range", "0-0")
}

func TestBadChunksAreRefused(t *testing.T) {
	f := start(t, nil)
	at := begin(t, f.url, "a", "")
	for _, value := range []string{"-", "0", "0-", "-1", "1-0", "a-b", "0-99999999999999999999", "bytes */5"} {
		do(t, f.url, "PATCH", at, []byte("x"), header("Content-Range", value)).wantError(t, 400, "BLOB_UPLOAD_INVALID")
	}
	for _, method := range []string{"PATCH", "PUT"} {
		do(t, f.url, method, withDigest(at, digest.FromString("x")), []byte("x"), header("Content-Range", "1-1")).
			wantError(t, 416, "BLOB_UPLOAD_INVALID")
	}
	do(t, f.url, "PATCH", at, []byte("xyz"), header("Content-Range", "0-1")).wantError(t, 400, "SIZE_INVALID")
	do(t, f.url, "PATCH", at, []byte("xyz"), header("Content-Range", "0-1"), unsized).wantError(t, 400, "BLOB_UPLOAD_INVALID")
	do(t, f.url, "PATCH", at, []byte("xyz"), header("Content-Range", "0-5"), unsized).wantError(t, 400, "BLOB_UPLOAD_INVALID")
	do(t, f.url, "PATCH", at, []byte("xyz"), header("Content-Range", "bytes 0-2/10")).want(t, 202)
	do(t, f.url, "PUT", withDigest(at, digest.FromString("xyz")), nil).want(t, 201)
}
