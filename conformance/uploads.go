package main

import (
	"net/http"

	"github.com/opencontainers/go-digest"
)

// uploadGroup looks at uploads on their way: their status, chunks in the wrong
// order, several at once, and cancelled ones.
func uploadGroup(a digest.Algorithm) group {
	const chunked = "Pushing a blob in chunks"
	return group{"uploads-" + string(a), []test{
		{"status", "end-13", must, chunked, false, func(t *trial) {
			content, d := t.newBlob(a)
			chunks := split(content, chunksPerBlob)
			at := t.begin(t.repo)
			for i, c := range chunks {
				at = t.sendChunks(at, chunks[i:i+1])
				at = t.do("GET", at, nil).want(http.StatusNoContent).wantHeader("Range", c.received()).location()
			}
			t.finish(at, content, d)
		}},
		{"chunks out of order", "end-5", must, chunked, false, func(t *trial) {
			content, d := t.newBlob(a)
			chunks := split(content, chunksPerBlob)
			at := t.sendChunks(t.begin(t.repo), chunks[:1])
			t.do("PATCH", at, chunks[2].bytes, octets, chunks[2].header()).want(http.StatusRequestedRangeNotSatisfiable)
			at = t.do("GET", at, nil).want(http.StatusNoContent).wantHeader("Range", chunks[0].received()).location()
			t.finish(t.sendChunks(at, chunks[1:]), content, d)
		}},
		{"chunk sent again", "end-5", must, chunked, false, func(t *trial) {
			content, d := t.newBlob(a)
			chunks := split(content, chunksPerBlob)
			at := t.sendChunks(t.begin(t.repo), chunks[:2])
			t.do("PATCH", at, chunks[1].bytes, octets, chunks[1].header()).want(http.StatusRequestedRangeNotSatisfiable)
			t.finish(t.sendChunks(at, chunks[2:]), content, d)
		}},
		{"first chunk not at 0", "end-5", must, chunked, false, func(t *trial) {
			content, d := t.newBlob(a)
			chunks := split(content, chunksPerBlob)
			at := t.begin(t.repo)
			t.do("PATCH", at, chunks[1].bytes, octets, chunks[1].header()).want(http.StatusRequestedRangeNotSatisfiable)
			t.finish(t.sendChunks(at, chunks), content, d)
		}},
		{"put of a chunk out of order", "end-6", must, chunked, true, func(t *trial) {
			content, d := t.newBlob(a)
			chunks := split(content, chunksPerBlob)
			at := t.sendChunks(t.begin(t.repo), chunks[:1])
			t.do("PUT", withDigest(at, d), chunks[2].bytes, octets, chunks[2].header()).want(http.StatusRequestedRangeNotSatisfiable)
			at = t.do("GET", at, nil).want(http.StatusNoContent).wantHeader("Range", chunks[0].received()).location()
			t.finish(t.sendChunks(at, chunks[1:]), content, d)
		}},
		{"two at once", "end-4a", must, "POST then PUT", false, func(t *trial) {
			content, d := t.newBlob(a)
			other, otherDigest := t.newBlob(a)
			chunks, otherChunks := split(content, chunksPerBlob), split(other, chunksPerBlob)
			at, otherAt := t.begin(t.repo), t.begin(t.repo)
			for i := range chunks {
				at = t.sendChunks(at, chunks[i:i+1])
				otherAt = t.sendChunks(otherAt, otherChunks[i:i+1])
			}
			t.finish(at, content, d)
			t.finish(otherAt, other, otherDigest)
		}},
		{"put without digest", "end-6", must, "POST then PUT", false, func(t *trial) {
			t.do("PUT", t.begin(t.repo), []byte("x"), octets).want(http.StatusBadRequest)
		}},
		{"status of an ended upload", "end-13", must, "Endpoints", false, func(t *trial) {
			content, d := t.newBlob(a)
			at := t.begin(t.repo)
			t.do("PUT", withDigest(at, d), content, octets).want(http.StatusCreated)
			t.deleteLater(blobPath(t.repo, d))
			t.do("GET", at, nil).want(http.StatusNotFound)
			t.do("PATCH", at, content, octets).want(http.StatusNotFound)
		}},
		{"cancel", "end-14", must, "Endpoints", true, func(t *trial) {
			content, d := t.newBlob(a)
			at := t.sendChunks(t.begin(t.repo), split(content, chunksPerBlob)[:1])
			t.do("DELETE", at, nil).want(http.StatusNoContent)
			t.do("GET", at, nil).want(http.StatusNotFound)
			t.do("PATCH", at, content, octets).want(http.StatusNotFound)
			t.do("PUT", withDigest(at, d), content, octets).want(http.StatusNotFound)
			t.wantGone(blobPath(t.repo, d))
		}},
		{"unknown algorithm announced", "end-4c", should, "Pushing blobs", true, func(t *trial) {
			t.do("POST", withAlgorithm(t.repo, "none+"+a), nil).want(http.StatusBadRequest)
		}},
	}}
}

// finish ends an upload that has all of its bytes.
func (t *trial) finish(at string, content []byte, d digest.Digest) {
	t.do("PUT", withDigest(at, d), nil).want(http.StatusCreated)
	t.deleteLater(blobPath(t.repo, d))
	t.wantBlob(t.repo, content, d)
}
