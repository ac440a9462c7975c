package main

import (
	"fmt"
	"net/http"

	"github.com/opencontainers/go-digest"
)

// rangeLength is how long the blob is that ranges are asked of, in bytes.
const rangeLength = 2048

// rangeGroup asks for parts of a blob (RFC 9110, section 14).
func rangeGroup(a digest.Algorithm) group {
	g := group{name: "ranges-" + string(a)}
	for _, c := range []struct {
		text        string
		first, last int // of the bytes that should come
	}{
		{"500-1499", 500, 1499},
		{"500-", 500, rangeLength - 1},
		{"-500", rangeLength - 500, rangeLength - 1},
		{"2000-5000", 2000, rangeLength - 1},
		{"0-0", 0, 0},
		{"-5000", 0, rangeLength - 1},
	} {
		g.tests = append(g.tests, test{c.text, "end-2", should, "Pulling blobs", false, func(t *trial) {
			content := random(rangeLength)
			part := content[c.first : c.last+1]
			got := t.getRange(content, a, c.text).want(http.StatusPartialContent).wantLength(len(part)).wantBody(part)
			known := fmt.Sprintf("bytes %d-%d/%d", c.first, c.last, rangeLength)
			if got.header.Get("Content-Range") != fmt.Sprintf("bytes %d-%d/*", c.first, c.last) {
				got.wantHeader("Content-Range", known)
			}
		}})
	}
	// The RFC lets 500-0 be ignored too; the OCI's suite does not.
	for _, text := range []string{"500-0", "5000-10000", fmt.Sprintf("%d-", rangeLength)} {
		g.tests = append(g.tests, test{text, "end-2", should, "Pulling blobs", false, func(t *trial) {
			t.getRange(random(rangeLength), a, text).want(http.StatusRequestedRangeNotSatisfiable)
		}})
	}
	return g
}

// getRange pushes a blob and asks for a range of it.
func (t *trial) getRange(content []byte, a digest.Algorithm, text string) *answer {
	d := t.pushBlob(t.repo, a, content)
	got := t.do("GET", blobPath(t.repo, d), nil, header("Range", "bytes="+text))
	if got.is(http.StatusOK) {
		t.skipf("the registry does not support ranges: it sent the whole blob")
	}
	return got
}
