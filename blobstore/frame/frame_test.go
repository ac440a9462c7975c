package frame

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// made is a blob of frames with what it was made from.
type made struct {
	content []byte
	blob    []byte
	index   *Index
	pos     Position
}

// write makes a blob of pieces, cutting after each.
func write(t interface{ Fatal(...any) }, pieces ...[]byte) made {
	var out bytes.Buffer
	w, err := NewWriter(&out)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pieces {
		if _, err := w.Write(p); err != nil {
			t.Fatal(err)
		}
		if err := w.Cut(); err != nil {
			t.Fatal(err)
		}
	}
	x, pos, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	return made{bytes.Join(pieces, nil), out.Bytes(), x, pos}
}

func reader(t interface{ Fatal(...any) }, m made) *Reader {
	dec, err := NewDecoder(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	return NewReader(bytes.NewReader(m.blob), m.index, dec)
}

// text is n bytes that compress about as files do.
func text(n int, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	var b bytes.Buffer
	for b.Len() < n {
		b.WriteString(strings.Repeat(string(rune('a'+r.IntN(26))), r.IntN(9)))
		b.WriteByte(byte(r.Uint32()))
	}
	return b.Bytes()[:n]
}

func TestTheZstdToolDecodesABlob(t *testing.T) {
	if _, err := exec.LookPath("zstd"); err != nil {
		t.Fatal("the zstd tool is missing: install the Debian package zstd")
	}
	m := write(t, text(10, 1), text(300<<10, 2), nil, text(4096, 3), make([]byte, 1<<20))
	path := filepath.Join(t.TempDir(), "blob.zst")
	if err := os.WriteFile(path, m.blob, 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := exec.Command("zstd", "-dc", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, m.content) {
		t.Fatal("zstd decodes something else")
	}
}

func TestContentReadsAtAnyOffset(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var pieces [][]byte
		for range rapid.IntRange(0, 6).Draw(t, "pieces") {
			n := rapid.OneOf(rapid.IntRange(0, 600), rapid.IntRange(0, 300<<10)).Draw(t, "size")
			pieces = append(pieces, text(n, rapid.Uint64().Draw(t, "seed")))
		}
		m := write(t, pieces...)
		r := reader(t, m)
		if r.Size() != int64(len(m.content)) {
			t.Fatalf("size %d, want %d", r.Size(), len(m.content))
		}
		for range 5 {
			off := rapid.IntRange(0, len(m.content)+10).Draw(t, "off")
			p := make([]byte, rapid.IntRange(0, 200<<10).Draw(t, "n"))
			n, err := r.ReadAt(p, int64(off))
			if err != nil && err != io.EOF || (err == io.EOF) != (n < len(p)) {
				t.Fatal(n, err)
			}
			if !bytes.Equal(p[:n], m.content[min(off, len(m.content)):min(off+len(p), len(m.content))]) {
				t.Fatalf("read of %d bytes at %d differs", len(p), off)
			}
			clear(p)
			if r.ReadNow(p, int64(off)) && !bytes.Equal(p, m.content[off:off+len(p)]) {
				t.Fatalf("of what is at hand, %d bytes at %d differ", len(p), off)
			}
		}
	})
}

func TestFramesThatWereReadAreAtHand(t *testing.T) {
	m := write(t, text(5000, 1), text(5000, 2))
	r := reader(t, m)
	p := make([]byte, 100)
	if r.ReadNow(p, 50) {
		t.Error("a frame is at hand before it was decoded")
	}
	if _, err := r.ReadAt(p, 50); err != nil {
		t.Fatal(err)
	}
	if !r.ReadNow(p, 4900) || !bytes.Equal(p, m.content[4900:5000]) {
		t.Error("a frame is not at hand after it was decoded")
	}
	for _, off := range []int64{-1, 4950, 5000, 9950, 10000, 20000} {
		if r.ReadNow(p, off) {
			t.Errorf("100 bytes at %d are at hand", off)
		}
	}
}

func TestFramesEndAtCutsAndAtTheirLimit(t *testing.T) {
	m := write(t, text(100, 1), text(MaxContent, 2), text(2*MaxContent+1, 3))
	var got []int64
	for i := range m.index.Len() {
		got = append(got, m.index.At(i).ContentSize)
	}
	want := []int64{100, MaxContent, MaxContent, MaxContent, 1}
	if len(got) != len(want) {
		t.Fatalf("frames of %d, want %d", got, want)
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("frames of %d, want %d", got, want)
		}
	}
}

