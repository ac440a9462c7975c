package registry_test

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// algorithms are run through by every test of pushing blobs.
var algorithms = []digest.Algorithm{digest.SHA256, digest.SHA512}

func TestBlobIsPushed(t *testing.T) {
	f := start(t, nil)
	content := bytes.Repeat([]byte("0123456789abcdef"), 100)
	ways := map[string]func(*testing.T, string, []byte, digest.Digest) reply{
		"post": func(t *testing.T, name string, content []byte, d digest.Digest) reply {
			return do(t, f.url, "POST", withDigest("/v2/"+name+"/blobs/uploads/", d), content)
		},
		"post and put": func(t *testing.T, name string, content []byte, d digest.Digest) reply {
			return do(t, f.url, "PUT", withDigest(begin(t, f.url, name, ""), d), content)
		},
		"post without slash, put unsized": func(t *testing.T, name string, content []byte, d digest.Digest) reply {
			at := do(t, f.url, "POST", "/v2/"+name+"/blobs/uploads", nil).want(t, 202).location()
			return do(t, f.url, "PUT", withDigest(at, d), content, unsized)
		},
		"stream": func(t *testing.T, name string, content []byte, d digest.Digest) reply {
			at := begin(t, f.url, name, "")
			at = do(t, f.url, "PATCH", at, content, unsized).want(t, 202).location()
			return do(t, f.url, "PUT", withDigest(at, d), nil)
		},
		"stream, algorithm announced": func(t *testing.T, name string, content []byte, d digest.Digest) reply {
			at := begin(t, f.url, name, "?digest-algorithm="+string(d.Algorithm()))
			at = do(t, f.url, "PATCH", at, content, unsized).want(t, 202).location()
			return do(t, f.url, "PUT", withDigest(at, d), nil)
		},
		"chunks": func(t *testing.T, name string, content []byte, d digest.Digest) reply {
			at := begin(t, f.url, name, "")
			for i, chunk := range split(content, 3) {
				at = do(t, f.url, "PATCH", at, chunk.bytes, chunk.header).want(t, 202).
					wantHeader(t, "Range", fmt.Sprintf("0-%d", chunk.last)).location()
				do(t, f.url, "GET", at, nil).want(t, 204).wantHeader(t, "Range", fmt.Sprintf("0-%d", chunk.last))
				_ = i
			}
			return do(t, f.url, "PUT", withDigest(at, d), nil)
		},
		"chunks, the last with put": func(t *testing.T, name string, content []byte, d digest.Digest) reply {
			at := begin(t, f.url, name, "")
			chunks := split(content, 3)
			for _, chunk := range chunks[:2] {
				at = do(t, f.url, "PATCH", at, chunk.bytes, chunk.header).want(t, 202).location()
			}
			return do(t, f.url, "PUT", withDigest(at, d), chunks[2].bytes, chunks[2].header)
		},
		"chunks out of order": func(t *testing.T, name string, content []byte, d digest.Digest) reply {
			at := begin(t, f.url, name, "")
			chunks := split(content, 3)
			for i, chunk := range chunks {
				wrong := chunks[(i+1)%3]
				do(t, f.url, "PATCH", at, wrong.bytes, wrong.header).wantError(t, 416, "BLOB_UPLOAD_INVALID")
				do(t, f.url, "PUT", withDigest(at, d), wrong.bytes, wrong.header).wantError(t, 416, "BLOB_UPLOAD_INVALID")
				at = do(t, f.url, "PATCH", at, chunk.bytes, chunk.header).want(t, 202).location()
			}
			return do(t, f.url, "PUT", withDigest(at, d), nil)
		},
	}
	for way, push := range ways {
		for _, algorithm := range algorithms {
			t.Run(way+" "+string(algorithm), func(t *testing.T) {
				name := "blobs/" + strings.ReplaceAll(strings.ReplaceAll(way, " ", "-"), ",", "") + "/" + string(algorithm)
				content := append([]byte(name), content...)
				d := algorithm.FromBytes(content)
				do(t, f.url, "GET", "/v2/"+name+"/blobs/"+string(d), nil).wantError(t, 404, "BLOB_UNKNOWN")
				r := push(t, name, content, d).want(t, 201).wantHeader(t, "Docker-Content-Digest", string(d))
				wantBlob(t, f.url, r.location(), content, d)
				wantBlob(t, f.url, "/v2/"+name+"/blobs/"+string(d), content, d)
				do(t, f.url, "DELETE", "/v2/"+name+"/blobs/"+string(d), nil).want(t, 202)
				do(t, f.url, "HEAD", "/v2/"+name+"/blobs/"+string(d), nil).want(t, 404)
				do(t, f.url, "DELETE", "/v2/"+name+"/blobs/"+string(d), nil).wantError(t, 404, "BLOB_UNKNOWN")
			})
		}
	}
}

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

