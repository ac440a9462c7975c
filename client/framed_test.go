package client

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cloudlets/cloudlets/api"
	"github.com/cloudlets/cloudlets/blobstore/frame"
	"github.com/cloudlets/cloudlets/client/lazy"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// ways are how registries that know nothing of frames serve a blob.
var ways = map[string]func(w http.ResponseWriter, r *http.Request, blob []byte){
	"many ranges in a request": func(w http.ResponseWriter, r *http.Request, blob []byte) {
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(blob))
	},
	"one range in a request": func(w http.ResponseWriter, r *http.Request, blob []byte) {
		if strings.Contains(r.Header.Get("Range"), ",") {
			r.Header.Del("Range")
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(blob))
	},
	"the first of the ranges": func(w http.ResponseWriter, r *http.Request, blob []byte) {
		first, _, _ := strings.Cut(r.Header.Get("Range"), ",")
		r.Header.Set("Range", first)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(blob))
	},
	"all ranges as one": func(w http.ResponseWriter, r *http.Request, blob []byte) {
		ranges := strings.TrimPrefix(r.Header.Get("Range"), "bytes=")
		first, _, _ := strings.Cut(ranges, "-")
		r.Header.Set("Range", "bytes="+first+"-"+ranges[strings.LastIndex(ranges, "-")+1:])
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(blob))
	},
	"the whole": func(w http.ResponseWriter, _ *http.Request, blob []byte) { _, _ = w.Write(blob) },
}

// plainRegistry has one blob, and knows nothing of frames.
type plainRegistry struct {
	*Repository
	asked  atomic.Int64 // requests for it
	sent   atomic.Int64 // bytes of the blob
	warned sync.Map     // texts
}

func newPlainRegistry(t *testing.T, blob []byte, serve func(http.ResponseWriter, *http.Request, []byte)) *plainRegistry {
	t.Helper()
	r := new(plainRegistry)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if !strings.Contains(req.URL.Path, "/blobs/") {
			http.NotFound(w, req)
			return
		}
		r.asked.Add(1)
		serve(&countingWriter{w, &r.sent}, req, blob)
	}))
	t.Cleanup(server.Close)
	c, err := New(Options{Warn: func(text string) { r.warned.Store(text, true) }})
	if err != nil {
		t.Fatal(err)
	}
	if r.Repository, err = c.Repository(strings.TrimPrefix(server.URL, "http://") + "/a:1"); err != nil {
		t.Fatal(err)
	}
	return r
}

// countingWriter counts what is written of an answer.
type countingWriter struct {
	http.ResponseWriter
	n *atomic.Int64
}

func (w *countingWriter) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.n.Add(int64(n))
	return n, err
}

// noise returns bytes that compress badly.
func noise(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	return p
}

// files are those of a layer: most do not fill their last block of the tar, every
// fifth does.
func files() map[string][]byte {
	all := make(map[string][]byte)
	for i := range 300 {
		n := 3001 * (i%7 + 1)
		if i%5 == 0 {
			n = 4096
		}
		all[fmt.Sprintf("dir%d/file%d", i%10, i)] = noise(uint64(i), n)
	}
	return all
}

// tarOf returns a layer of frames, and the tar in it.
func tarOf(t *testing.T, files map[string][]byte) (blob, content []byte, d ocispec.Descriptor) {
	t.Helper()
	var b, stored bytes.Buffer
	w := tar.NewWriter(&b)
	for i := range 10 {
		if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: fmt.Sprintf("dir%d", i), Mode: 0o755}); err != nil {
			t.Fatal(err)
		}
	}
	names := slices.Sorted(func(yield func(string) bool) {
		for name := range files {
			if !yield(name) {
				return
			}
		}
	})
	for _, name := range names {
		err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(files[name]))})
		if _, writeErr := w.Write(files[name]); errors.Join(err, writeErr) != nil {
			t.Fatal(err, writeErr)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	content = b.Bytes()
	l, err := writeLayer(bytes.NewReader(content), &stored)
	if err != nil {
		t.Fatal(err)
	}
	return stored.Bytes(), content[:l.index.ContentSize()], described(l, stored.Len())
}

// described returns the whole descriptor of a blob.
func described(l *layer, size int) ocispec.Descriptor {
	d := l.descriptor
	d.Size = int64(size)
	return d
}

// diskOf returns a disk of frames, and its content, in which data stands far
// apart.
func diskOf(t *testing.T) (blob, content []byte, d ocispec.Descriptor) {
	t.Helper()
	content = make([]byte, 40<<20)
	for i := range uint64(20) {
		copy(content[i*2<<20:], noise(i, 300<<10))
	}
	var stored bytes.Buffer
	l, err := writeFramed(&stored, func(frames *frame.Writer, sum hash.Hash) error {
		grid := frame.NewGrid(frames)
		_, err := io.MultiWriter(sum, grid).Write(content)
		return errors.Join(err, grid.Close())
	})
	if err != nil {
		t.Fatal(err)
	}
	d = described(l, stored.Len())
	d.MediaType = api.MediaTypeFramed("disk")
	d.Annotations[api.AnnotationContentDigest] = l.diffID.String()
	d.Annotations[api.AnnotationContentSize] = fmt.Sprint(len(content))
	return stored.Bytes(), content, d
}

