package metatest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/registry/metadata"
)

func testManifest(t *testing.T, f *fixture) {
	d := f.blob("a", "one")
	p := put("a", "{\x00\xff not even JSON", layer(d), "v1", "v2")
	p.Manifest.Subject = digestOf("subject")
	f.must(f.PutManifest(f.ctx, p))
	want := p.Manifest
	want.Created = f.clock.Now()
	for _, tag := range []string{"v1", "v2"} {
		got, err := f.Tagged(f.ctx, "a", tag)
		f.must(err)
		same(t, got, want)
	}
	got, err := f.Manifest(f.ctx, "a", want.Digest)
	f.must(err)
	same(t, got, want)
	want.Raw = nil
	got, err = f.StatManifest(f.ctx, "a", want.Digest)
	f.must(err)
	same(t, got, want)
	got, err = f.StatTagged(f.ctx, "a", "v2")
	f.must(err)
	same(t, got, want)
	list, err := f.Manifests(f.ctx, "a", "", 10)
	f.must(err)
	same(t, list, []metadata.Manifest{want})
	f.clock.Pass(time.Hour)
	f.must(f.PutManifest(f.ctx, p)) // again, and nothing changes
	list, err = f.Manifests(f.ctx, "a", "", 10)
	f.must(err)
	same(t, list, []metadata.Manifest{want})
	list, err = f.Manifests(f.ctx, "a", want.Digest, 10)
	f.must(err)
	same(t, len(list), 0)
}

func testMissingBlobs(t *testing.T, f *fixture) {
	held := f.blob("a", "one")
	f.blob("b", "two") // elsewhere does not count
	refs := append(layer(held), metadata.Reference{Digest: digestOf("two"), Kind: metadata.RefConfig})
	p := put("a", "manifest", refs, "v1")
	err := f.PutManifest(f.ctx, p)
	var missing *metadata.MissingError
	if !errors.As(err, &missing) {
		t.Fatalf("got %v, want a MissingError", err)
	}
	same(t, missing.Digests, []digest.Digest{digestOf("two")})
	f.wantErr(err, metadata.ErrBlobUnknown)
	_, err = f.Manifest(f.ctx, "a", p.Manifest.Digest)
	f.wantErr(err, metadata.ErrManifestUnknown)
	_, err = f.Tagged(f.ctx, "a", "v1")
	f.wantErr(err, metadata.ErrManifestUnknown)
	f.must(f.MountBlob(f.ctx, "a", "b", digestOf("two")))
	f.must(f.PutManifest(f.ctx, p))
}

func testManifestScope(t *testing.T, f *fixture) {
	d := f.manifest("a", "manifest", "v1")
	for _, elsewhere := range []string{"b", "a/b", ""} {
		_, err := f.Manifest(f.ctx, elsewhere, d)
		f.wantErr(err, metadata.ErrManifestUnknown)
		_, err = f.StatTagged(f.ctx, elsewhere, "v1")
		f.wantErr(err, metadata.ErrManifestUnknown)
	}
	f.manifest("b", "manifest")
	f.must(f.DeleteManifest(f.ctx, "b", d, "tester"))
	_, err := f.Tagged(f.ctx, "a", "v1")
	f.must(err)
}

func testSparse(t *testing.T, f *fixture) {
	blob, child := digestOf("foreign"), digestOf("child")
	refs := []metadata.Reference{
		{Digest: blob, Kind: metadata.RefLayer, Sparse: true},
		{Digest: child, Kind: metadata.RefChild, Sparse: true},
	}
	index := f.putRefs("index", refs)
	f.blob("a", "foreign")
	f.wantErr(f.RemoveBlob(f.ctx, "a", blob), metadata.ErrInUse)
	f.manifest("a", "child")
	f.must(f.DeleteManifest(f.ctx, "a", index, "tester"))
	f.must(f.RemoveBlob(f.ctx, "a", blob))

	// An entry of an index may be a blob.
	f.blob("a", "foreign")
	f.putRefs("another", []metadata.Reference{{Digest: blob, Kind: metadata.RefChild, Sparse: true}})
	f.wantErr(f.RemoveBlob(f.ctx, "a", blob), metadata.ErrInUse)
}

