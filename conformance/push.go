package main

import (
	"fmt"
	"net/http"
	"strconv"

	"github.com/opencontainers/go-digest"
)

// way is one of the ways to push a blob. push returns the last answer, which
// decides; what came before it is checked.
type way struct {
	name    string
	end     string
	level   level
	section string
	dev     bool
	push    func(t *trial, repo string, content []byte, d digest.Digest) *answer
}

// chunksPerBlob is how many chunks the ways that send chunks make of a blob.
const chunksPerBlob = 3

var ways = []way{
	{"post", "end-4b", may, "Single POST", false, pushByPost},
	{"post and put", "end-6", must, "POST then PUT", false, pushByPut},
	{"post and put, unsized", "end-6", should, "POST then PUT", false, pushByUnsizedPut},
	{"one chunk", "end-5", must, "Pushing a blob in chunks", false, pushOneChunk},
	{"chunks", "end-5", must, "Pushing a blob in chunks", false, pushChunks},
	{"chunks, last with put", "end-6", must, "Pushing a blob in chunks", false, pushLastWithPut},
	{"stream", "end-5", should, "Pushing a blob in chunks", false, pushStream},
	{"stream, algorithm announced", "end-4c", should, "Pushing a blob in chunks", true, pushAnnounced},
	{"chunks, algorithm announced", "end-4c", should, "Pushing a blob in chunks", true, pushChunksAnnounced},
}

func pushByPost(t *trial, repo string, content []byte, d digest.Digest) *answer {
	a := t.do("POST", withDigest(uploadsPath(repo), d), content, octets)
	if a.is(http.StatusAccepted) {
		t.skipf("the registry wants a PUT: it does not support pushing with one POST")
	}
	return a
}

func pushByPut(t *trial, repo string, content []byte, d digest.Digest) *answer {
	return t.do("PUT", withDigest(t.begin(repo), d), content, octets)
}

func pushByUnsizedPut(t *trial, repo string, content []byte, d digest.Digest) *answer {
	return t.do("PUT", withDigest(t.begin(repo), d), content, octets, unsized)
}

func pushOneChunk(t *trial, repo string, content []byte, d digest.Digest) *answer {
	at := t.sendChunks(t.begin(repo), split(content, 1))
	return t.do("PUT", withDigest(at, d), nil)
}

func pushChunks(t *trial, repo string, content []byte, d digest.Digest) *answer {
	at := t.sendChunks(t.begin(repo), split(content, chunksPerBlob))
	return t.do("PUT", withDigest(at, d), nil)
}

func pushLastWithPut(t *trial, repo string, content []byte, d digest.Digest) *answer {
	chunks := split(content, chunksPerBlob)
	last := chunks[chunksPerBlob-1]
	at := t.sendChunks(t.begin(repo), chunks[:chunksPerBlob-1])
	return t.do("PUT", withDigest(at, d), last.bytes, octets, last.header())
}

func pushStream(t *trial, repo string, content []byte, d digest.Digest) *answer {
	return t.stream(t.begin(repo), content, d)
}

func pushAnnounced(t *trial, repo string, content []byte, d digest.Digest) *answer {
	return t.stream(t.beginAt(withAlgorithm(repo, d.Algorithm())), content, d)
}

func pushChunksAnnounced(t *trial, repo string, content []byte, d digest.Digest) *answer {
	at := t.beginAt(withAlgorithm(repo, d.Algorithm()))
	at = t.sendChunks(at, split(content, chunksPerBlob))
	return t.do("PUT", withDigest(at, d), nil)
}

func withAlgorithm(repo string, a digest.Algorithm) string {
	return withQuery(uploadsPath(repo), "digest-algorithm", string(a))
}

// begin begins an upload and returns its Location.
func (t *trial) begin(repo string) string { return t.beginAt(uploadsPath(repo)) }

func (t *trial) beginAt(path string) string {
	return t.do("POST", path, nil).want(http.StatusAccepted).location()
}

// stream sends content in one PATCH of unknown length, then ends the upload.
func (t *trial) stream(at string, content []byte, d digest.Digest) *answer {
	at = t.do("PATCH", at, content, octets, unsized).want(http.StatusAccepted).location()
	return t.do("PUT", withDigest(at, d), nil)
}

// sendChunks sends chunks in their order and returns the last Location.
func (t *trial) sendChunks(at string, chunks []chunk) string {
	for _, c := range chunks {
		at = t.do("PATCH", at, c.bytes, octets, c.header()).want(http.StatusAccepted).
			wantHeader("Range", c.received()).location()
	}
	return at
}

// chunk is a part of a blob.
type chunk struct {
	bytes []byte
	first int // offset of its first byte
}

func (c chunk) last() int { return c.first + len(c.bytes) - 1 }

// header says where the chunk belongs.
func (c chunk) header() option {
	return header("Content-Range", fmt.Sprintf("%d-%d", c.first, c.last()))
}

// received is the Range of an upload that has all up to this chunk.
func (c chunk) received() string { return fmt.Sprintf("0-%d", c.last()) }

// split cuts content in n chunks of the same length; the last may be shorter.
func split(content []byte, n int) []chunk {
	length := (len(content) + n - 1) / n
	var chunks []chunk
	for first := 0; first < len(content); first += length {
		chunks = append(chunks, chunk{content[first:min(first+length, len(content))], first})
	}
	return chunks
}

// smallChunk is how long chunks are, in bytes, if the registry does not want
// longer ones.
const smallChunk = 1024

// newBlob returns content that is long enough to be sent in chunks.
func (t *trial) newBlob(a digest.Algorithm) ([]byte, digest.Digest) {
	content := random(chunksPerBlob*t.chunkLength() - 5)
	return content, a.FromBytes(content)
}

// chunkLength returns how long a chunk has to be, in bytes.
func (t *trial) chunkLength() int {
	if t.minChunk > 0 {
		return t.minChunk
	}
	t.minChunk = smallChunk
	a := t.do("POST", uploadsPath(t.repo), nil).want(http.StatusAccepted)
	t.do("DELETE", a.location(), nil)
	if text := a.header.Get(headerChunk); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			a.failf(headerChunk+" to be a number of bytes", "%q", text)
		}
		t.minChunk = max(n, smallChunk)
	}
	return t.minChunk
}

// pushBlob pushes a blob the way that every registry supports. It is there
// until the test ends.
func (t *trial) pushBlob(repo string, a digest.Algorithm, content []byte) digest.Digest {
	d := a.FromBytes(content)
	pushByPut(t, repo, content, d).want(http.StatusCreated)
	t.deleteLater(blobPath(repo, d))
	return d
}