func TestAFrameDependsOnItsContentAlone(t *testing.T) {
	a, b := text(50<<10, 1), text(70<<10, 2)
	alone := write(t, b).index.At(0).Digest
	for _, before := range [][][]byte{{a}, {a, a}, {b}, {text(3<<20, 3), a}} {
		m := write(t, append(before, b)...)
		if got := m.index.At(m.index.Len() - 1).Digest; got != alone {
			t.Errorf("after %d pieces the frame is %x, alone it is %x", len(before), got, alone)
		}
	}
}

func TestIndexIsFoundAtTheEnd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := write(t, text(rapid.IntRange(0, 1000).Draw(t, "n"), 1), text(20, 2))
		pos, err := Locate(bytes.NewReader(m.blob), int64(len(m.blob)))
		if err != nil {
			t.Fatal(err)
		}
		if pos != m.pos {
			t.Fatalf("found at %+v, written at %+v", pos, m.pos)
		}
		x, err := ReadIndex(bytes.NewReader(m.blob), pos)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(x.Encode(), m.index.Encode()) {
			t.Fatal("the index read differs from the one written")
		}
	})
}

func TestEveryChangedByteOfAFrameIsNoticed(t *testing.T) {
	m := write(t, text(300, 1), text(200, 2))
	for i := range m.index.StoredSize() {
		changed := m
		changed.blob = bytes.Clone(m.blob)
		changed.blob[i] ^= 1
		p := make([]byte, len(m.content))
		n, err := reader(t, changed).ReadAt(p, 0)
		if !errors.Is(err, ErrCorrupt) {
			t.Fatalf("byte %d changed: got %v", i, err)
		}
		if !bytes.Equal(p[:n], m.content[:n]) {
			t.Fatalf("byte %d changed: wrong content was returned", i)
		}
	}
}

func TestOrdinaryBlobsHaveNoIndex(t *testing.T) {
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, blob := range map[string][]byte{
		"nothing":       nil,
		"a few bytes":   []byte("abc"),
		"text":          text(5000, 1),
		"zeros":         make([]byte, 5000),
		"ordinary zstd": enc.EncodeAll(text(5000, 1), nil),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Locate(bytes.NewReader(blob), int64(len(blob))); !errors.Is(err, ErrFormat) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestAFailedWriteIsReported(t *testing.T) {
	full := errors.New("no space left")
	w, err := NewWriter(failAfter{limit: 1 << 20, err: full, written: new(int)})
	if err != nil {
		t.Fatal(err)
	}
	_, _ = w.Write(make([]byte, 100))
	r := rand.NewChaCha8([32]byte{})
	_, _ = io.CopyN(w, r, 20<<20)
	if _, _, err := w.Close(); !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
}

type failAfter struct {
	limit   int
	err     error
	written *int
}

func (f failAfter) Write(p []byte) (int, error) {
	if *f.written += len(p); *f.written > f.limit {
		return 0, f.err
	}
	return len(p), nil
}

func FuzzDecode(f *testing.F) {
	f.Add(write(f, text(300, 1), text(20, 2)).index.Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := Decode(b)
		if err == nil && !bytes.Equal(x.Encode(), b) {
			t.Fatal("decoded something that Encode does not write")
		}
	})
}

func FuzzRead(f *testing.F) {
	m := write(f, text(300, 1), text(20, 2))
	f.Add(m.blob, m.index.Encode())
	dec, err := NewDecoder(1 << 20)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(_ *testing.T, blob, encoded []byte) {
		if pos, err := Locate(bytes.NewReader(blob), int64(len(blob))); err == nil {
			_, _ = ReadIndex(bytes.NewReader(blob), pos)
		}
		x, err := Decode(encoded)
		if err != nil {
			return
		}
		// Give the frames the digests they have, so that decoding is reached.
		for i := range x.Len() {
			f := x.At(i)
			if f.Offset+f.Size <= int64(len(blob)) {
				x.digests[i] = sha256.Sum256(blob[f.Offset : f.Offset+f.Size])
			}
		}
		_, _ = NewReader(bytes.NewReader(blob), x, dec).ReadAt(make([]byte, 1000), 0)
	})
}