// openNear opens a blob in pieces, with a cache.
func (r *plainRegistry) openNear(t *testing.T, d ocispec.Descriptor) layerContent {
	t.Helper()
	cache, err := lazy.Open("", 1<<30)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cache.Close(); err != nil {
			t.Error(err)
		}
	})
	content, _, err := r.openPieces(t.Context(), d, OpenOptions{Near: cache})
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func checkContent(t *testing.T, got io.ReaderAt, want []byte, off, n int) {
	t.Helper()
	p := make([]byte, n)
	if _, err := got.ReadAt(p, int64(off)); err != nil && err != io.EOF || !bytes.Equal(p, want[off:off+n]) {
		t.Fatalf("%d bytes at %d differ: %v", n, off, err)
	}
}

func TestDisksAreReadInPiecesFromPlainRegistries(t *testing.T) {
	blob, content, d := diskOf(t)
	for way, serve := range ways {
		t.Run(way, func(t *testing.T) {
			r := newPlainRegistry(t, blob, serve)
			l := r.openNear(t, d)
			if way == "the whole" {
				r.mustWarn(t, l)
				return
			}
			checkContent(t, l, content, 4<<20+1000, 200<<10)
			checkContent(t, l, content, 5<<20, 100) // zeros
			if n := r.sent.Load(); n > 400<<10 {
				t.Errorf("%d bytes were sent for 200 KiB of content", n)
			}
			checkContent(t, l, content, 0, len(content))
		})
	}
}

// mustWarn checks that a blob which cannot be read in pieces was not opened, and
// that this was said.
func (r *plainRegistry) mustWarn(t *testing.T, l layerContent) {
	t.Helper()
	if l != nil {
		t.Error("it was opened")
	}
	said := false
	r.warned.Range(func(text, _ any) bool {
		said = said || strings.Contains(text.(string), "fetched whole")
		return true
	})
	if !said {
		t.Error("nothing was said")
	}
}

func TestLayersAreReadInPiecesFromPlainRegistries(t *testing.T) {
	want := files()
	blob, content, d := tarOf(t, want)
	for way, serve := range ways {
		t.Run(way, func(t *testing.T) {
			r := newPlainRegistry(t, blob, serve)
			l := r.openNear(t, d)
			if way == "the whole" {
				r.mustWarn(t, l)
				return
			}
			tree, err := image.Merge([]image.Layer{{Digest: "l", Tar: l, Size: l.Size()}})
			if err != nil {
				t.Fatal(err)
			}
			if way == "many ranges in a request" && (r.sent.Load() > int64(len(blob)/5) || r.asked.Load() > 10) {
				t.Errorf("%d of %d bytes were sent in %d requests to know the files", r.sent.Load(), len(blob), r.asked.Load())
			}
			for name, content := range want {
				got, err := tree.Lookup(name).Read(t.Context(), only{l}, 1<<20)
				if err != nil || !bytes.Equal(got, content) {
					t.Fatalf("%s differs: %v", name, err)
				}
			}
			checkContent(t, l, content, 0, len(content))
		})
	}
}

// only opens one layer.
type only struct{ layerContent }

func (o only) OpenBlob(context.Context, extent.Digest) (extent.Blob, error) {
	return openLayer(o), nil
}

func TestDamagedPartsAreRefused(t *testing.T) {
	blob, _, d := diskOf(t)
	serve := ways["many ranges in a request"]
	offset, _, _, _ := api.FrameIndexPosition(d.Annotations)
	for name, c := range map[string]struct {
		damage func(blob []byte)
		want   error
	}{
		"the index": {func(b []byte) { b[offset+40] ^= 1 }, nil},
		"a frame":   {func(b []byte) { b[1000] ^= 1 }, frame.ErrCorrupt},
	} {
		t.Run(name, func(t *testing.T) {
			damaged := bytes.Clone(blob)
			c.damage(damaged)
			r := newPlainRegistry(t, damaged, serve)
			if c.want == nil {
				if _, err := r.openFramed(t.Context(), d); err == nil || !strings.Contains(err.Error(), "digest") {
					t.Errorf("got %v", err)
				}
				return
			}
			if _, err := r.openNear(t, d).ReadAt(make([]byte, 10), 0); !errors.Is(err, c.want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestPartsThatWereNotAskedForAreRefused(t *testing.T) {
	blob, _, d := diskOf(t)
	for name, contentRange := range map[string]string{
		"another part": "bytes 5-9/100", "no range": "", "backwards": "bytes 9-5/100", "negative": "bytes -5-9/100", "another unit": "lines 1-2/3",
	} {
		t.Run(name, func(t *testing.T) {
			r := newPlainRegistry(t, blob, func(w http.ResponseWriter, _ *http.Request, _ []byte) {
				w.Header().Set("Content-Range", contentRange)
				w.WriteHeader(http.StatusPartialContent)
				_, _ = w.Write([]byte("hello"))
			})
			if _, err := r.openFramed(t.Context(), d); err == nil {
				t.Error("no error")
			}
		})
	}
}
