package journal

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"go.uber.org/goleak"

	"github.com/cloudlets/cloudlets/blobstore"
	"github.com/cloudlets/cloudlets/registry/metadata"
)

// TestKeeperWritesUntilItIsStopped runs a keeper as a server does.
func TestKeeperWritesUntilItIsStopped(t *testing.T) {
	w := newWorld(t, "sqlite", "file", 0)
	w.tagged("a", "one", "v1")
	w.pushBlob("a", []byte("warm")) // what the database keeps open
	before := goleak.IgnoreCurrent()
	ctx, stop := context.WithCancel(w.ctx)
	done := make(chan struct{})
	go func() {
		w.keeper.Run(ctx)
		close(done)
	}()
	for left, complete := 1, false; left > 0 || !complete; time.Sleep(5 * time.Millisecond) {
		var err error
		left, err = w.meta.Unjournaled(w.ctx, 1)
		w.must(err)
		journals, err := w.meta.Journals(w.ctx)
		w.must(err)
		complete = len(journals) > 0 && journals[0].Complete
	}
	stop()
	<-done
	w.wantSound()
	goleak.VerifyNone(t, before, goleak.IgnoreAnyFunction("database/sql.(*DB).connectionOpener"))
}

func newFileWorld(t *testing.T) *world {
	t.Helper()
	w := newWorld(t, "sqlite", "file", 0)
	w.must(w.keeper.Complete(w.ctx))
	return w
}

// tagged pushes an image of one blob with a tag.
func (w *world) tagged(repository, content, tag string) digest.Digest {
	w.t.Helper()
	d := w.pushBlob(repository, []byte(content))
	w.putManifest(repository, "application/vnd.oci.image.manifest.v1+json", w.image(repository, "", d), tag)
	w.now = w.now.Add(time.Second)
	return d
}

// rebuild rebuilds a new database, whatever comes of it.
func (w *world) rebuild() Report {
	w.t.Helper()
	w.open()
	r, err := Rebuild(w.ctx, w.config(), "store")
	w.must(err)
	return r
}

// journals returns the journals in the store, by number.
func (w *world) journals() (all []blobstore.Object) {
	w.t.Helper()
	for o, err := range w.driver.List(w.ctx) {
		w.must(err)
		if o.Label.Kind == blobstore.Journal {
			all = append(all, o)
		}
	}
	return all
}

// last returns the object of the journal that was saved last.
func (w *world) last() string {
	w.t.Helper()
	journals, err := w.meta.Journals(w.ctx)
	w.must(err)
	return journals[len(journals)-1].Key
}

func (w *world) wantTag(repository, tag string, there bool) {
	w.t.Helper()
	if got := w.request("GET", "/v2/"+repository+"/manifests/"+tag, nil).Code == 200; got != there {
		w.t.Fatalf("tag %s of %s: there %v, want %v", tag, repository, got, there)
	}
}

func TestWhatHasNoBytesIsLeftOutAndTold(t *testing.T) {
	w := newFileWorld(t)
	lost := w.tagged("a", "lost", "v1")
	w.tagged("a", "kept", "v2")
	w.must(w.meta.SetHold(w.ctx, "a", metadata.Hold{Reference: "v1"}))
	w.flush()
	record, err := w.meta.LookupBlob(w.ctx, lost)
	w.must(err)
	w.must(w.driver.Remove(w.ctx, record.Key))
	r := w.rebuild()
	var kinds []string
	for _, l := range r.Lost {
		kinds = append(kinds, string(l.Kind))
	}
	if got := strings.Join(kinds, " "); got != "blob manifest tag hold" {
		t.Fatalf("lost %+v", r.Lost)
	}
	w.wantTag("a", "v1", false)
	w.wantTag("a", "v2", true)
	w.wantSound()
}

// TestOtherHistoryIsPassedOver restores an older copy of the database, goes on
// with that and then loses it: what happened in between never happened.
func TestOtherHistoryIsPassedOver(t *testing.T) {
	w := newFileWorld(t)
	w.tagged("a", "before", "v1")
	w.flush()
	backup := w.meta
	// What the copy does not know of is written by its twin.
	w.rebuild()
	w.tagged("a", "meanwhile", "v2")
	w.flush()
	w.must(w.keeper.Complete(w.ctx))
	w.tagged("a", "more", "v3")
	w.flush()
	w.use(backup)
	w.now = w.now.Add(time.Hour)
	w.tagged("a", "after", "v4")
	w.flush()
	if r := w.rebuild(); len(r.Lost)+len(r.Problems) > 0 {
		t.Fatalf("got %+v", r)
	}
	for tag, there := range map[string]bool{"v1": true, "v2": false, "v3": false, "v4": true} {
		w.wantTag("a", tag, there)
	}
}

