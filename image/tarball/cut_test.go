package tarball

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"pgregory.net/rapid"
)

// frames keeps the frames it is given.
type frames struct {
	all  [][]byte
	open []byte
	t    interface{ Fatalf(string, ...any) }
}

func (f *frames) Write(p []byte) (int, error) {
	f.open = append(f.open, p...)
	return len(p), nil
}

func (f *frames) Cut() error {
	if len(f.open) == 0 || len(f.open) > FrameSize {
		f.t.Fatalf("a frame of %d bytes", len(f.open))
	}
	f.all = append(f.all, f.open)
	f.open = nil
	return nil
}

func TestCutFramesEveryFileApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		sizes := rapid.SliceOfN(rapid.OneOf(rapid.IntRange(0, 3*BlockSize), rapid.IntRange(0, 3*FrameSize)), 0, 6).Draw(t, "sizes")
		var want [][]byte
		for i, n := range sizes {
			name := strings.Repeat("n", rapid.IntRange(1, 200).Draw(t, "name"))
			content := bytes.Repeat([]byte{byte('a' + i)}, n)
			if err := w.WriteHeader(&tar.Header{Name: name, Size: int64(n)}); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write(content); err != nil {
				t.Fatal(err)
			}
			for len(content) > 0 {
				k := min(FrameSize, len(content))
				want = append(want, content[:k])
				content = content[k:]
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		tail := rapid.IntRange(0, 2*FrameSize).Draw(t, "tail")
		if len(sizes) > 0 { // or it would not be a tar
			b.Write(bytes.Repeat([]byte("junk"), tail/4))
		}

		f := frames{t: t}
		if err := Cut(reader(t, b.Bytes()), &f, nil); err != nil {
			t.Fatal(err)
		}
		if len(f.open) > 0 || !bytes.Equal(bytes.Join(f.all, nil), b.Bytes()) {
			t.Fatalf("the frames are not the tar; %d bytes after the last cut", len(f.open))
		}
		for _, frame := range f.all {
			if len(want) > 0 && bytes.Equal(frame, want[0]) {
				want = want[1:]
			}
		}
		if len(want) > 0 {
			t.Fatalf("%d frames of content missing", len(want))
		}
	})
}

// reader returns data in pieces of any size.
func reader(t *rapid.T, data []byte) io.Reader {
	r := io.Reader(bytes.NewReader(data))
	switch rapid.IntRange(0, 2).Draw(t, "reader") {
	case 1:
		return iotest.HalfReader(r)
	case 2:
		return iotest.DataErrReader(r)
	}
	return r
}

func TestCutGivesVisitorsTheContent(t *testing.T) {
	data := goTar(t, &tar.Header{Name: "a", Size: 5}, &tar.Header{Name: "b", Size: 300_000}, &tar.Header{Name: "c", Size: 7})
	var names []string
	var content bytes.Buffer
	err := Cut(bytes.NewReader(data), noFrames{}, func(e *Entry) (io.Writer, error) {
		names = append(names, e.Path)
		if e.Path == "b" {
			return &content, nil
		}
		return nil, nil
	})
	if err != nil || strings.Join(names, " ") != "a b c" || content.String() != strings.Repeat("x", 300_000) {
		t.Errorf("visited %q, got %d bytes, %v", names, content.Len(), err)
	}
	stop := errors.New("stop")
	if err := Cut(bytes.NewReader(data), noFrames{}, func(*Entry) (io.Writer, error) { return nil, stop }); !errors.Is(err, stop) {
		t.Errorf("the visitor's error is lost: %v", err)
	}
}

func TestCutReturnsWriteErrors(t *testing.T) {
	full := errors.New("disk full")
	data := goTar(t, &tar.Header{Name: "a", Size: 300_000})
	for n := range 6 {
		if err := Cut(bytes.NewReader(data), &failing{after: n, err: full}, nil); !errors.Is(err, full) {
			t.Errorf("after %d calls: %v", n, err)
		}
	}
}

