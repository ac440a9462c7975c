package metatest

import (
	"fmt"
	"testing"
	"time"

	"github.com/cloudlets/cloudlets/blobstore"
	"github.com/cloudlets/cloudlets/registry/metadata"
)

// take begins a journal and returns what it tells of.
func (f *fixture) take(limit int, size int64) (metadata.Journal, []string) {
	f.T.Helper()
	j, entries, err := f.TakeChanges(f.ctx, limit, size)
	f.must(err)
	var told []string
	for _, e := range entries {
		told = append(told, tell(e))
	}
	return j, told
}

func tell(e metadata.Entry) string {
	if e.Gone {
		return fmt.Sprintf("%s %s gone", e.Kind, e.Reference)
	}
	return fmt.Sprintf("%s %s %s", e.Kind, e.Reference, e.Digest)
}

func (f *fixture) wantTold(got []string, want ...string) {
	f.T.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		f.T.Fatalf("told\n%q, want\n%q", got, want)
	}
}

func (f *fixture) saveJournal(j metadata.Journal) {
	f.T.Helper()
	j.Key, j.Size = fmt.Sprint("journal ", j.Number), 1
	f.must(f.SaveJournal(f.ctx, j))
}

func (f *fixture) everything() (metadata.Journal, int) {
	f.T.Helper()
	n := 0
	j, err := f.Everything(f.ctx, func(metadata.Journal) error { return nil }, func(metadata.Entry) error {
		n++
		return nil
	})
	f.must(err)
	return j, n
}

func testChanges(_ *testing.T, f *fixture) {
	d := f.blob("a", "one")
	p := put("a", "m", layer(d), "v1")
	f.must(f.PutManifest(f.ctx, p))
	_, again := f.take(100, 1<<20)
	j, told := f.take(100, 1<<20) // for what was not saved comes again
	f.wantTold(again, told...)
	f.wantTold(told, "repository  ", "blob "+string(d)+" ", "manifest "+string(p.Manifest.Digest)+" ", "tag v1 "+string(p.Manifest.Digest))
	// What is changed while a journal is written is in the next one.
	f.must(f.DeleteTag(f.ctx, "a", "v1", "me"))
	f.saveJournal(j)
	next, told := f.take(100, 1<<20)
	f.wantTold(told, "tag v1 gone")
	if next.Previous != j.Number || next.Number <= j.Number {
		f.T.Fatalf("%+v follows %+v", next, j)
	}
	f.saveJournal(next)
	if _, told = f.take(100, 1<<20); told != nil {
		f.T.Fatalf("told %q after all was saved", told)
	}
}

func testBoundedChanges(_ *testing.T, f *fixture) {
	for i := range 5 {
		f.blob("a", fmt.Sprint(i))
	}
	seen := 0
	for _, bound := range []struct {
		limit, want int
		size        int64
	}{{3, 3, 1 << 20}, {100, 1, 1}, {100, 2, 1 << 20}} { // a repository and five blobs
		j, told := f.take(bound.limit, bound.size)
		if len(told) != bound.want {
			f.T.Fatalf("told %d with %+v", len(told), bound)
		}
		f.saveJournal(j)
		seen += len(told)
	}
	if n, err := f.Unjournaled(f.ctx, 10); err != nil || n != 0 || seen != 6 {
		f.T.Fatalf("%d are left of %d, %v", n, seen, err)
	}
}

// testOvertakenJournal lets two nodes write at once.
func testOvertakenJournal(_ *testing.T, f *fixture) {
	f.blob("a", "one")
	slow, _ := f.take(100, 1<<20)
	fast, told := f.take(100, 1<<20)
	slow.Key = "slow"
	f.wantErr(f.SaveJournal(f.ctx, slow), metadata.ErrConflict)
	f.saveJournal(fast)
	f.wantErr(f.SaveJournal(f.ctx, slow), metadata.ErrConflict)
	if len(told) != 2 {
		f.T.Fatalf("told %q", told)
	}
}

func testCompleteJournal(_ *testing.T, f *fixture) {
	f.blob("a", "one")
	first, _ := f.take(100, 1<<20)
	f.saveJournal(first)
	f.blob("a", "two") // in the complete one and nowhere else
	complete, n := f.everything()
	if !complete.Complete || n != 3 || complete.Previous != first.Number {
		f.T.Fatalf("%+v holds %d", complete, n)
	}
	f.blob("a", "three") // after its moment
	f.saveJournal(complete)
	next, told := f.take(100, 1<<20)
	f.wantTold(told, "blob "+string(digestOf("three"))+" ")
	if next.Base != complete.Number {
		f.T.Fatalf("%+v stands on %+v", next, complete)
	}
	f.saveJournal(next)
	journals, err := f.Journals(f.ctx)
	f.must(err)
	if len(journals) != 2 || !journals[0].Complete || journals[1].Complete {
		f.T.Fatalf("got %+v", journals)
	}
	f.clock.Pass(day + time.Second)
	keys, err := f.DueTrash(f.ctx, 10)
	if f.must(err); fmt.Sprint(keys) != fmt.Sprintf("[journal %d]", first.Number) {
		f.T.Fatalf("the trash has %q", keys)
	}
	unknown, err := f.UnknownObjects(f.ctx, []string{journals[0].Key, journals[1].Key, "stray"})
	if f.must(err); fmt.Sprint(unknown) != "[stray]" {
		f.T.Fatalf("unknown: %q", unknown)
	}
	f.must(f.ForgetJournals(f.ctx))
	if journals, err = f.Journals(f.ctx); err != nil || len(journals) != 0 {
		f.T.Fatalf("got %+v, %v", journals, err)
	}
}

func testRebuild(_ *testing.T, f *fixture) {
	f.must(f.BeginRebuild(f.ctx))
	f.must(f.RebuildBlobs(f.ctx, []blobstore.Record{record("one")}))
	entry := metadata.Entry{Kind: metadata.EntryBlob, Repository: "a", Reference: string(digestOf("one")), At: 5}
	f.must(f.RebuildEntries(f.ctx, []metadata.Entry{entry}))
	f.must(f.BeginRebuild(f.ctx)) // again, after it was cut off
	f.must(f.RebuildBlobs(f.ctx, []blobstore.Record{record("one")}))
	f.must(f.RebuildEntries(f.ctx, []metadata.Entry{entry}))
	last := f.clock.Now().Add(time.Hour).UnixMicro()
	f.must(f.EndRebuild(f.ctx, "store", last, []metadata.Journal{{Number: last, Key: "old"}}))
	f.wantErr(f.BeginRebuild(f.ctx), metadata.ErrNotEmpty)
	if id, err := f.Bound(f.ctx); err != nil || id != "store" {
		f.T.Fatalf("bound to %q, %v", id, err)
	}
	if _, err := f.Blob(f.ctx, "a", digestOf("one")); err != nil {
		f.T.Fatal(err)
	}
	complete, _ := f.everything()
	if complete.Number <= last {
		f.T.Fatalf("number %d does not come after %d", complete.Number, last)
	}
}
