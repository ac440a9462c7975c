package main

import (
	"net/http"
	"strings"

	"github.com/opencontainers/go-digest"
)

// digestGroup pushes blobs with digests that are not theirs, and asks for
// digests that are none.
func digestGroup(a digest.Algorithm) group {
	g := group{name: "bad-digest-" + string(a)}
	for _, w := range ways {
		g.tests = append(g.tests, test{w.name, w.end, should, "Pushing blobs", w.dev, func(t *trial) {
			content, _ := t.newBlob(a)
			d := a.FromBytes(random(16))
			w.push(t, t.repo, content, d).want(http.StatusBadRequest)
			t.wantGone(blobPath(t.repo, d))
		}})
	}
	for _, bad := range invalidDigests(a) {
		g.tests = append(g.tests, bad.tests()...)
	}
	return g
}

// invalidDigest is a text where a digest should be.
type invalidDigest struct {
	name, text   string
	unregistered bool // it has the form of a digest, but nobody knows its algorithm
}

func invalidDigests(a digest.Algorithm) []invalidDigest {
	hex := a.FromBytes(random(16)).Encoded()
	return []invalidDigest{
		{"too short", string(a) + ":abc", false},
		{"no digits", string(a) + ":baddigeststring", false},
		{"upper case", string(a) + ":" + strings.ToUpper(hex[:len(hex)-1]) + "A", false},
		{"too long", string(a) + ":" + hex + "00", false},
		{"unknown algorithm", "none+" + string(a) + ":" + hex, true},
	}
}

// tests are the places that the digest is put in. A request that only asks may
// also be told that there is no such thing.
func (bad invalidDigest) tests() []test {
	asks := []int{http.StatusBadRequest, http.StatusNotFound}
	return []test{
		{bad.name + ", post", "end-4b", should, "Pushing blobs", false, func(t *trial) {
			a := t.do("POST", withQuery(uploadsPath(t.repo), "digest", bad.text), []byte("x"), octets)
			if a.is(http.StatusAccepted) {
				t.skipf("the registry does not support pushing with one POST")
			}
			a.want(http.StatusBadRequest)
		}},
		{bad.name + ", put", "end-6", should, "Pushing blobs", false, func(t *trial) {
			t.do("PUT", withQuery(t.begin(t.repo), "digest", bad.text), []byte("x"), octets).want(http.StatusBadRequest)
		}},
		{bad.name + ", get", "end-2", must, "Pulling blobs", false, func(t *trial) {
			t.do("GET", "/v2/"+t.repo+"/blobs/"+bad.text, nil).want(asks...)
		}},
		{bad.name + ", delete", "end-10", must, "Deleting Blobs", false, func(t *trial) {
			t.do("DELETE", "/v2/"+t.repo+"/blobs/"+bad.text, nil).want(append(asks, http.StatusMethodNotAllowed)...)
		}},
	}
}
