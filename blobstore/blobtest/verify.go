package blobtest

import (
	"bytes"
	"errors"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/blobstore"
	"github.com/cloudlets/cloudlets/extent"
)

func testScan(t *testing.T, open Open) {
	for _, content := range [][]byte{nil, []byte("a"), random(4096, 1), random(1_000_001, 1)} {
		key := seal(t, create(t, open(t), content), label(content))
		d := open(t)
		if size, err := d.Stat(t.Context(), key); err != nil || size != int64(len(content)) {
			t.Errorf("Stat gives %d bytes, want %d (%v)", size, len(content), err)
		}
		var got bytes.Buffer
		if n, err := d.Scan(t.Context(), key, &got); err != nil || n != int64(len(content)) || !bytes.Equal(got.Bytes(), content) {
			t.Errorf("Scan gives %d bytes, want %d (%v)", n, len(content), err)
		}
		if err := d.Remove(t.Context(), key); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Stat(t.Context(), key); !errors.Is(err, blobstore.ErrNotFound) {
			t.Errorf("Stat of what is not there gives %v", err)
		}
		if _, err := d.Scan(t.Context(), key, &got); !errors.Is(err, blobstore.ErrNotFound) {
			t.Errorf("Scan of what is not there gives %v", err)
		}
	}
}

var errFull = errors.New("full")

type fullWriter struct{}

func (fullWriter) Write([]byte) (int, error) { return 0, errFull }

func testScanError(t *testing.T, open Open) {
	d := open(t)
	content := random(100_000, 1)
	key := seal(t, create(t, d, content), label(content))
	if _, err := d.Scan(t.Context(), key, fullWriter{}); !errors.Is(err, errFull) {
		t.Errorf("got %v, want the writer's error", err)
	}
}

// object returns what is kept for a blob.
func (f fixture) object(t *testing.T, d digest.Digest) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, err := f.Driver().Scan(t.Context(), f.index[d].Key, &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// keep lets an object with other bytes stand for a blob.
func (f fixture) keep(t *testing.T, d digest.Digest, object []byte) {
	t.Helper()
	r := f.index[d]
	r.Key = seal(t, create(t, f.Driver(), object), blobstore.Label{Digest: d, Kind: r.Kind})
	f.index[d] = r
}

// blobs are one of each kind.
func (f fixture) kinds(t *testing.T) map[blobstore.Kind]digest.Digest {
	t.Helper()
	elder, pos := f.frames(t, random(300_000, 8))
	return map[blobstore.Kind]digest.Digest{
		blobstore.Whole:  f.put(t, random(200_000, 9)),
		blobstore.Framed: f.commit(t)(f.SealFrames(t.Context(), elder, pos, "")),
		blobstore.Mapped: f.commit(t)(f.SealMap(t.Context(), build(t, func(b *extent.Builder) {
			b.Inline([]byte("header"))
			b.Source(extent.Digest(elder), 100, 1000)
		}), "", nil)),
	}
}

// testVerify checks that every kind of damage to every kind of object is found,
// wherever a byte is another.
func testVerify(t *testing.T, f fixture, _ Open) {
	for kind, d := range f.kinds(t) {
		sound := f.object(t, d)
		if err := f.verify(t, d); err != nil {
			t.Errorf("%s: the sound one: %v", kind, err)
		}
		for i := 0; i < len(sound); i += 1 + len(sound)/40 {
			flipped := bytes.Clone(sound)
			flipped[i] ^= 0x20
			f.keep(t, d, flipped)
			if err := f.verify(t, d); !errors.Is(err, blobstore.ErrDamaged) && !sameJSON(kind, flipped, sound) {
				t.Errorf("%s with another byte at %d of %d: %v", kind, i, len(sound), err)
			}
		}
		for _, n := range []int{0, 1, len(sound) - 1} {
			f.keep(t, d, sound[:n])
			if err := f.verify(t, d); !errors.Is(err, blobstore.ErrDamaged) {
				t.Errorf("%s cut to %d bytes: %v", kind, n, err)
			}
		}
		f.keep(t, d, append(bytes.Clone(sound), 0))
		if err := f.verify(t, d); !errors.Is(err, blobstore.ErrDamaged) {
			t.Errorf("%s with a byte more: %v", kind, err)
		}
		if err := f.Remove(t.Context(), f.index[d].Key); err != nil {
			t.Fatal(err)
		}
		if err := f.verify(t, d); !errors.Is(err, blobstore.ErrDamaged) {
			t.Errorf("%s that is missing: %v", kind, err)
		}
		if err := f.Check(t.Context(), f.index[d]); !errors.Is(err, blobstore.ErrDamaged) {
			t.Errorf("%s that is missing, by its length: %v", kind, err)
		}
		f.keep(t, d, sound)
		if err := errors.Join(f.verify(t, d), f.Check(t.Context(), f.index[d])); err != nil {
			t.Errorf("%s that is sound again: %v", kind, err)
		}
	}
}

func (f fixture) verify(t *testing.T, d digest.Digest) error {
	return f.Verify(t.Context(), f.index[d], nil)
}

// sameJSON says that a flip of 0x20 has changed the case of a name in JSON, which
// is read the same.
func sameJSON(kind blobstore.Kind, a, b []byte) bool {
	return kind == blobstore.Framed && bytes.EqualFold(a, b)
}

// testVerifyBelow checks that a view is not blamed for the blob of its frames.
func testVerifyBelow(t *testing.T, f fixture, _ Open) {
	elder, pos := f.frames(t, random(300_000, 10))
	view := f.commit(t)(f.SealFrames(t.Context(), elder, pos, ""))
	damaged := f.object(t, elder)
	damaged[pos.Offset+20] ^= 1
	f.keep(t, elder, damaged)
	if err := f.verify(t, elder); !errors.Is(err, blobstore.ErrDamaged) {
		t.Errorf("the blob of frames: %v", err)
	}
	if err := f.verify(t, view); err == nil || errors.Is(err, blobstore.ErrDamaged) {
		t.Errorf("the view of it: %v", err)
	}
}

// testIdentify checks that records can be told from objects.
func testIdentify(t *testing.T, f fixture, _ Open) {
	f.kinds(t)
	for o, err := range f.Driver().List(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		got, err := f.Identify(t.Context(), o)
		want := f.index[o.Label.Digest]
		if err != nil || got.Key != want.Key || got.Size != want.Size || got.Kind != want.Kind || len(got.Needs) != len(want.Needs) {
			t.Errorf("got %+v (%v), want %+v", got, err, want)
		}
	}
}
