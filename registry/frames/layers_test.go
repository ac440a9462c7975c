package frames_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/blobstore/frame"
	"github.com/cloudlets/cloudlets/image/tarball"
)

// tarLayer makes a layer of a tar with one file of each content.
func tarLayer(t *testing.T, contents ...string) layer {
	t.Helper()
	var plain, out bytes.Buffer
	tw := tar.NewWriter(&plain)
	for i, c := range contents {
		if err := tw.WriteHeader(&tar.Header{Name: fmt.Sprintf("file%d", i), Mode: 0o644, Size: int64(len(c))}); err != nil {
			t.Fatal(err)
		}
		if _, err := tw.Write([]byte(c)); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	w, err := frame.NewWriter(&out)
	if err != nil {
		t.Fatal(err)
	}
	if err := tarball.Cut(&plain, w, nil); err != nil {
		t.Fatal(err)
	}
	index, pos, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	return layer{out.Bytes(), index, pos}
}

// pushed puts a layer in the fixture's repository.
func (f fixture) pushed(l layer) {
	f.Helper()
	path := "/blobs/uploads/?digest=" + l.digest().String()
	if status, body := f.do(http.MethodPost, path, nil, l.blob); status != http.StatusCreated {
		f.Fatalf("push: %d %s", status, body)
	}
}

// split takes what was sent apart, and verifies each frame.
func (l layer) split(t *testing.T, bits, body []byte) map[int]bool {
	t.Helper()
	got := make(map[int]bool)
	for i := range l.index.Len() {
		if bits[i/8]&(0x80>>(i%8)) == 0 {
			continue
		}
		f := l.index.At(i)
		if int64(len(body)) < f.Size || sha256.Sum256(body[:f.Size]) != f.Digest {
			t.Fatalf("frame %d is not what the index says", i)
		}
		body, got[i] = body[f.Size:], true
	}
	if len(body) > 0 {
		t.Errorf("%d bytes too many", len(body))
	}
	return got
}

func TestHeadersComeWithoutContent(t *testing.T) {
	f := newFixture(t)
	l := tarLayer(t, strings.Repeat("a", 300_000), "b", "", strings.Repeat("c", 1024))
	f.pushed(l)
	status, body := f.do(http.MethodGet, "/_cloudlets/layers/"+l.digest().String()+"/headers", nil, nil)
	encoded := l.index.Encode()
	if status != http.StatusOK || !bytes.HasPrefix(body, encoded) {
		t.Fatalf("%d, %d bytes: want the index first", status, len(body))
	}
	body = body[len(encoded):]
	n := (l.index.Len() + 7) / 8
	got := l.split(t, body[:n], body[n:])
	for i := range l.index.Len() {
		fr := l.index.At(i)
		// Headers fill whole blocks of their own; the contents here do not, but for the last.
		isContent := fr.ContentSize == 1 || fr.ContentSize == frame.MaxContent || fr.ContentSize == 300_000-2*frame.MaxContent || fr.ContentSize == 1024 && i == l.index.Len()-2
		if got[i] == isContent {
			t.Errorf("frame %d of %d bytes: sent %v", i, fr.ContentSize, got[i])
		}
	}
}

func TestWantedFramesComeAlone(t *testing.T) {
	f := newFixture(t)
	l := tarLayer(t, "a", "b", "c")
	f.pushed(l)
	bits := make([]byte, (l.index.Len()+7)/8)
	bits[0] = 0x50 // the second and the fourth
	status, body := f.do(http.MethodPost, "/_cloudlets/layers/"+l.digest().String()+"/frames", nil, bits)
	if status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	if got := l.split(t, bits, body); len(got) != 2 || !got[1] || !got[3] {
		t.Errorf("got the frames %v", got)
	}
}

func TestWrongRequestsForPiecesAreRefused(t *testing.T) {
	f := newFixture(t)
	l := tarLayer(t, "a")
	f.pushed(l)
	whole := layer{blob: []byte("not made of frames")}
	f.pushed(whole)
	for name, c := range map[string]struct {
		method, path string
		body         []byte
		status       int
	}{
		"no digest":       {http.MethodGet, "layers/x/headers", nil, http.StatusBadRequest},
		"unknown layer":   {http.MethodGet, "layers/" + digest.FromString("x").String() + "/headers", nil, http.StatusNotFound},
		"no frames":       {http.MethodGet, "layers/" + whole.digest().String() + "/headers", nil, http.StatusNotFound},
		"unknown part":    {http.MethodGet, "layers/" + l.digest().String() + "/tails", nil, http.StatusNotFound},
		"too few bits":    {http.MethodPost, "layers/" + l.digest().String() + "/frames", nil, http.StatusBadRequest},
		"too many bits":   {http.MethodPost, "layers/" + l.digest().String() + "/frames", make([]byte, 99), http.StatusBadRequest},
		"another method":  {http.MethodPut, "layers/" + l.digest().String() + "/frames", nil, http.StatusNotFound},
		"nothing at all":  {http.MethodGet, "layers/", nil, http.StatusNotFound},
		"another headers": {http.MethodPost, "layers/" + l.digest().String() + "/headers", nil, http.StatusNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			if status, body := f.do(c.method, "/_cloudlets/"+c.path, nil, c.body); status != c.status {
				t.Errorf("%d, want %d: %s", status, c.status, body)
			}
		})
	}
}