func (f *fixture) putRefs(content string, refs []metadata.Reference) digest.Digest {
	f.T.Helper()
	p := put("a", content, refs)
	f.must(f.PutManifest(f.ctx, p))
	return p.Manifest.Digest
}

func testTags(t *testing.T, f *fixture) {
	start := f.clock.Now()
	one := f.manifest("a", "one", "v1")
	f.clock.Pass(time.Minute)
	f.manifest("a", "one", "v1") // no change, no event
	two := f.manifest("a", "two", "v1")
	got, err := f.Tagged(f.ctx, "a", "v1")
	f.must(err)
	same(t, got.Digest, two)
	f.clock.Pass(time.Minute)
	f.must(f.DeleteTag(f.ctx, "a", "v1", "remover"))
	f.wantErr(f.DeleteTag(f.ctx, "a", "v1", "remover"), metadata.ErrManifestUnknown)
	_, err = f.Tagged(f.ctx, "a", "v1")
	f.wantErr(err, metadata.ErrManifestUnknown)
	_, err = f.Manifest(f.ctx, "a", two)
	f.must(err)
	history, err := f.TagHistory(f.ctx, "a", "v1", 0, 10)
	f.must(err)
	ids := withoutIDs(history)
	want := []metadata.TagEvent{
		{Tag: "v1", Previous: two, Actor: "remover", At: start.Add(2 * time.Minute)},
		{Tag: "v1", Digest: two, Previous: one, Actor: "tester", At: start.Add(time.Minute)},
		{Tag: "v1", Digest: one, Actor: "tester", At: start},
	}
	same(t, history, want)
	history, err = f.TagHistory(f.ctx, "a", "v1", 0, 1)
	f.must(err)
	withoutIDs(history)
	same(t, history, want[:1])
	history, err = f.TagHistory(f.ctx, "a", "v1", ids[0], 1)
	f.must(err)
	withoutIDs(history)
	same(t, history, want[1:2])
	history, err = f.TagHistory(f.ctx, "a", "v1", ids[2], 1)
	f.must(err)
	same(t, len(history), 0)
}

// withoutIDs clears the IDs of events, which no test can foretell, and returns
// them.
func withoutIDs(history []metadata.TagEvent) []int64 {
	ids := make([]int64, len(history))
	for i := range history {
		ids[i], history[i].ID = history[i].ID, 0
	}
	return ids
}

func testListTags(t *testing.T, f *fixture) {
	_, err := f.Tags(f.ctx, "a", "", 10)
	f.wantErr(err, metadata.ErrRepositoryUnknown)
	f.manifest("a", "m", "b", "B", "a.1", "a-1", "_", "1")
	f.manifest("b", "m", "other")
	tags, err := f.Tags(f.ctx, "a", "", 10)
	f.must(err)
	same(t, tags, []string{"1", "B", "_", "a-1", "a.1", "b"}) // bytewise
	tags, err = f.Tags(f.ctx, "a", "B", 3)
	f.must(err)
	same(t, tags, []string{"_", "a-1", "a.1"})
	tags, err = f.Tags(f.ctx, "a", "not a tag of it", 3)
	f.must(err)
	same(t, len(tags), 0)
}

func testDeleteManifest(t *testing.T, f *fixture) {
	d := f.manifest("a", "one", "v1", "v2")
	other := f.manifest("a", "two", "v3")
	f.must(f.DeleteManifest(f.ctx, "a", d, "remover"))
	f.wantErr(f.DeleteManifest(f.ctx, "a", d, "remover"), metadata.ErrManifestUnknown)
	f.wantErr(f.DeleteManifest(f.ctx, "nowhere", d, "remover"), metadata.ErrManifestUnknown)
	tags, err := f.Tags(f.ctx, "a", "", 10)
	f.must(err)
	same(t, tags, []string{"v3"})
	got, err := f.Tagged(f.ctx, "a", "v3")
	f.must(err)
	same(t, got.Digest, other)
	history, err := f.TagHistory(f.ctx, "a", "v2", 0, 10)
	f.must(err)
	withoutIDs(history)
	same(t, history[0], metadata.TagEvent{Tag: "v2", Previous: d, Actor: "remover", At: f.clock.Now()})
}

