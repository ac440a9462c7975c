package tarball

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// readAll returns the entries of a tar, read in both ways, which must agree.
func readAll(t testing.TB, data []byte) []*Entry {
	t.Helper()
	at, err := collect(NewReaderAt(bytes.NewReader(data), int64(len(data))))
	if err != nil {
		t.Fatal(err)
	}
	streamed, err := collect(newReader(bytes.NewReader(data)))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(at, streamed) {
		t.Fatal("a stream and a file with the same tar give different entries")
	}
	return at
}

func collect(r *Reader) (entries []*Entry, err error) {
	for {
		e, err := r.Next()
		if err == io.EOF {
			return entries, nil
		}
		if err != nil {
			return entries, err
		}
		entries = append(entries, e)
	}
}

// contentOf puts a file together from its fragments.
func contentOf(data []byte, e *Entry) []byte {
	p := make([]byte, e.Size)
	for _, f := range e.Content {
		copy(p[f.Start:], data[f.Offset:f.Offset+f.Length])
	}
	return p
}

// fixture makes a directory with files of many kinds and returns its path.
func fixture(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	// ustar can split this path at a slash; v7 cannot hold it.
	deep := "deep/" + strings.Repeat("d", 60) + "/" + strings.Repeat("e", 60)
	must(os.MkdirAll(filepath.Join(dir, deep), 0o755))
	must(os.WriteFile(filepath.Join(dir, deep, "f"), []byte("deep"), 0o600))
	must(os.WriteFile(filepath.Join(dir, "empty"), nil, 0o644))
	must(os.WriteFile(filepath.Join(dir, "block"), bytes.Repeat([]byte("b"), BlockSize), 0o644))
	must(os.WriteFile(filepath.Join(dir, "big"), bytes.Repeat([]byte("0123456789"), 30000), 0o644))
	must(os.Chmod(filepath.Join(dir, "big"), 0o4755))
	must(os.Link(filepath.Join(dir, "big"), filepath.Join(dir, "big-too")))
	must(os.Symlink("../outside/of/this", filepath.Join(dir, "link")))
	must(syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o640))
	must(os.Mkdir(filepath.Join(dir, "sticky"), 0o755))
	must(os.Chmod(filepath.Join(dir, "sticky"), 0o777|os.ModeSticky))
	for i, name := range []string{"empty", "block", "sticky"} {
		at := time.Unix(1_600_000_000+int64(i), 123_456_789)
		must(os.Chtimes(filepath.Join(dir, name), at, at))
	}
	return dir
}

// compare checks an entry against the file it was made of.
func compare(t *testing.T, dir string, data []byte, e *Entry, nanoseconds bool) {
	t.Helper()
	if e.HardLink != "" {
		a, _ := os.Lstat(filepath.Join(dir, e.Path))
		b, _ := os.Lstat(filepath.Join(dir, e.HardLink))
		if !os.SameFile(a, b) {
			t.Errorf("%q is said to be another name of %q", e.Path, e.HardLink)
		}
		return
	}
	var st syscall.Stat_t
	if err := syscall.Lstat(filepath.Join(dir, e.Path), &st); err != nil {
		t.Error(err)
		return
	}
	if e.Mode != st.Mode || e.UID != st.Uid || e.GID != st.Gid {
		t.Errorf("%q: mode %o owner %d:%d, want %o %d:%d", e.Path, e.Mode, e.UID, e.GID, st.Mode, st.Uid, st.Gid)
	}
	want := time.Unix(st.Mtim.Sec, st.Mtim.Nsec)
	if !nanoseconds {
		want = want.Truncate(time.Second)
	}
	if !e.ModTime.Equal(want) {
		t.Errorf("%q: time %v, want %v", e.Path, e.ModTime, want)
	}
	switch e.Mode & syscall.S_IFMT {
	case syscall.S_IFREG:
		content, _ := os.ReadFile(filepath.Join(dir, e.Path))
		if !bytes.Equal(contentOf(data, e), content) {
			t.Errorf("%q: its content is not that of the file", e.Path)
		}
	case syscall.S_IFLNK:
		if target, _ := os.Readlink(filepath.Join(dir, e.Path)); target != e.Target {
			t.Errorf("%q: leads to %q, want %q", e.Path, e.Target, target)
		}
	}
}

func TestReadsWhatTarProgramsWrite(t *testing.T) {
	dir := fixture(t)
	for _, c := range []struct {
		command     []string
		nanoseconds bool
		leftOut     int // files the format cannot hold
	}{
		{[]string{"tar", "--format=v7", "--exclude=./deep/*", "--exclude=./pipe", "-cf", "-", "."}, false, 4},
		{[]string{"tar", "--format=ustar", "-cf", "-", "."}, false, 0},
		{[]string{"tar", "--format=oldgnu", "-cf", "-", "."}, false, 0},
		{[]string{"tar", "--format=gnu", "-cf", "-", "."}, false, 0},
		{[]string{"tar", "--format=pax", "-cf", "-", "."}, true, 0},
		{[]string{"bsdtar", "--format=ustar", "-cf", "-", "."}, false, 0},
		{[]string{"bsdtar", "--format=gnutar", "-cf", "-", "."}, false, 0},
		{[]string{"bsdtar", "--format=pax", "-cf", "-", "."}, true, 0},
	} {
		t.Run(strings.Join(c.command[:2], " "), func(t *testing.T) {
			data := run(t, dir, nil, c.command[0], c.command[1:]...)
			entries := readAll(t, data)
			if want := 12 - c.leftOut; len(entries) != want {
				t.Errorf("%d entries, want %d", len(entries), want)
			}
			for _, e := range entries {
				compare(t, dir, data, e, c.nanoseconds)
			}
		})
	}
}

