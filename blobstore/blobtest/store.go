package blobtest

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/blobstore"
	"github.com/cloudlets/cloudlets/blobstore/frame"
	"github.com/cloudlets/cloudlets/extent"
)

// fixture is a store over a driver and the index it commits to.
type fixture struct {
	*blobstore.Store
	index Index
}

func newFixture(t *testing.T, open Open) fixture {
	t.Helper()
	index := Index{}
	s, err := blobstore.New(open(t), index)
	if err != nil {
		t.Fatal(err)
	}
	return fixture{s, index}
}

// put stores a whole blob.
func (f fixture) put(t *testing.T, content []byte) digest.Digest {
	t.Helper()
	return f.commit(t)(f.Write(t.Context(), digest.FromBytes(content), writes(string(content))))
}

// writes returns what writes a blob.
func writes(content string) func(w *blobstore.Writer) error {
	return func(w *blobstore.Writer) error {
		_, err := w.Write([]byte(content))
		return err
	}
}

// commit commits a record just sealed.
func (f fixture) commit(t *testing.T) func(blobstore.Record, error) digest.Digest {
	return func(r blobstore.Record, err error) digest.Digest {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		f.index.Commit(r)
		return r.Digest
	}
}

func (f fixture) expect(t *testing.T, d digest.Digest, want []byte) {
	t.Helper()
	b, err := f.Open(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if got := contentOf(t, b); !bytes.Equal(got, want) {
		t.Errorf("blob %s reads differently: %d bytes, want %d", d, len(got), len(want))
	}
	off := len(want) / 3
	p := make([]byte, len(want)/3)
	if _, err := b.ReadAt(p, int64(off)); err != nil && err != io.EOF || !bytes.Equal(p, want[off:off+len(p)]) {
		t.Errorf("blob %s reads differently at %d (%v)", d, off, err)
	}
}

func testStore(t *testing.T, place func(t *testing.T) Open) {
	for name, test := range map[string]func(*testing.T, fixture, Open){
		"a blob reads back":                           testWhole,
		"content that lies about its digest":          testMismatch,
		"an upload resumes in another store":          testUpload,
		"a map reads as what it is made of":           testMapped,
		"frames read as their content":                testFramed,
		"maps are flattened, never stacked":           testFlatten,
		"a blob that is not there":                    testMissing,
		"a damaged frame is never served":             testDamage,
		"objects carry the labels of what they store": testLabels,
		"all damage is found":                         testVerify,
		"damage below is not blamed on what is above": testVerifyBelow,
		"an object says what it stands for":           testIdentify,
	} {
		t.Run(name, func(t *testing.T) {
			open := place(t)
			test(t, newFixture(t, open), open)
		})
	}
}

func random(n int, seed uint64) []byte {
	b := make([]byte, n)
	r := rand.New(rand.NewPCG(seed, 0))
	for i := range b {
		b[i] = byte(r.Uint32()) >> (i & 4) // half of it compresses
	}
	return b
}

func testWhole(t *testing.T, f fixture, _ Open) {
	for _, n := range []int{0, 1, 100_000} {
		content := random(n, 1)
		f.expect(t, f.put(t, content), content)
	}
}

func testMismatch(t *testing.T, f fixture, _ Open) {
	w, err := f.Create(t.Context(), digest.SHA512)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("truth")); err != nil {
		t.Fatal(err)
	}
	_, err = w.Seal(t.Context(), digest.SHA512.FromString("lie"))
	var mismatch *blobstore.MismatchError
	if !errors.As(err, &mismatch) || mismatch.Got != digest.SHA512.FromString("truth") {
		t.Fatalf("got %v", err)
	}
	if err := f.Remove(t.Context(), w.Key()); err != nil {
		t.Fatal(err)
	}
	// What Write begins, it removes.
	if _, err := f.Write(t.Context(), digest.FromString("lie"), writes("truth")); !errors.As(err, &mismatch) {
		t.Fatalf("got %v", err)
	}
	refused := errors.New("no more")
	if _, err := f.Write(t.Context(), "", func(w *blobstore.Writer) error { return errors.Join(writes("some")(w), refused) }); !errors.Is(err, refused) {
		t.Fatalf("got %v", err)
	}
	for o, err := range f.Driver().List(t.Context()) {
		t.Errorf("%+v (%v) is left", o, err)
	}
}

