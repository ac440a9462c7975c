package tarball

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cloudlets/cloudlets/extent"
)

func fromDir(t testing.TB, dir string) (data []byte, warnings []string) {
	t.Helper()
	var b bytes.Buffer
	err := FromDir(t.Context(), dir, &b, func(path, what string) { warnings = append(warnings, path+": "+what) })
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), warnings
}

// addSparse adds a file with holes, and reports whether the file system kept them.
func addSparse(t testing.TB, path string) bool {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, off := range []int64{1 << 20, 3<<20 + 5} {
		if _, err := f.WriteAt([]byte("data"), off); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Truncate(5<<20 + 1); err != nil {
		t.Fatal(err)
	}
	var st syscall.Stat_t
	return syscall.Fstat(int(f.Fd()), &st) == nil && st.Blocks*statBlock < st.Size
}

func TestFromDirIsWhatTheDirectoryHolds(t *testing.T) {
	dir := fixture(t)
	sparse := addSparse(t, filepath.Join(dir, "sparse"))
	long := strings.Repeat("long-name-", 25)
	for name, content := range map[string]string{long: "long", "a\nb=\xff": "odd"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o400); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(strings.Repeat("t/", 200), filepath.Join(dir, "long-link")); err != nil {
		t.Fatal(err)
	}
	old := time.Unix(-1_000_000, 0) // bsdtar gets fractions of such times wrong
	if err := os.Chtimes(filepath.Join(dir, "empty"), old, old); err != nil {
		t.Fatal(err)
	}
	data, warnings := fromDir(t, dir)
	if len(warnings) > 0 {
		t.Errorf("warnings %q", warnings)
	}
	entries := readAll(t, data)
	if len(entries) != 16 || entries[0].Path != "" {
		t.Errorf("%d entries, the first %q", len(entries), entries[0].Path)
	}
	for _, e := range entries {
		compare(t, dir, data, e, true)
	}
	if sparse && len(data) > 1<<20 {
		t.Errorf("a tar of %d bytes: holes were written out", len(data))
	}
	if again, _ := fromDir(t, dir); !bytes.Equal(data, again) {
		t.Error("the second tar of a directory is not the same")
	}
	if err := Cut(bytes.NewReader(data), noFrames{}, nil); err != nil {
		t.Error(err)
	}
	for _, command := range [][]string{{"tar", "-xpf", "-", "--sparse"}, {"bsdtar", "-xpf", "-"}} {
		out := t.TempDir()
		run(t, out, data, command[0], command[1:]...)
		// bsdtar does not set the time of the directory it extracts to.
		if err := os.Chtimes(out, entries[0].ModTime, entries[0].ModTime); err != nil {
			t.Fatal(err)
		}
		if again, _ := fromDir(t, out); !bytes.Equal(data, again) {
			t.Errorf("what %s extracts makes another tar", command[0])
		}
	}
}

func TestFromDirKeepsAttributesAndACLs(t *testing.T) {
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
	data, _ := fromDir(t, dir)
	out := t.TempDir()
	run(t, out, data, "tar", "--xattrs", "--acls", "-xpf", "-")
	for _, command := range [][]string{{"getfacl", "-R", "-n", "."}, {"getfattr", "-R", "-d", "-m", "-", "."}} {
		want := run(t, dir, nil, command[0], command[1:]...)
		if got := run(t, out, nil, command[0], command[1:]...); !bytes.Equal(got, want) {
			t.Errorf("%v:\n%s\nwant\n%s", command, got, want)
		}
	}
	if again, _ := fromDir(t, out); !bytes.Equal(data, again) {
		t.Error("what tar extracts makes another tar")
	}
}

func TestFromDirLeavesSocketsOutAndSaysSo(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir) // the address of a socket has little room
	l, err := net.Listen("unix", "s")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	data, warnings := fromDir(t, dir)
	if n := len(readAll(t, data)); n != 1 || len(warnings) != 1 || !strings.Contains(warnings[0], "s: a socket") {
		t.Errorf("%d entries, warnings %q", n, warnings)
	}
}