// TestRestoredDatabaseBeginsAnew restores a copy that names journals which have
// been removed since.
func TestRestoredDatabaseBeginsAnew(t *testing.T) {
	w := newFileWorld(t)
	w.tagged("a", "before", "v1")
	w.flush()
	for _, o := range w.journals() {
		w.must(w.driver.Remove(w.ctx, o.Key))
	}
	if f := w.wantSound(); len(f.LostJournals) != 2 {
		t.Fatalf("got %+v", f)
	}
	w.must(w.keeper.verify(w.ctx))
	w.must(w.keeper.completeDue(w.ctx))
	w.rebuild()
	w.wantTag("a", "v1", true)
}

func TestDamagedJournalIsTold(t *testing.T) {
	for name, test := range map[string]struct {
		damaged  func(w *world) string // the object
		problems int
		v1       bool // there was before, v2 is in the last journal
		v2       bool
	}{
		"none":     {func(*world) string { return "" }, 0, true, true},
		"last":     {(*world).last, 1, true, false},
		"complete": {func(w *world) string { return w.complete() }, 1, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newFileWorld(t)
			w.tagged("a", "one", "v1")
			w.flush()
			w.must(w.keeper.Complete(w.ctx)) // the one before and its journals are in the trash
			w.tagged("a", "two", "v2")
			w.flush()
			if key := test.damaged(w); key != "" {
				w.damage(key)
			}
			r := w.rebuild()
			if len(r.Problems) != test.problems {
				t.Fatalf("got %+v", r)
			}
			w.wantTag("a", "v1", test.v1)
			w.wantTag("a", "v2", test.v2)
		})
	}
}

// complete returns the object of the last complete journal.
func (w *world) complete() string {
	w.t.Helper()
	journals, err := w.meta.Journals(w.ctx)
	w.must(err)
	return journals[0].Key
}

// damage removes the object of a journal, with nobody to tell of it but another
// one of its kind that holds nonsense.
func (w *world) damage(key string) {
	w.t.Helper()
	writer, err := w.driver.Create(w.ctx)
	w.must(err)
	_, err = writer.Write([]byte("nonsense"))
	w.must(err)
	_, err = writer.Seal(w.ctx, blobstore.Label{Digest: digest.FromString("sense"), Kind: blobstore.Journal})
	w.must(err)
	w.must(w.driver.Remove(w.ctx, key))
}

func TestStoreWithoutJournalIsRefused(t *testing.T) {
	w := newWorld(t, "sqlite", "file", 0)
	w.tagged("a", "one", "v1")
	w.open()
	if _, err := Rebuild(w.ctx, w.config(), "store"); !errors.Is(err, ErrNoJournal) {
		t.Fatalf("got %v", err)
	}
}

func TestDatabaseInUseIsNotRebuilt(t *testing.T) {
	w := newFileWorld(t)
	w.tagged("a", "one", "v1")
	w.flush()
	if _, err := Rebuild(w.ctx, w.config(), "store"); !errors.Is(err, metadata.ErrNotEmpty) {
		t.Fatalf("got %v", err)
	}
	w.wantTag("a", "v1", true)
}

func TestCompleteJournalIsDueByWeight(t *testing.T) {
	complete := metadata.Journal{Complete: true, Size: 1 << 20}
	small := make([]metadata.Journal, freeWeight/leastWeight+16)
	for name, test := range map[string]struct {
		journals []metadata.Journal
		want     bool
	}{
		"none":          {nil, true},
		"none complete": {small[:1], true},
		"complete":      {[]metadata.Journal{complete}, false},
		"few small":     {append([]metadata.Journal{complete}, small[:len(small)-1]...), false},
		"many small":    {append([]metadata.Journal{complete}, small...), true},
		"one large":     {[]metadata.Journal{complete, {Size: freeWeight + 1<<20}}, true},
	} {
		if got := due(test.journals); got != test.want {
			t.Errorf("%s: due %v", name, got)
		}
	}
}

func FuzzDecode(f *testing.F) {
	var b bytes.Buffer
	enc, err := newEncoder(&b)
	if err != nil {
		f.Fatal(err)
	}
	if err := errors.Join(enc.begin(metadata.Journal{Number: 7, Previous: 5, Base: 3}),
		enc.add(metadata.Entry{Kind: metadata.EntryManifest, Repository: "a", Reference: "x", Raw: []byte("raw")}), enc.Close()); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, content []byte) {
		d, err := newDecoder(bytes.NewReader(content))
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Fatalf("got %v", err)
			}
			return
		}
		defer d.Close()
		for {
			if _, err := d.next(); err != nil {
				if !errors.Is(err, io.EOF) && !errors.Is(err, ErrFormat) {
					t.Fatalf("got %v", err)
				}
				return
			}
		}
	})
}
