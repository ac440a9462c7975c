package main

import (
	"net/http"

	"github.com/opencontainers/go-digest"
)

// blobGroup pushes blobs in each way, pulls and deletes them.
func blobGroup(a digest.Algorithm) group {
	g := group{"blobs-" + string(a), []test{
		{"get missing", "end-2", must, "Pulling blobs", false, func(t *trial) {
			t.do("GET", blobPath(t.repo, a.FromBytes(random(16))), nil).want(http.StatusNotFound)
		}},
		{"head missing", "end-2", must, "Checking if content exists in the registry", false, func(t *trial) {
			t.do("HEAD", blobPath(t.repo, a.FromBytes(random(16))), nil).want(http.StatusNotFound)
		}},
		{"delete missing", "end-10", must, "Deleting Blobs", false, func(t *trial) {
			t.delete(blobPath(t.repo, a.FromBytes(random(16)))).want(http.StatusNotFound)
		}},
	}}
	for _, w := range ways {
		g.tests = append(g.tests, test{w.name, w.end, w.level, w.section, w.dev, func(t *trial) {
			content, d := t.newBlob(a)
			t.pushAndPull(w, content, d)
		}})
	}
	return group{g.name, append(g.tests, moreBlobTests(a)...)}
}

func moreBlobTests(a digest.Algorithm) []test {
	return []test{
		{"empty blob", "end-6", must, "POST then PUT", false, func(t *trial) {
			t.pushAndPull(way{push: pushByPut}, []byte{}, a.FromString(""))
		}},
		{"smallest JSON", "end-6", must, "POST then PUT", false, func(t *trial) {
			t.pushAndPull(way{push: pushByPut}, []byte(emptyJSON), a.FromString(emptyJSON))
		}},
		{"16 MiB", "end-6", must, "POST then PUT", false, func(t *trial) {
			content := random(16 << 20)
			t.pushAndPull(way{push: pushByPut}, content, a.FromBytes(content))
		}},
		{"pushed twice", "end-6", must, "POST then PUT", false, func(t *trial) {
			content, _ := t.newBlob(a)
			t.pushBlob(t.repo, a, content)
			t.wantBlob(t.repo, content, t.pushBlob(t.repo, a, content))
		}},
		{"location is pullable", "end-6", must, "POST then PUT", false, func(t *trial) {
			content, d := t.newBlob(a)
			at := pushByPut(t, t.repo, content, d).want(http.StatusCreated).location()
			t.deleteLater(blobPath(t.repo, d))
			t.do("GET", at, nil).want(http.StatusOK).wantBody(content)
		}},
		{"digest header", "end-2", must, "Pulling blobs", true, func(t *trial) {
			content, _ := t.newBlob(a)
			d := t.pushBlob(t.repo, a, content)
			for _, method := range []string{"GET", "HEAD"} {
				t.do(method, blobPath(t.repo, d), nil).want(http.StatusOK).wantHeader(headerDigest, string(d))
			}
		}},
		{"delete", "end-10", must, "Deleting Blobs", false, func(t *trial) {
			content, _ := t.newBlob(a)
			d := t.pushBlob(t.repo, a, content)
			t.delete(blobPath(t.repo, d)).want(http.StatusAccepted)
			t.wantGone(blobPath(t.repo, d))
		}},
		{"push after delete", "end-10", must, "Deleting Blobs", false, func(t *trial) {
			content, _ := t.newBlob(a)
			d := t.pushBlob(t.repo, a, content)
			t.delete(blobPath(t.repo, d)).want(http.StatusAccepted)
			t.wantBlob(t.repo, content, t.pushBlob(t.repo, a, content))
		}},
		{"not in another repository", "end-2", must, "Pulling blobs", false, func(t *trial) {
			content, _ := t.newBlob(a)
			d := t.pushBlob(t.repo, a, content)
			t.wantGone(blobPath(t.other, d))
		}},
	}
}

// pushAndPull pushes a blob in a way, and pulls it.
func (t *trial) pushAndPull(w way, content []byte, d digest.Digest) {
	w.push(t, t.repo, content, d).want(http.StatusCreated).wantDigest(d).location()
	t.deleteLater(blobPath(t.repo, d))
	t.wantBlob(t.repo, content, d)
}

// wantBlob fails the test unless HEAD and GET find a blob.
func (t *trial) wantBlob(repo string, content []byte, d digest.Digest) {
	t.do("HEAD", blobPath(repo, d), nil).want(http.StatusOK).wantDigest(d).wantLength(len(content))
	t.do("GET", blobPath(repo, d), nil).want(http.StatusOK).wantDigest(d).wantBody(content)
}

// wantGone fails the test unless neither GET nor HEAD finds what is at a path.
func (t *trial) wantGone(path string) {
	t.do("HEAD", path, nil).want(http.StatusNotFound)
	t.do("GET", path, nil).want(http.StatusNotFound)
}

// delete deletes content, and skips the test where the registry deletes none,
// which it has to say with one of two statuses.
func (t *trial) delete(path string) *answer {
	a := t.do("DELETE", path, nil)
	if a.is(http.StatusMethodNotAllowed, http.StatusBadRequest) {
		t.skipf("the registry does not delete this: status %d %s", a.status, shorten(printable(a.body)))
	}
	return a
}
