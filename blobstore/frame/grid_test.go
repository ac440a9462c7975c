package frame

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"

	"github.com/cloudlets/cloudlets/extent"
)

// grid makes a blob of content on the grid.
func grid(t interface{ Fatal(...any) }, content ...[]byte) made {
	var out bytes.Buffer
	w, err := NewWriter(&out)
	if err != nil {
		t.Fatal(err)
	}
	g := NewGrid(w)
	for _, p := range content {
		if _, err := g.Write(p); err != nil {
			t.Fatal(err)
		}
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	x, pos, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	return made{bytes.Join(content, nil), out.Bytes(), x, pos}
}

func TestGridHoldsAnyContent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var pieces [][]byte
		for range rapid.IntRange(0, 6).Draw(t, "pieces") {
			n := rapid.IntRange(0, 400<<10).Draw(t, "size")
			piece := make([]byte, n)
			if rapid.Bool().Draw(t, "data") {
				piece = text(n, rapid.Uint64().Draw(t, "seed"))
			}
			pieces = append(pieces, piece)
		}
		m := grid(t, pieces...)
		whole := grid(t, m.content)
		if !bytes.Equal(whole.blob, m.blob) {
			t.Fatal("the frames depend on how the content was written")
		}
		decoded, err := Decode(m.index.Encode())
		if err != nil {
			t.Fatal(err)
		}
		m.index = decoded
		disk, err := m.index.Map("sha256:disk")
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range []io.ReaderAt{reader(t, m), extent.NewReader(context.Background(), disk, frameOpener{reader(t, m)})} {
			got, err := io.ReadAll(io.NewSectionReader(r, 0, int64(len(m.content))+1))
			if err != nil || !bytes.Equal(got, m.content) {
				t.Fatal("the content differs", err)
			}
		}
	})
}

// frameOpener opens the content of frames, whatever the digest.
type frameOpener struct{ *Reader }

func (o frameOpener) OpenBlob(context.Context, extent.Digest) (extent.Blob, error) { return o, nil }

func (frameOpener) Close() error { return nil }

func TestLongRunsOfZerosAreFewFrames(t *testing.T) {
	var out bytes.Buffer
	w, err := NewWriter(&out)
	if err != nil {
		t.Fatal(err)
	}
	g := NewGrid(w)
	if _, err := g.Write(text(MaxContent, 1)); err != nil {
		t.Fatal(err)
	}
	// As if so many cells of zeros had been written.
	const run = 100<<30 + 3*MaxContent
	g.zeros = run
	if _, err := g.Write(text(5, 2)); err != nil {
		t.Fatal(err)
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	x, pos, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	if x.Len() > 104 || x.ContentSize() != MaxContent+run+5 || out.Len() > 4<<20 {
		t.Errorf("%d frames of %d bytes for %d bytes of content", x.Len(), out.Len(), x.ContentSize())
	}
	found, err := Locate(bytes.NewReader(out.Bytes()), int64(out.Len()))
	if err != nil || found != pos {
		t.Errorf("the index is at %+v (%v), want %+v", found, err, pos)
	}
	disk, err := x.Map("sha256:disk")
	if err != nil || disk.Len() != 3 || disk.DataSize() != MaxContent+5 {
		t.Errorf("a map of %d extents (%v)", disk.Len(), err)
	}
}

func TestTheZstdToolDecodesZeros(t *testing.T) {
	if _, err := exec.LookPath("zstd"); err != nil {
		t.Fatal("the zstd tool is missing: install the Debian package zstd")
	}
	m := grid(t, text(300<<10, 1), make([]byte, 9<<20), text(5, 2), make([]byte, 200<<10))
	path := filepath.Join(t.TempDir(), "blob.zst")
	if err := os.WriteFile(path, m.blob, 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := exec.Command("zstd", "-dc", path).Output()
	if err != nil || !bytes.Equal(got, m.content) {
		t.Fatal("zstd decodes something else", err)
	}
}

func TestAChangeLeavesTheOtherCellsAlone(t *testing.T) {
	content := bytes.Join([][]byte{text(10*MaxContent, 1), make([]byte, 5*MaxContent), text(10*MaxContent+77, 2)}, nil)
	old := make(map[[sha256.Size]byte]bool)
	before := grid(t, content)
	for i := range before.index.Len() {
		old[before.index.At(i).Digest] = true
	}
	content[3*MaxContent+9]++
	content[20*MaxContent]++
	after, changed := grid(t, content), 0
	for i := range after.index.Len() {
		if !old[after.index.At(i).Digest] {
			changed++
		}
	}
	if changed != 2 {
		t.Errorf("%d frames differ, want 2", changed)
	}
}

func TestAnIndexThatLiesAboutZerosIsRefused(t *testing.T) {
	m := grid(t, make([]byte, 8*MaxContent))
	encoded := m.index.Encode()
	entry := encoded[indexHeaderSize:]
	for name, lie := range map[string]func(){
		"content that is not whole cells": func() { binary.LittleEndian.PutUint32(entry[4:], 8*MaxContent-1) },
		"more content than a run has":     func() { binary.LittleEndian.PutUint32(entry[4:], 3<<30) },
		"another stored size":             func() { binary.LittleEndian.PutUint32(entry, 41) },
		"a frame of something else":       func() { entry[9]++ },
		"the old version":                 func() { encoded[len(indexSignature)] = indexVersion },
	} {
		sound := bytes.Clone(encoded)
		lie()
		if _, err := Decode(encoded); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: got %v", name, err)
		}
		copy(encoded, sound)
	}
}