func TestSmallestBlobs(t *testing.T) {
	f := start(t, nil)
	for _, content := range []string{"", "{}"} {
		d := pushBlob(t, f.url, "a", []byte(content))
		wantBlob(t, f.url, "/v2/a/blobs/"+string(d), []byte(content), d)
		at := begin(t, f.url, "b", "")
		do(t, f.url, "PUT", withDigest(at, d), []byte(content)).want(t, 201)
		wantBlob(t, f.url, "/v2/b/blobs/"+string(d), []byte(content), d)
	}
}

func TestWrongDigestIsRefused(t *testing.T) {
	f := start(t, nil)
	content, d := []byte("content"), digest.FromString("something else")
	push := map[string]func() reply{
		"post": func() reply { return do(t, f.url, "POST", withDigest("/v2/a/blobs/uploads/", d), content) },
		"put":  func() reply { return do(t, f.url, "PUT", withDigest(begin(t, f.url, "a", ""), d), content) },
		"patch": func() reply {
			at := begin(t, f.url, "a", "")
			do(t, f.url, "PATCH", at, content).want(t, 202)
			return do(t, f.url, "PUT", withDigest(at, d), nil)
		},
		"rehashed": func() reply {
			at := begin(t, f.url, "a", "")
			do(t, f.url, "PATCH", at, content).want(t, 202)
			return do(t, f.url, "PUT", withDigest(at, digest.SHA512.FromString("something else")), nil)
		},
	}
	for way, push := range push {
		t.Run(way, func(t *testing.T) { push().wantError(t, 400, "DIGEST_INVALID") })
	}
	do(t, f.url, "HEAD", "/v2/a/blobs/"+string(d), nil).want(t, 404)
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
}

func TestBlobRanges(t *testing.T) {
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
		{"bytes=500-1499", 206, 500, 1499},
		{"bytes=500-", 206, 500, 2047},
		{"bytes=-500", 206, 1548, 2047},
		{"bytes=-5000", 206, 0, 2047},
		{"bytes=2000-5000", 206, 2000, 2047},
		{"bytes=0-0", 206, 0, 0},
		{"bytes=2047-2047", 206, 2047, 2047},
		{"bytes=500-0", 416, 0, 0},
		{"bytes=5000-10000", 416, 0, 0},
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

func TestBlobMount(t *testing.T) {
	f := start(t, nil)
	content := []byte("content")
	d := pushBlob(t, f.url, "from", content)
	mount := func(name, from string) reply {
		return do(t, f.url, "POST", "/v2/"+name+"/blobs/uploads/?mount="+string(d)+from, nil)
	}
	r := mount("to", "&from=from").want(t, 201).wantHeader(t, "Docker-Content-Digest", string(d))
	wantBlob(t, f.url, r.location(), content, d)
	r = mount("to/anonymous", "").want(t, 201)
	wantBlob(t, f.url, r.location(), content, d)

	r = mount("to/fallback", "&from=elsewhere").want(t, 202)
	do(t, f.url, "HEAD", "/v2/to/fallback/blobs/"+string(d), nil).want(t, 404)
	do(t, f.url, "PUT", withDigest(r.location(), d), content).want(t, 201)
	mount("to", "&from=Not/Valid").wantError(t, 400, "NAME_INVALID")
}

func TestUploadIsCancelled(t *testing.T) {
	f := start(t, nil)
	at := begin(t, f.url, "a", "")
	do(t, f.url, "PATCH", at, []byte("content")).want(t, 202)
	do(t, f.url, "DELETE", at, nil).want(t, 204)
	for _, method := range []string{"GET", "PATCH", "DELETE"} {
		do(t, f.url, method, at, nil).wantError(t, 404, "BLOB_UPLOAD_UNKNOWN")
	}
	do(t, f.url, "PUT", withDigest(at, digest.FromString("content")), nil).wantError(t, 404, "BLOB_UPLOAD_UNKNOWN")
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
	for _, value := range []string{"", "-", "0", "0-", "-1", "1-0", "a-b", "0-99999999999999999999", "bytes */5"} {
		if value == "" {
			continue
		}
		do(t, f.url, "PATCH", at, []byte("x"), header("Content-Range", value)).wantError(t, 400, "BLOB_UPLOAD_INVALID")
	}
	do(t, f.url, "PATCH", at, []byte("xyz"), header("Content-Range", "0-1")).wantError(t, 400, "SIZE_INVALID")
	do(t, f.url, "PATCH", at, []byte("xyz"), header("Content-Range", "0-1"), unsized).wantError(t, 400, "BLOB_UPLOAD_INVALID")
	do(t, f.url, "PATCH", at, []byte("xyz"), header("Content-Range", "0-5"), unsized).wantError(t, 400, "BLOB_UPLOAD_INVALID")
	do(t, f.url, "PATCH", at, []byte("xyz"), header("Content-Range", "bytes 0-2/10")).want(t, 202)
	do(t, f.url, "PUT", withDigest(at, digest.FromString("xyz")), nil).want(t, 201)
}
