// Package blobtest is the contract of blob drivers as tests: every driver
// passes [TestDriver], so adding a driver adds no test code.
//
// What enters: a function that opens a driver over one place again and again.
// What leaves: test failures.
package blobtest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/blobstore"
	"github.com/cloudlets/cloudlets/extent"
)

// Open opens a driver over a place of the test's own. Calling it again is what
// a restart of the process is: everything acknowledged must still be there.
type Open func(t *testing.T) blobstore.Driver

// TestDriver checks a driver against the contract of [blobstore.Driver], and a
// store over it. place returns a new, empty place.
func TestDriver(t *testing.T, place func(t *testing.T) Open) {
	for name, test := range map[string]func(*testing.T, Open){
		"a sealed object survives a restart":           testSealed,
		"an unsealed object is not visible":            testUnsealed,
		"keys are never used twice":                    testUniqueKeys,
		"writing resumes at any earlier offset":        testResume,
		"resuming refuses what was lost":               testResumeLost,
		"a removed object is gone and removable again": testRemove,
		"an open object outlives its removal":          testRemoveWhileOpen,
		"listing tells sealed from unsealed":           testList,
		"foreign keys open nothing":                    testForeignKeys,
	} {
		t.Run(name, func(t *testing.T) { test(t, place(t)) })
	}
	t.Run("store", func(t *testing.T) { testStore(t, place) })
}

func label(content []byte) blobstore.Label {
	return blobstore.Label{Digest: digest.FromBytes(content), Kind: blobstore.Whole}
}

func create(t *testing.T, d blobstore.Driver, content []byte) blobstore.ObjectWriter {
	t.Helper()
	w, err := d.Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	return w
}

func seal(t *testing.T, w blobstore.ObjectWriter, l blobstore.Label) string {
	t.Helper()
	key, err := w.Seal(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func contentOf(t *testing.T, b extent.Blob) []byte {
	t.Helper()
	content, err := io.ReadAll(io.NewSectionReader(b, 0, b.Size()))
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func expect(t *testing.T, d blobstore.Driver, key string, want []byte) {
	t.Helper()
	b, err := d.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if got := contentOf(t, b); !bytes.Equal(got, want) || b.Size() != int64(len(want)) {
		t.Errorf("object %s holds %d bytes, want %d: %.40q", key, b.Size(), len(want), got)
	}
}

func expectMissing(t *testing.T, d blobstore.Driver, key string) {
	t.Helper()
	b, err := d.Open(t.Context(), key)
	if err == nil {
		b.Close()
	}
	if !errors.Is(err, blobstore.ErrNotFound) {
		t.Errorf("opening %s gave %v, want ErrNotFound", key, err)
	}
}

func testSealed(t *testing.T, open Open) {
	for _, content := range [][]byte{nil, []byte("a"), bytes.Repeat([]byte("0123456789"), 2<<20)} {
		d := open(t)
		w := create(t, d, content)
		key := seal(t, w, label(content))
		if err := w.Close(); err != nil {
			t.Errorf("Close after Seal: %v", err)
		}
		expect(t, d, key, content)
		expect(t, open(t), key, content)
	}
}

func testUnsealed(t *testing.T, open Open) {
	d := open(t)
	w := create(t, d, []byte("half"))
	defer w.Close()
	expectMissing(t, d, w.Key())
}

func testUniqueKeys(t *testing.T, open Open) {
	d := open(t)
	content := []byte("the same bytes")
	a := seal(t, create(t, d, content), label(content))
	b := seal(t, create(t, d, content), label(content))
	if a == b {
		t.Fatalf("two writes share the key %s", a)
	}
	if err := d.Remove(t.Context(), a); err != nil {
		t.Fatal(err)
	}
	expect(t, d, b, content)
}

func testResume(t *testing.T, open Open) {
	w := create(t, open(t), []byte("hello, wrong"))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	d := open(t)
	w, err := d.Resume(t.Context(), w.Key(), 7)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("world")); err != nil {
		t.Fatal(err)
	}
	content := []byte("hello, world")
	expect(t, d, seal(t, w, label(content)), content)
}

func testResumeLost(t *testing.T, open Open) {
	d := open(t)
	w := create(t, d, []byte("12345"))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		key    string
		offset int64
	}{
		"beyond what was written": {w.Key(), 6},
		"an unknown key":          {w.Key() + "0", 0},
	} {
		if _, err := d.Resume(t.Context(), c.key, c.offset); !errors.Is(err, blobstore.ErrNotFound) {
			t.Errorf("%s: got %v, want ErrNotFound", name, err)
		}
	}
}

func testRemove(t *testing.T, open Open) {
	d := open(t)
	sealed := seal(t, create(t, d, []byte("x")), label([]byte("x")))
	w := create(t, d, []byte("y"))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		for _, key := range []string{sealed, w.Key()} {
			if err := d.Remove(t.Context(), key); err != nil {
				t.Fatal(err)
			}
		}
	}
	expectMissing(t, d, sealed)
	if _, err := d.Resume(t.Context(), w.Key(), 0); !errors.Is(err, blobstore.ErrNotFound) {
		t.Errorf("resuming a removed object gave %v", err)
	}
}

func testRemoveWhileOpen(t *testing.T, open Open) {
	d := open(t)
	content := bytes.Repeat([]byte("z"), 100_000)
	key := seal(t, create(t, d, content), label(content))
	b, err := d.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := d.Remove(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	if got := contentOf(t, b); !bytes.Equal(got, content) {
		t.Error("the open object changed")
	}
}

func testList(t *testing.T, open Open) {
	d := open(t)
	content := []byte("sealed")
	want := map[string]blobstore.Object{}
	for _, kind := range []blobstore.Kind{blobstore.Whole, blobstore.Mapped, blobstore.Framed} {
		l := blobstore.Label{Digest: digest.SHA512.FromBytes(content), Kind: kind}
		key := seal(t, create(t, d, content), l)
		want[key] = blobstore.Object{Key: key, Label: l, Size: int64(len(content)), Sealed: true}
	}
	w := create(t, d, []byte("open"))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	want[w.Key()] = blobstore.Object{Key: w.Key(), Size: 4}
	for o, err := range open(t).List(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if o != want[o.Key] {
			t.Errorf("listed %+v, want %+v", o, want[o.Key])
		}
		delete(want, o.Key)
	}
	for key := range want {
		t.Errorf("%s was not listed", key)
	}
}

func testForeignKeys(t *testing.T, open Open) {
	d := open(t)
	for _, key := range []string{"", "/etc/hostname", "../../etc/hostname", "objects/../../x", "uploads/../objects", "no/such"} {
		expectMissing(t, d, key)
		if _, err := d.Resume(t.Context(), key, 0); !errors.Is(err, blobstore.ErrNotFound) {
			t.Errorf("resuming %q gave %v", key, err)
		}
	}
}

// Index is a [blobstore.Index] in memory, for tests. The zero Index is empty.
// It is not safe for use while it changes.
type Index map[digest.Digest]blobstore.Record

// LookupBlob returns a committed record.
func (x Index) LookupBlob(_ context.Context, d digest.Digest) (blobstore.Record, error) {
	r, ok := x[d]
	if !ok {
		return r, blobstore.ErrNotFound
	}
	return r, nil
}

// Commit adds a record.
func (x Index) Commit(r blobstore.Record) { x[r.Digest] = r }