type failing struct {
	after int
	err   error
}

func (f *failing) Write(p []byte) (int, error) { return len(p), f.Cut() }

func (f *failing) Cut() error {
	if f.after--; f.after < 0 {
		return f.err
	}
	return nil
}

func FuzzCut(f *testing.F) {
	f.Add(goTar(f, &tar.Header{Name: "a", Size: 5}, &tar.Header{Name: "b", Size: 700}))
	f.Add(withRecords("1\n0\n1\n"+strings.Repeat("\x00", 506)+"x", "GNU.sparse.realsize=9", "GNU.sparse.major=1", "GNU.sparse.minor=0"))
	f.Fuzz(func(t *testing.T, data []byte) {
		out := frames{t: t}
		if err := Cut(bytes.NewReader(data), &out, nil); err != nil {
			return
		}
		if !bytes.Equal(bytes.Join(out.all, nil), data) || len(out.open) > 0 {
			t.Fatal("the frames are not the tar")
		}
	})
}

func BenchmarkCut(b *testing.B) {
	const files, size = 1000, 28_000
	headers := make([]*tar.Header, files)
	for i := range headers {
		headers[i] = &tar.Header{Name: "file", Size: size}
	}
	data := goTar(b, headers...)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if err := Cut(bytes.NewReader(data), noFrames{}, nil); err != nil {
			b.Fatal(err)
		}
	}
}

func TestDecompressKnowsCompressionsByTheirBytes(t *testing.T) {
	data := goTar(t, &tar.Header{Name: "a", Size: 1_000_000})
	for kind, command := range map[Compression][]string{
		Uncompressed: nil,
		Gzip:         {"gzip", "-c"},
		Zstd:         {"zstd", "-q", "--long=27", "-c"},
		XZ:           {"xz", "-c"},
		Bzip2:        {"bzip2", "-c"},
	} {
		packed := data
		if command != nil {
			packed = run(t, "", data, command[0], command[1:]...)
		}
		r, got, err := Decompress(bytes.NewReader(packed))
		if err != nil || got != kind {
			t.Errorf("%s: taken for %s: %v", kind, got, err)
			continue
		}
		hash := sha256.New()
		if _, err := io.Copy(hash, r); err != nil || [32]byte(hash.Sum(nil)) != sha256.Sum256(data) {
			t.Errorf("%s: other content, %v", kind, err)
		}
		if err := r.Close(); err != nil {
			t.Errorf("%s: close: %v", kind, err)
		}
		if kind == Uncompressed {
			continue
		}
		r, _, err = Decompress(bytes.NewReader(packed[:len(packed)/2]))
		if err == nil {
			err = Cut(r, noFrames{}, nil)
		}
		if err == nil || !strings.Contains(err.Error(), string(kind)) {
			t.Errorf("half of it, %s: %v", kind, err)
		}
	}
}

func TestDecompressRefusesHugeWindows(t *testing.T) {
	data := goTar(t, &tar.Header{Name: "a", Size: 1000})
	for command, want := range map[string]string{
		"zstd -q --ultra --long=28 -c": "--long=27",
		"xz --lzma2=dict=256MiB -c":    "dictionary",
	} {
		words := strings.Fields(command)
		r, _, err := Decompress(bytes.NewReader(run(t, "", data, words[0], words[1:]...)))
		if err == nil {
			_, err = io.Copy(io.Discard, r)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want an error with %q", command, err, want)
		}
	}
}

// noFrames is where frames go that nobody looks at.
type noFrames struct{}

func (noFrames) Write(p []byte) (int, error) { return len(p), nil }
func (noFrames) Cut() error                  { return nil }

// newReader returns a Reader of a stream, as Cut reads one.
func newReader(r io.Reader) *Reader { return &Reader{in: newStream(r, noFrames{})} }