func testUpload(t *testing.T, f fixture, open Open) {
	content := random(300_000, 2)
	w, err := f.Create(t.Context(), digest.SHA512)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(content[:100_001]); err != nil {
		t.Fatal(err)
	}
	state, err := w.Save(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("never acknowledged")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	other := newFixture(t, open)
	if w, err = other.Resume(t.Context(), state); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(content[w.Size():]); err != nil {
		t.Fatal(err)
	}
	other.expect(t, other.commit(t)(w.Seal(t.Context(), digest.SHA512.FromBytes(content))), content)
}

func build(t *testing.T, fill func(*extent.Builder)) *extent.Map {
	t.Helper()
	var b extent.Builder
	fill(&b)
	m, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func testMapped(t *testing.T, f fixture, open Open) {
	content := random(200_000, 3)
	source := extent.Digest(f.put(t, content))
	m := build(t, func(b *extent.Builder) {
		b.Inline([]byte("header"))
		b.Source(source, 100_000, 100_000)
		b.Zero(70_000)
		b.Source(source, 0, 5)
	})
	want := bytes.Join([][]byte{[]byte("header"), content[100_000:], make([]byte, 70_000), content[:5]}, nil)
	if _, err := f.SealMap(t.Context(), m, digest.FromString("a lie"), nil); !errors.Is(err, blobstore.ErrDigestMismatch) {
		t.Errorf("a wrong digest gave %v", err)
	}
	d := f.commit(t)(f.SealMap(t.Context(), m, digest.FromBytes(want), nil))
	f.expect(t, d, want)
	restarted := newFixture(t, open)
	restarted.index[d], restarted.index[digest.Digest(source)] = f.index[d], f.index[digest.Digest(source)]
	restarted.expect(t, d, want)
	if needs := f.index[d].Needs; len(needs) != 1 || needs[0] != digest.Digest(source) {
		t.Errorf("the map needs %v", needs)
	}
}

// frames stores content as a blob of frames, and returns it with its index.
func (f fixture) frames(t *testing.T, content []byte) (digest.Digest, frame.Position) {
	t.Helper()
	var out bytes.Buffer
	w, err := frame.NewWriter(&out)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	_, pos, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	return f.put(t, out.Bytes()), pos
}

func testFramed(t *testing.T, f fixture, _ Open) {
	content := random(500_000, 4)
	blob, pos := f.frames(t, content)
	if _, err := f.SealFrames(t.Context(), blob, pos, digest.FromString("a lie")); !errors.Is(err, blobstore.ErrDigestMismatch) {
		t.Errorf("a wrong digest gave %v", err)
	}
	d := f.commit(t)(f.SealFrames(t.Context(), blob, pos, digest.FromBytes(content)))
	f.expect(t, d, content)

	found, foundPos, err := f.FrameIndex(t.Context(), blob, frame.Position{})
	if err != nil || foundPos != pos || found.ContentSize() != int64(len(content)) {
		t.Errorf("the index was found at %+v (%v), want %+v", foundPos, err, pos)
	}
}

func testFlatten(t *testing.T, f fixture, _ Open) {
	content := random(50_000, 5)
	whole := f.put(t, content)
	first := f.commit(t)(f.SealMap(t.Context(), build(t, func(b *extent.Builder) {
		b.Zero(10)
		b.Source(extent.Digest(whole), 20_000, 30_000)
	}), "", nil))
	stacked := build(t, func(b *extent.Builder) {
		b.Inline([]byte("again"))
		b.Source(extent.Digest(first), 5, 1005)
	})
	flat, err := f.Flatten(t.Context(), stacked)
	if err != nil {
		t.Fatal(err)
	}
	if digests := flat.Digests(); len(digests) != 1 || digests[0] != extent.Digest(whole) {
		t.Errorf("the flat map reads from %v", digests)
	}
	want := bytes.Join([][]byte{[]byte("again"), make([]byte, 5), content[20_000:21_000]}, nil)
	f.expect(t, f.commit(t)(f.SealMap(t.Context(), flat, "", nil)), want)
}

func testMissing(t *testing.T, f fixture, _ Open) {
	d := digest.FromString("nowhere")
	if _, err := f.Open(t.Context(), d); !errors.Is(err, blobstore.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	gone := f.put(t, []byte("soon gone"))
	if err := f.Remove(t.Context(), f.index[gone].Key); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Open(t.Context(), gone); !errors.Is(err, blobstore.ErrNotFound) {
		t.Errorf("a record without its object gave %v", err)
	}
}

func testDamage(t *testing.T, f fixture, _ Open) {
	content := random(300_000, 6)
	blob, pos := f.frames(t, content)
	d := f.commit(t)(f.SealFrames(t.Context(), blob, pos, ""))

	original, err := f.Open(t.Context(), blob)
	if err != nil {
		t.Fatal(err)
	}
	damaged := contentOf(t, original)
	original.Close()
	damaged[1000] ^= 1
	w := create(t, f.Driver(), damaged)
	r := f.index[blob]
	r.Key = seal(t, w, blobstore.Label{Digest: blob, Kind: blobstore.Whole})
	f.index[blob] = r

	b, err := f.Open(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if _, err := b.ReadAt(make([]byte, 10), 0); !errors.Is(err, frame.ErrCorrupt) {
		t.Errorf("the damaged frame gave %v", err)
	}
	p := make([]byte, 10)
	if _, err := b.ReadAt(p, 200_000); err != nil || !bytes.Equal(p, content[200_000:200_010]) {
		t.Errorf("a frame beside the damaged one gave %v", err)
	}
}

func testLabels(t *testing.T, f fixture, _ Open) {
	blob, pos := f.frames(t, random(1000, 7))
	f.commit(t)(f.SealFrames(t.Context(), blob, pos, ""))
	f.commit(t)(f.SealMap(t.Context(), build(t, func(b *extent.Builder) { b.Zero(5) }), "", nil))
	listed := 0
	for o, err := range f.Driver().List(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		r := f.index[o.Label.Digest]
		if r.Key != o.Key || r.Kind != o.Label.Kind {
			t.Errorf("object %+v, record %+v", o, r)
		}
		listed++
	}
	if listed != 3 {
		t.Errorf("%d objects, want 3", listed)
	}
}