func TestReadsEveryKindOfSparseFile(t *testing.T) {
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, "sparse"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const stride = 64 << 10
	for i := range int64(60) { // more than fit in a header and two extension blocks
		if _, err := f.WriteAt(fmt.Appendf(nil, "data %d", i), i*stride+4096); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Truncate(61 * stride); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "hole"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(dir, "hole"), 1<<20+7); err != nil {
		t.Fatal(err)
	}
	for _, flags := range [][]string{
		{"--format=oldgnu"}, {"--format=gnu"},
		{"--format=pax", "--sparse-version=0.0"},
		{"--format=pax", "--sparse-version=0.1"},
		{"--format=pax", "--sparse-version=1.0"},
	} {
		t.Run(strings.Join(flags, " "), func(t *testing.T) {
			// Scanning for zeros does not ask what the file system can do.
			args := append(slices.Clone(flags), "--sparse", "--hole-detection=raw", "-cf", "-", "hole", "sparse", "hole")
			data := run(t, dir, nil, "tar", args...)
			if len(data) > 2<<20 {
				t.Fatalf("a tar of %d bytes: it is not sparse", len(data))
			}
			entries := readAll(t, data)
			if len(entries) != 3 || entries[1].Path != "sparse" || len(entries[1].Content) != 60 {
				t.Fatalf("entries %+v", entries)
			}
			for _, e := range entries {
				if e.HardLink == "" {
					compare(t, dir, data, e, strings.Contains(flags[0], "pax"))
				}
			}
		})
	}
}

