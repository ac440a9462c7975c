package main

import "net/http"

// deleteGroup looks at what deleting leaves, at once.
func deleteGroup() group {
	return group{"deletes", []test{
		{"blob pushed again", "end-10", must, "Deleting Blobs", false, func(t *trial) {
			content := random(smallChunk)
			d := t.pushBlob(t.repo, algorithms[0], content)
			for range 3 {
				t.delete(blobPath(t.repo, d)).want(http.StatusAccepted)
				t.wantGone(blobPath(t.repo, d))
				pushByPut(t, t.repo, content, d).want(http.StatusCreated)
				t.wantBlob(t.repo, content, d)
			}
		}},
		{"blob twice", "end-10", must, "Deleting Blobs", false, func(t *trial) {
			d := t.pushBlob(t.repo, algorithms[0], random(smallChunk))
			t.delete(blobPath(t.repo, d)).want(http.StatusAccepted)
			t.delete(blobPath(t.repo, d)).want(http.StatusNotFound)
		}},
		{"blob of one repository", "end-10", must, "Deleting Blobs", false, func(t *trial) {
			content := random(smallChunk)
			d := t.pushBlob(t.repo, algorithms[0], content)
			t.pushBlob(t.other, algorithms[0], content)
			t.delete(blobPath(t.repo, d)).want(http.StatusAccepted)
			t.wantGone(blobPath(t.repo, d))
			t.wantBlob(t.other, content, d)
		}},
		{"manifest pushed again", "end-9", must, "Deleting Manifests", false, func(t *trial) {
			m := t.pushTagged("again")[0]
			for range 3 {
				t.delete(manifestPath(t.repo, string(m.digest))).want(http.StatusAccepted)
				t.wantGone(manifestPath(t.repo, m.tag))
				t.putManifest(m).want(http.StatusCreated)
				t.wantManifest(m, m.tag)
			}
		}},
		{"manifest twice", "end-9", must, "Deleting Manifests", false, func(t *trial) {
			m := t.pushTagged("twice")[0]
			t.delete(manifestPath(t.repo, string(m.digest))).want(http.StatusAccepted)
			t.delete(manifestPath(t.repo, string(m.digest))).want(http.StatusNotFound)
		}},
	}}
}
