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
	"slices"
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
		"a sealed object survives a restart":            testSealed,
		"an unsealed object is not visible":             testUnsealed,
		"keys are never used twice":                     testUniqueKeys,
		"writing resumes in another driver":             testResume,
		"writing resumes from an earlier point":         testResumeEarlier,
		"a seal resumed with nothing more to write":     testResumeSeal,
		"points are announced as boundaries":            testBoundaries,
		"resuming refuses what was lost":                testResumeLost,
		"removing an upload leaves what was sealed":     testRemoveAfterSeal,
		"a removed object is gone and removable again":  testRemove,
		"an open object that is removed stays or fails": testRemoveWhileOpen,
		"listing tells sealed from unsealed":            testList,
		"foreign keys open nothing":                     testForeignKeys,
		"an object is scanned where it is kept":         testScan,
		"a scan ends with its writer's error":           testScanError,
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
	for _, content := range [][]byte{nil, []byte("a"), bytes.Repeat([]byte("0123456789"), 3<<19)} {
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

func write(t *testing.T, w blobstore.ObjectWriter, content string) {
	t.Helper()
	if _, err := io.WriteString(w, content); err != nil {
		t.Fatal(err)
	}
}

// save saves a point.
func save(t *testing.T, w blobstore.ObjectWriter) blobstore.Point {
	t.Helper()
	p, err := w.Save(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if p.Key != w.Key() || w.Saved().Offset != p.Offset {
		t.Errorf("saved %s at %d, the writer of %s says %d", p.Key, p.Offset, w.Key(), w.Saved().Offset)
	}
	return p
}

func resume(t *testing.T, d blobstore.Driver, p blobstore.Point) blobstore.ObjectWriter {
	t.Helper()
	w, err := d.Resume(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if w.Key() != p.Key {
		t.Errorf("the key changed from %s to %s", p.Key, w.Key())
	}
	return w
}

func closeWriter(t *testing.T, w blobstore.ObjectWriter) {
	t.Helper()
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

func testResume(t *testing.T, open Open) {
	for _, n := range []int{0, 1, 1000, 9 << 20} {
		head := bytes.Repeat([]byte("head-1234!"), n/10)
		w := create(t, open(t), head)
		p := save(t, w)
		write(t, w, "never saved")
		closeWriter(t, w)

		d := open(t)
		w = resume(t, d, p)
		write(t, w, "middle")
		p = save(t, w)
		closeWriter(t, w)

		d = open(t)
		w = resume(t, d, p)
		write(t, w, "end")
		content := append(slices.Clone(head), "middleend"...)
		expect(t, open(t), seal(t, w, label(content)), content)
	}
}

func testResumeEarlier(t *testing.T, open Open) {
	for _, n := range []int{7, 6 << 20} {
		d := open(t)
		head := bytes.Repeat([]byte("h"), n)
		w := create(t, d, head)
		early := save(t, w)
		write(t, w, "wrong")
		save(t, w)
		closeWriter(t, w)
		w = resume(t, open(t), early)
		write(t, w, "right")
		content := append(slices.Clone(head), "right"...)
		expect(t, d, seal(t, w, label(content)), content)
	}
}

func testResumeSeal(t *testing.T, open Open) {
	for _, n := range []int{0, 5, 6 << 20} {
		content := bytes.Repeat([]byte("s"), n)
		w := create(t, open(t), content)
		p := save(t, w)
		closeWriter(t, w)
		w = resume(t, open(t), p)
		expect(t, open(t), seal(t, w, label(content)), content)
	}
}

// testBoundaries goes on from a point that was reached without a Save.
func testBoundaries(t *testing.T, open Open) {
	d := open(t)
	w, err := d.Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var content []byte
	announced := map[int64]bool{0: true}
	for i := range 200 {
		chunk := bytes.Repeat([]byte{byte(i)}, 100_000)
		if left := w.Boundary() - int64(len(content)); left > 0 && left < int64(len(chunk)) {
			chunk = chunk[:left]
		}
		announced[w.Boundary()] = true
		write(t, w, string(chunk))
		content = append(content, chunk...)
		announced[w.Boundary()] = true
		if p := w.Saved(); !announced[p.Offset] {
			t.Fatalf("%d was never announced", p.Offset)
		}
	}
	p := w.Saved()
	closeWriter(t, w)
	w = resume(t, open(t), p)
	write(t, w, "!")
	content = append(content[:p.Offset:p.Offset], '!')
	expect(t, d, seal(t, w, label(content)), content)
}

func testResumeLost(t *testing.T, open Open) {
	d := open(t)
	w := create(t, d, []byte("12345"))
	p := save(t, w)
	closeWriter(t, w)
	for name, bad := range map[string]blobstore.Point{
		"beyond what was written": {Key: p.Key, Offset: 6, State: p.State},
		"an unknown key":          {Key: p.Key + "0", Offset: p.Offset, State: p.State},
	} {
		if _, err := d.Resume(t.Context(), bad); !errors.Is(err, blobstore.ErrNotFound) {
			t.Errorf("%s: got %v, want ErrNotFound", name, err)
		}
	}
}

func testRemove(t *testing.T, open Open) {
	for _, n := range []int{1, 6 << 20} {
		d := open(t)
		content := bytes.Repeat([]byte("x"), n)
		sealed := seal(t, create(t, d, content), label(content))
		w := create(t, d, content)
		p := save(t, w)
		closeWriter(t, w)
		for range 2 {
			for _, key := range []string{sealed, w.Key()} {
				if err := d.Remove(t.Context(), key); err != nil {
					t.Fatal(err)
				}
			}
		}
		expectMissing(t, d, sealed)
		expectMissing(t, open(t), sealed)
		expectUnsealable(t, d, p)
		for o, err := range d.List(t.Context()) {
			t.Errorf("%+v (%v) is left", o, err)
		}
	}
}

// expectUnsealable checks that nothing comes of an object that was removed.
func expectUnsealable(t *testing.T, d blobstore.Driver, p blobstore.Point) {
	t.Helper()
	w, err := d.Resume(t.Context(), p)
	if err == nil {
		_, err = w.Seal(t.Context(), label(nil))
	}
	if !errors.Is(err, blobstore.ErrNotFound) {
		t.Errorf("resuming and sealing a removed object gave %v", err)
	}
}

func testRemoveAfterSeal(t *testing.T, open Open) {
	for _, n := range []int{4, 6 << 20} {
		content := bytes.Repeat([]byte("x"), n)
		w := create(t, open(t), content)
		p := save(t, w)
		closeWriter(t, w)
		w = resume(t, open(t), p)
		key := seal(t, w, label(content))
		if err := open(t).Remove(t.Context(), p.Key); err != nil {
			t.Fatal(err)
		}
		expect(t, open(t), key, content)
	}
}

func testRemoveWhileOpen(t *testing.T, open Open) {
	d := open(t)
	content := bytes.Repeat([]byte("z"), 3<<20)
	key := seal(t, create(t, d, content), label(content))
	b, err := d.Open(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if _, err := b.ReadAt(make([]byte, 1000), 0); err != nil {
		t.Fatal(err)
	}
	if err := open(t).Remove(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(content))
	n, err := b.ReadAt(got, 0)
	if err != nil && !errors.Is(err, blobstore.ErrNotFound) {
		t.Errorf("reading what was removed gave %v", err)
	}
	if err == nil && n != len(got) || !bytes.Equal(got[:n], content[:n]) {
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
	for _, n := range []int{4, 6 << 20} {
		w := create(t, d, bytes.Repeat([]byte("u"), n))
		save(t, w)
		closeWriter(t, w)
		want[w.Key()] = blobstore.Object{Key: w.Key()}
	}
	for o, err := range open(t).List(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if !o.Sealed {
			o.Size = 0
		}
		if w, ok := want[o.Key]; !ok || o != w {
			t.Errorf("listed %+v, want %+v", o, w)
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
		if _, err := d.Resume(t.Context(), blobstore.Point{Key: key}); !errors.Is(err, blobstore.ErrNotFound) {
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