func TestReadsAttributesAndACLs(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "f")
	if err := os.WriteFile(file, []byte("x"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setxattr(file, "user.plain", []byte("a\x00=\nb"), 0); errors.Is(err, syscall.ENOTSUP) {
		t.Skipf("the file system of %s has no extended attributes; set TMPDIR to one that has", dir)
	}
	run(t, dir, nil, "setfacl", "-m", "u:12345:rw,g:54321:r", "f")
	run(t, dir, nil, "setfacl", "-d", "-m", "u:12345:rwx", ".")
	for _, command := range [][]string{
		{"tar", "--format=pax", "--xattrs", "--acls", "-cf", "-", "."},
		{"tar", "--format=pax", "--acls", "-cf", "-", "."},
		{"bsdtar", "--format=pax", "--xattrs", "--acls", "-cf", "-", "."},
	} {
		t.Run(strings.Join(command, " "), func(t *testing.T) {
			entries := readAll(t, run(t, dir, nil, command[0], command[1:]...))
			for _, e := range entries {
				attrs := make(map[string]string)
				for _, x := range e.Xattrs {
					attrs[x.Name] = string(x.Value)
				}
				for _, name := range []string{"user.plain", xattrACLAccess, xattrACLDefault} {
					want := make([]byte, 1024)
					n, err := syscall.Getxattr(filepath.Join(dir, e.Path), name, want)
					if err != nil || name == "user.plain" && !strings.Contains(strings.Join(command, " "), "--xattrs") {
						n = 0
					}
					if attrs[name] != string(want[:n]) {
						t.Errorf("%q: %s is %q, want %q", e.Path, name, attrs[name], want[:n])
					}
				}
			}
		})
	}
}

// goTar makes a tar with the standard library.
func goTar(t testing.TB, headers ...*tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range headers {
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.CopyN(w, strings.NewReader(strings.Repeat("x", int(h.Size))), h.Size); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestReadsLargeNumbersAndTimes(t *testing.T) {
	for _, format := range []tar.Format{tar.FormatGNU, tar.FormatPAX} {
		h := &tar.Header{
			Typeflag: tar.TypeBlock, Name: "/abs//" + strings.Repeat("n", 200), Mode: 0o7777,
			Uid: 3_000_000_000, Gid: 4_000_000_000, ModTime: time.Unix(-5, 0), Devmajor: 4095, Devminor: 1<<20 - 1, Format: format,
		}
		if format == tar.FormatPAX {
			h.ModTime = time.Unix(-5, 250_000_000)
		}
		e := readAll(t, goTar(t, h))[0]
		want := &Entry{
			Path: h.Name[1:4] + h.Name[5:], Mode: syscall.S_IFBLK | 0o7777, UID: 3_000_000_000, GID: 4_000_000_000,
			ModTime: h.ModTime, Major: 4095, Minor: 1<<20 - 1,
		}
		if !reflect.DeepEqual(e, want) {
			t.Errorf("%v:\n got %+v\nwant %+v", format, e, want)
		}
	}
}

func TestGlobalHeaderHoldsUntilTheNext(t *testing.T) {
	global := func(records map[string]string) *tar.Header {
		return &tar.Header{Typeflag: tar.TypeXGlobalHeader, PAXRecords: records}
	}
	data := goTar(t,
		global(map[string]string{"uid": "77", "comment": "c"}),
		&tar.Header{Name: "a", Uid: 1},
		&tar.Header{Name: "b", Uid: 1, PAXRecords: map[string]string{"uid": "5"}},
		global(map[string]string{"uid": "78"}),
		&tar.Header{Name: "c", Uid: 1})
	entries := readAll(t, data)
	// Go writes b's own uid as it is in the struct.
	if entries[0].UID != 77 || entries[2].UID != 78 {
		t.Errorf("owners %d and %d, want 77 and 78", entries[0].UID, entries[2].UID)
	}
}

func TestTarMayEndAtABlock(t *testing.T) {
	data := goTar(t, &tar.Header{Name: "a", Size: 3}, &tar.Header{Name: "b", Size: 512})
	whole := data[:len(data)-2*BlockSize]
	for zeros := range 3 {
		if n := len(readAll(t, data[:len(whole)+zeros*BlockSize])); n != 2 {
			t.Errorf("with %d blocks of zeros: %d entries, want 2", zeros, n)
		}
	}
	if err := Cut(bytes.NewReader(whole), noFrames{}, nil); !errors.Is(err, ErrTruncated) {
		t.Errorf("a tar without an end was cut into frames: %v", err)
	}
	if err := Cut(bytes.NewReader(data[:len(whole)+BlockSize]), noFrames{}, nil); err != nil {
		t.Errorf("a tar that ends in one block of zeros: %v", err)
	}
}

func TestTruncatedTarSaysWhere(t *testing.T) {
	data := goTar(t,
		&tar.Header{Name: "first", Size: 100},
		&tar.Header{Name: strings.Repeat("long/", 50) + "second", Size: 1000, Format: tar.FormatPAX},
		&tar.Header{Name: strings.Repeat("long/", 50) + "third", Size: 700, Format: tar.FormatGNU})
	end := len(data) - BlockSize // less one block of zeros, it is still whole
	for n := 1; n < end; n += 61 {
		err := Cut(bytes.NewReader(data[:n]), noFrames{}, nil)
		var where *Error
		if n < BlockSize {
			if !errors.Is(err, ErrNotTar) {
				t.Fatalf("cut to %d bytes: %v", n, err)
			}
			continue
		}
		if !errors.Is(err, ErrTruncated) || !errors.As(err, &where) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
		if where.Offset != int64(n) {
			t.Errorf("cut to %d bytes: the error is at %d: %v", n, where.Offset, err)
		}
		_, err = collect(NewReaderAt(bytes.NewReader(data), int64(n)))
		if n%BlockSize != 0 && !errors.Is(err, ErrTruncated) {
			t.Errorf("cut to %d bytes, read at offsets: %v", n, err)
		}
	}
	err := Cut(bytes.NewReader(data[:BlockSize+50]), noFrames{}, nil)
	if err == nil || !strings.Contains(err.Error(), `"first"`) {
		t.Errorf("the error does not name the entry: %v", err)
	}
}

func TestReadErrorsAreNotTakenForTheEnd(t *testing.T) {
	data := goTar(t, &tar.Header{Name: "a", Size: 3})
	broken := errors.New("broken")
	for _, err := range []error{broken, io.ErrUnexpectedEOF} {
		for _, n := range []int{0, 100, BlockSize, BlockSize + 1, 2 * BlockSize, len(data)} {
			r := io.MultiReader(bytes.NewReader(data[:n]), errReader{err})
			if got := Cut(r, noFrames{}, nil); !errors.Is(got, err) {
				t.Errorf("%v after %d bytes: %v", err, n, got)
			}
		}
	}
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

func TestWhatIsNotATarIsNamed(t *testing.T) {
	at := func(off int, magic string) string { return strings.Repeat("\x00", off) + magic }
	for want, data := range map[string]string{
		"qcow2":     "QFI\xfb\x00\x00\x00\x03",
		"ELF":       "\x7fELF\x02",
		"zstd":      "\x28\xb5\x2f\xfd",
		"VDI":       at(0x40, "\x7f\x10\xda\xbe"),
		"ext4":      at(1024+56, "\x53\xef"),
		"ISO 9660":  at(32769, "CD001"),
		`"hello`:    "hello world",
		"a GPT":     at(512, "EFI PART"),
		"one block": "tiny",
	} {
		if want != "one block" {
			data += strings.Repeat("y", 40000)
		}
		_, err := collect(newReader(strings.NewReader(data)))
		_, err2 := collect(NewReaderAt(strings.NewReader(data), int64(len(data))))
		for _, err := range []error{err, err2} {
			if !errors.Is(err, ErrNotTar) || !strings.Contains(err.Error(), want) {
				t.Errorf("want an error about %s, got: %v", want, err)
			}
		}
	}
}