func testDeleteChild(t *testing.T, f *fixture) {
	child := f.manifest("a", "child")
	index := f.putRefs("index", []metadata.Reference{{Digest: child, Kind: metadata.RefChild, Sparse: true}})
	f.must(f.DeleteManifest(f.ctx, "a", child, "tester"))
	_, err := f.Manifest(f.ctx, "a", index)
	f.must(err)
	f.manifest("a", "child")
	f.must(f.DeleteManifest(f.ctx, "a", index, "tester"))
	_, err = f.Manifest(f.ctx, "a", child)
	f.must(err)
}

func testReferrers(t *testing.T, f *fixture) {
	subject := digestOf("subject") // it does not exist
	kinds := map[digest.Digest]string{}
	for i := range 5 {
		p := put("a", fmt.Sprint("referrer", i), nil)
		p.Manifest.Subject = subject
		p.Manifest.ArtifactType = []string{"application/x", "application/y"}[i%2]
		f.must(f.PutManifest(f.ctx, p))
		kinds[p.Manifest.Digest] = p.Manifest.ArtifactType
	}
	f.manifest("a", "no referrer")
	for artifactType, want := range map[string]int{"": 5, "application/x": 3, "application/y": 2, "application/z": 0} {
		seen := 0
		var last digest.Digest
		for more := true; more; {
			page, again, err := f.Referrers(f.ctx, "a", subject, artifactType, last, 2)
			f.must(err)
			for _, m := range page {
				if m.Digest <= last || len(m.Raw) == 0 || artifactType != "" && kinds[m.Digest] != artifactType {
					t.Fatalf("%+v is no referrer of type %q after %s", m, artifactType, last)
				}
				last = m.Digest
				seen++
			}
			more = again
		}
		same(t, seen, want)
	}
	none, _, err := f.Referrers(f.ctx, "b", subject, "", "", 2)
	f.must(err)
	same(t, len(none), 0)
	none, _, err = f.Referrers(f.ctx, "a", "", "", "", 2)
	f.must(err)
	same(t, len(none), 0)
}

func testRepositories(t *testing.T, f *fixture) {
	f.blob("empty", "one") // it holds no manifest
	for _, name := range []string{"b", "a/b", "a"} {
		f.manifest(name, "m")
	}
	names, err := f.Repositories(f.ctx, "", 10)
	f.must(err)
	same(t, names, []string{"a", "a/b", "b"})
	names, err = f.Repositories(f.ctx, "a", 1)
	f.must(err)
	same(t, names, []string{"a/b"})
}

func testRender(t *testing.T, f *fixture) {
	want := metadata.Render{
		Derivation: digestOf("derivation"),
		Artifact:   digestOf("artifact"),
		Blob:       digestOf("disk"),
		Parameters: `{"format":"qcow2"}`,
		Created:    f.clock.Now(),
	}
	_, err := f.Render(f.ctx, "a", want.Derivation)
	f.wantErr(err, metadata.ErrRenderUnknown)
	f.wantErr(f.SaveRender(f.ctx, "a", want), metadata.ErrManifestUnknown)
	f.manifest("a", "artifact")
	f.wantErr(f.SaveRender(f.ctx, "a", want), metadata.ErrBlobUnknown)
	f.blob("a", "disk")
	f.must(f.SaveRender(f.ctx, "a", want))
	f.clock.Pass(time.Hour)
	f.must(f.SaveRender(f.ctx, "a", want))
	got, err := f.Render(f.ctx, "a", want.Derivation)
	f.must(err)
	same(t, got, want)
	_, err = f.Render(f.ctx, "b", want.Derivation)
	f.wantErr(err, metadata.ErrRenderUnknown)
	f.must(f.DeleteManifest(f.ctx, "a", want.Artifact, "tester"))
	_, err = f.Render(f.ctx, "a", want.Derivation)
	f.wantErr(err, metadata.ErrRenderUnknown)
}