func TestFromDirStopsWhenAsked(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := FromDir(ctx, fixture(t), new(bytes.Buffer), nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := FromDir(t.Context(), filepath.Join(t.TempDir(), "none"), new(bytes.Buffer), nil); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

func TestTimesSurvive(t *testing.T) {
	for _, s := range []string{"0", "1.5", "-1.5", "-0.000000001", "1600000000.123456789", "-62135596800"} {
		at, err := parseTime(s)
		if got := formatTime(at.Unix(), int64(at.Nanosecond())); err != nil || got != s {
			t.Errorf("%s became %s, %v", s, got, err)
		}
	}
}

func TestRecordsCountTheirOwnLength(t *testing.T) {
	for n := range 1200 {
		p := appendRecord(nil, "k", strings.Repeat("v", n))
		err := eachRecord(p, func(key, value string) error {
			if key != "k" || len(value) != n {
				t.Errorf("%d bytes became %d", n, len(value))
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
}

func TestAPlannedDirectoryIsTheTarOfIt(t *testing.T) {
	dir := fixture(t)
	addSparse(t, filepath.Join(dir, "sparse"))
	want, _ := fromDir(t, dir)
	planned, err := OpenDir(t.Context(), dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer planned.Close()
	var got bytes.Buffer
	r := extent.NewReader(t.Context(), planned.Map, planned)
	defer r.Close()
	if _, err := r.WriteTo(&got); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Error("what is planned is not what is written")
	}
}

func TestAPlannedDirectoryDoesNotFollowWhatChanged(t *testing.T) {
	for name, change := range map[string]func(path string) error{
		"grew":    func(path string) error { return os.WriteFile(path, []byte("longer than before"), 0o644) },
		"is gone": os.Remove,
		"became a link": func(path string) error {
			return errors.Join(os.Remove(path), os.Symlink("/etc/passwd", path))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "file")
			if err := os.WriteFile(path, []byte("before"), 0o644); err != nil {
				t.Fatal(err)
			}
			planned, err := OpenDir(t.Context(), dir, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer planned.Close()
			if err := change(path); err != nil {
				t.Fatal(err)
			}
			if b, err := planned.OpenBlob(t.Context(), "file"); err == nil {
				b.Close()
				t.Error("the file was opened")
			}
		})
	}
}

func TestWhatGitKeepsBesideARootfsIsNoPartOfIt(t *testing.T) {
	always := []string{"etc/hostname", "opt/app/.git/config", "opt/.cloudlet/metadata"}
	gits := []string{".git/", ".git/config", ".cloudlet/", ".cloudlet/metadata"}
	for name, test := range map[string]struct {
		more, leftOut []string
	}{
		"cloudlets git":                {[]string{".git/cloudlets/wanted"}, append(gits, ".git/cloudlets/wanted")},
		"cloudlets git and a manifest": {[]string{".git/cloudlets/wanted", ".cloudlet/manifest"}, []string{".git/", ".git/config", ".git/cloudlets/wanted", ".cloudlet/metadata"}},
		"git alone":                    {nil, nil},
		"a file in place of the state": {[]string{".git/cloudlets"}, nil},
	} {
		files := slices.Concat(test.more, always, []string{".git/config", ".cloudlet/metadata"})
		dir := t.TempDir()
		for _, path := range files {
			path = filepath.Join(dir, path)
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, nil, 0o644)); err != nil {
				t.Fatal(err)
			}
		}
		data, _ := fromDir(t, dir)
		held := namesIn(t, data)
		for _, path := range append(files, gits...) {
			if want := !slices.Contains(test.leftOut, path); slices.Contains(held, path) != want {
				t.Errorf("%s: that /%s is in the tar is not %v: it holds %q", name, path, want, held)
			}
		}
	}
}

// namesIn returns the paths in a tar; those of directories end with a slash.
func namesIn(t *testing.T, data []byte) []string {
	t.Helper()
	var names []string
	for r := tar.NewReader(bytes.NewReader(data)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return names
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, strings.TrimPrefix(h.Name, "./"))
	}
}
