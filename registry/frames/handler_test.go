package frames_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cloudlets/cloudlets/api"
	"github.com/cloudlets/cloudlets/blobstore"
	"github.com/cloudlets/cloudlets/blobstore/file"
	"github.com/cloudlets/cloudlets/blobstore/frame"
	"github.com/cloudlets/cloudlets/registry"
	"github.com/cloudlets/cloudlets/registry/frames"
	"github.com/cloudlets/cloudlets/registry/metadata"
)

const repository = "golden/debian"

// fixture is a registry with the extension.
type fixture struct {
	*testing.T
	url   string
	meta  *metadata.Store
	blobs *blobstore.Store
}

func newFixture(t *testing.T) fixture {
	t.Helper()
	dir := t.TempDir()
	driver, err := file.New(dir)
	if err != nil {
		t.Fatal(err)
	}
	meta, err := metadata.OpenSQLite(t.Context(), filepath.Join(dir, "metadata.sqlite"), metadata.Options{})
	if err != nil {
		t.Fatal(err)
	}
	blobs, err := blobstore.New(driver, meta)
	if err != nil {
		t.Fatal(err)
	}
	handler := frames.New(blobs, meta)
	server, err := registry.New(registry.Config{
		Blobs: blobs, Metadata: meta, Log: slog.New(slog.DiscardHandler),
		Extensions: map[string]registry.ExtensionHandler{
			api.ComponentFrames: handler.ServeExtension,
			api.ComponentLayers: handler.ServeLayers,
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	hs := httptest.NewServer(server)
	t.Cleanup(func() {
		hs.Close()
		if err := meta.Close(); err != nil {
			t.Error(err)
		}
	})
	return fixture{t, hs.URL, meta, blobs}
}

// layer is a blob of frames.
type layer struct {
	blob  []byte
	index *frame.Index
	pos   frame.Position
}

func (l layer) digest() digest.Digest { return digest.FromBytes(l.blob) }

// makeLayer makes a layer of which each seed is a frame.
func makeLayer(t *testing.T, seeds ...uint64) layer {
	t.Helper()
	var out bytes.Buffer
	w, err := frame.NewWriter(&out)
	if err != nil {
		t.Fatal(err)
	}
	for _, seed := range seeds {
		content := make([]byte, 2000)
		r := rand.New(rand.NewPCG(seed, 0))
		for i := range content {
			content[i] = byte(r.Uint32())
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
		if err := w.Cut(); err != nil {
			t.Fatal(err)
		}
	}
	index, pos, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	return layer{out.Bytes(), index, pos}
}

// do sends a request and returns the status and the body.
func (f fixture) do(method, path string, header http.Header, body []byte) (int, []byte) {
	f.Helper()
	req, err := http.NewRequestWithContext(f.Context(), method, f.url+"/v2/"+repository+path, bytes.NewReader(body))
	if err != nil {
		f.Fatal(err)
	}
	req.Header = header
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		f.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		f.Fatal(err)
	}
	return resp.StatusCode, answer
}

// push pushes a layer the standard way, with a manifest that refers to it.
func (f fixture) push(l layer) {
	f.Helper()
	f.upload(l.blob)
	f.upload([]byte("{}"))
	f.putManifest(l)
}

func (f fixture) upload(blob []byte) {
	f.Helper()
	status, answer := f.do(http.MethodPost, "/blobs/uploads/?digest="+digest.FromBytes(blob).String(),
		http.Header{"Content-Type": {"application/octet-stream"}}, blob)
	if status != http.StatusCreated {
		f.Fatalf("upload: %d %s", status, answer)
	}
}

func (f fixture) putManifest(l layer) {
	f.Helper()
	raw, err := json.Marshal(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    ocispec.Descriptor{MediaType: ocispec.MediaTypeImageConfig, Digest: digest.FromString("{}"), Size: 2},
		Layers: []ocispec.Descriptor{{
			MediaType: ocispec.MediaTypeImageLayerZstd, Digest: l.digest(), Size: int64(len(l.blob)),
			Annotations: map[string]string{api.AnnotationFramesDigest: l.pos.Digest.String()},
		}},
	})
	if err != nil {
		f.Fatal(err)
	}
	header := http.Header{"Content-Type": {ocispec.MediaTypeImageManifest}}
	if status, answer := f.do(http.MethodPut, "/manifests/v"+strconv.Itoa(len(l.blob)), header, raw); status != http.StatusCreated {
		f.Fatalf("put manifest: %d %s", status, answer)
	}
}

// offer offers the index of a layer.
func (f fixture) offer(l layer) api.Offer {
	f.Helper()
	status, answer := f.do(http.MethodPost, "/_cloudlets/frames/"+l.digest().String(), nil, l.index.Encode())
	if status != http.StatusOK {
		f.Fatalf("offer: %d %s", status, answer)
	}
	var o api.Offer
	if err := json.Unmarshal(answer, &o); err != nil {
		f.Fatal(err)
	}
	return o
}

// send sends frames of a layer under a digest.
func (f fixture) send(l layer, d digest.Digest, which ...int) (int, []byte) {
	f.Helper()
	body := l.index.Encode()
	size := len(body)
	bits := make([]byte, (l.index.Len()+7)/8)
	var stored []byte
	for _, i := range which {
		bits[i/8] |= 0x80 >> (i % 8)
		x := l.index.At(i)
		stored = append(stored, l.blob[x.Offset:x.Offset+x.Size]...)
	}
	return f.do(http.MethodPut, "/_cloudlets/frames/"+d.String(),
		http.Header{api.HeaderIndexSize: {strconv.Itoa(size)}}, append(append(body, bits...), stored...))
}

// expect pulls a layer and compares.
func (f fixture) expect(l layer) {
	f.Helper()
	status, got := f.do(http.MethodGet, "/blobs/"+l.digest().String(), nil, nil)
	if status != http.StatusOK || !bytes.Equal(got, l.blob) {
		f.Fatalf("pulling the layer: %d, %d bytes, want %d", status, len(got), len(l.blob))
	}
}

func TestOnlyMissingFramesAreSent(t *testing.T) {
	f := newFixture(t)
	old, updated := makeLayer(t, 1, 2, 3, 4, 5), makeLayer(t, 1, 9, 3, 4, 8, 7, 5, 1)
	f.push(old)
	o := f.offer(updated)
	want := []api.FrameRange{{First: 1, Count: 1}, {First: 4, Count: 2}}
	if fmt.Sprint(o.Missing) != fmt.Sprint(want) || o.Exists {
		t.Fatalf("missing %v, want %v", o.Missing, want)
	}
	if status, answer := f.send(updated, updated.digest(), 1, 4, 5); status != http.StatusCreated {
		t.Fatalf("send: %d %s", status, answer)
	}
	f.expect(updated)
	f.expect(old)
	if record, err := f.blobs.Stat(t.Context(), updated.digest()); err != nil || record.Kind != blobstore.Mapped {
		t.Errorf("the layer is kept as %+v (%v), want a map", record, err)
	}
	if o := f.offer(updated); !o.Exists {
		t.Error("the layer is there, and is still asked for")
	}
}

func TestAThirdVersionSharesWithBothBefore(t *testing.T) {
	f := newFixture(t)
	f.push(makeLayer(t, 1, 2, 3))
	second, third := makeLayer(t, 1, 4, 3), makeLayer(t, 2, 4, 5)
	if status, answer := f.send(second, second.digest(), 1); status != http.StatusCreated {
		t.Fatalf("send: %d %s", status, answer)
	}
	f.putManifest(second)
	if o := f.offer(third); len(o.Missing) != 1 || o.Missing[0].First != 2 {
		t.Fatalf("missing %v", o.Missing)
	}
	if status, answer := f.send(third, third.digest(), 2); status != http.StatusCreated {
		t.Fatalf("send: %d %s", status, answer)
	}
	f.expect(third)
	record, err := f.blobs.Stat(t.Context(), third.digest())
	if err != nil {
		t.Fatal(err)
	}
	for _, needed := range record.Needs {
		if r, err := f.blobs.Stat(t.Context(), needed); err != nil || r.Kind != blobstore.Whole {
			t.Errorf("the layer needs %s, kept as %s (%v): maps must not stand on maps", needed, r.Kind, err)
		}
	}
}

func TestEldersAreLayersOfTheRepository(t *testing.T) {
	f := newFixture(t)
	count := func() (e api.Elders) {
		status, answer := f.do(http.MethodGet, "/_cloudlets/frames", nil, nil)
		if err := json.Unmarshal(answer, &e); err != nil || status != http.StatusOK {
			t.Fatal(status, err)
		}
		return e
	}
	if e := count(); e.Blobs != 0 {
		t.Errorf("an empty repository has %d elders", e.Blobs)
	}
	f.push(makeLayer(t, 1, 2))
	if e := count(); e.Blobs != 1 {
		t.Errorf("there are %d elders, want 1", e.Blobs)
	}
}

func TestWhatIsWrongIsRefused(t *testing.T) {
	f := newFixture(t)
	f.push(makeLayer(t, 1, 2, 3))
	l := makeLayer(t, 1, 9, 3)
	lying := layer{bytes.Clone(l.blob), l.index, l.pos}
	lying.blob[l.index.At(1).Offset] ^= 1
	for name, c := range map[string]struct {
		send func() (int, []byte)
		code string
	}{
		"a digest that the frames do not make":  {func() (int, []byte) { return f.send(l, digest.FromString("a lie"), 1) }, registry.CodeDigestInvalid},
		"a frame that is neither sent nor held": {func() (int, []byte) { return f.send(l, l.digest()) }, registry.CodeBlobUploadInvalid},
		"a frame that is not what it should be": {func() (int, []byte) { return f.send(lying, l.digest(), 1) }, registry.CodeBlobUploadInvalid},
		"an index that is none": {func() (int, []byte) {
			return f.do(http.MethodPost, "/_cloudlets/frames/"+l.digest().String(), nil, []byte("hello"))
		}, registry.CodeBlobUploadInvalid},
		"an upload without the size of its index": {func() (int, []byte) {
			return f.do(http.MethodPut, "/_cloudlets/frames/"+l.digest().String(), nil, l.index.Encode())
		}, registry.CodeSizeInvalid},
		"a body that ends early": {func() (int, []byte) {
			index := l.index.Encode()
			return f.do(http.MethodPut, "/_cloudlets/frames/"+l.digest().String(), http.Header{api.HeaderIndexSize: {strconv.Itoa(len(index))}}, index)
		}, registry.CodeBlobUploadInvalid},
		"a layer without a digest": {func() (int, []byte) {
			return f.do(http.MethodPost, "/_cloudlets/frames/latest", nil, l.index.Encode())
		}, registry.CodeDigestInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			status, answer := c.send()
			if status != http.StatusBadRequest || !strings.Contains(string(answer), c.code) {
				t.Errorf("got %d %s, want 400 with %s", status, answer, c.code)
			}
		})
	}
	if status, _ := f.do(http.MethodHead, "/blobs/"+l.digest().String(), nil, nil); status != http.StatusNotFound {
		t.Errorf("the refused layer is there: %d", status)
	}
}
