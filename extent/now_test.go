package extent

import (
	"bytes"
	"context"
	"testing"

	"pgregory.net/rapid"
)

// atHand opens blobs whose content is at hand.
type atHand struct{}

func (atHand) OpenBlob(ctx context.Context, d Digest) (Blob, error) {
	b, err := blobs.OpenBlob(ctx, d)
	return nearBlob{b}, err
}

type nearBlob struct{ Blob }

func (b nearBlob) ReadNow(p []byte, off int64) bool {
	n, _ := b.ReadAt(p, off)
	return n == len(p)
}

func TestContentAtHandReadsAsElsewhere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := anySample(t)
		r := NewReader(context.Background(), s.m, atHand{})
		if _, err := r.WriteTo(&bytes.Buffer{}); err != nil { // opens the blobs
			t.Fatal(err)
		}
		off := rapid.Int64Range(-1, int64(len(s.want))+1).Draw(t, "off")
		p := make([]byte, rapid.IntRange(0, 2000).Draw(t, "n"))
		inside := off >= 0 && off+int64(len(p)) <= int64(len(s.want))
		if r.ReadNow(p, off) != inside {
			t.Fatalf("%d bytes at %d of %d: at hand is %t", len(p), off, len(s.want), !inside)
		}
		if inside && !bytes.Equal(p, s.want[off:off+int64(len(p))]) {
			t.Fatalf("%d bytes at %d differ", len(p), off)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestContentOfBlobsThatMayWaitIsNotAtHand(t *testing.T) {
	var b Builder
	b.Inline([]byte("inline"))
	b.Source("sha256:aa", 0, 1000)
	m, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 10)
	plain := NewReader(context.Background(), m, blobs)
	unopened := NewReader(context.Background(), m, atHand{})
	for range 2 {
		if !plain.ReadNow(p[:6], 0) || string(p[:6]) != "inline" {
			t.Error("inline bytes are not at hand")
		}
		if plain.ReadNow(p, 0) {
			t.Error("a blob that is no NowReader has content at hand")
		}
		if _, err := plain.ReadAt(p, 0); err != nil {
			t.Fatal(err)
		}
	}
	if unopened.ReadNow(p, 0) {
		t.Error("a blob has content at hand before it is open")
	}
	if _, err := unopened.ReadAt(p, 0); err != nil || !unopened.ReadNow(p, 0) {
		t.Error("an open blob has nothing at hand:", err)
	}
	if err := unopened.Close(); err != nil || unopened.ReadNow(p, 0) {
		t.Error("a closed blob has content at hand:", err)
	}
}
