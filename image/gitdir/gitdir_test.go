package gitdir

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
	"pgregory.net/rapid"

	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
	"github.com/cloudlets/cloudlets/image/diff"
	"github.com/cloudlets/cloudlets/image/tarball"
	"github.com/cloudlets/cloudlets/image/workdir"
)

func TestMain(m *testing.M) {
	Main()
	if _, err := exec.LookPath("git"); err != nil {
		fmt.Fprintln(os.Stderr, "these tests need git: apt-get install git")
		os.Exit(1)
	}
	for _, v := range []string{"AUTHOR", "COMMITTER"} {
		os.Setenv("GIT_"+v+"_NAME", "A Tester")
		os.Setenv("GIT_"+v+"_EMAIL", "tester@example.org")
	}
	os.Setenv("GIT_CONFIG_GLOBAL", "/dev/null")
	if err := boundDraws(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// boundDraws makes few draws the default, because each runs git some forty times.
// The command line has the last word: -rapid.checks 100.
func boundDraws() error {
	const name = "rapid.checks"
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == name })
	switch {
	case given:
		return nil
	case testing.Short():
		return flag.Set(name, "3")
	}
	return flag.Set(name, "12")
}

// fataler is a test of testing or of rapid.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
}

// runGit runs git and returns what it printed and what was warned of.
func runGit(t fataler, dir string, args ...string) (output string, err error) {
	t.Helper()
	var out bytes.Buffer
	err = Run(context.Background(), dir, args, Options{Stdout: &out, Stderr: &out, Warn: func(path, what string) {
		fmt.Fprintf(&out, "warning: /%s: %s\n", path, what)
	}})
	return out.String(), err
}

// git runs git, which must succeed and warn of nothing.
func git(t fataler, dir string, args ...string) string {
	t.Helper()
	out, err := runGit(t, dir, args...)
	if err != nil || strings.Contains(out, "warning: /") {
		t.Fatalf("git %q: %v\n%s", args, err, out)
	}
	return out
}

// tree is what is in a directory, to be compared.
type tree struct {
	*image.Tree
	content *extent.Reader
	dir     *tarball.Dir
}

func readTree(t fataler, dir string) tree {
	t.Helper()
	d, err := tarball.OpenDir(context.Background(), dir, func(string, string) {})
	if err != nil {
		t.Fatalf("%v", err)
	}
	content := extent.NewReader(context.Background(), d.Map, d)
	merged, err := image.Merge([]image.Layer{{Digest: "dir", Tar: content, Size: content.Size()}})
	if err != nil {
		t.Fatalf("%v", err)
	}
	return tree{merged, content, d}
}

func (t tree) Close() {
	t.content.Close()
	t.dir.Close()
}

// bytes returns the content of a file, and where its holes are.
func (t tree) bytes(n *image.Inode) (content []byte, where []span) {
	for _, x := range n.Content {
		p := make([]byte, x.Length)
		switch x.Kind {
		case extent.Inline:
			copy(p, x.Data)
		case extent.Source:
			_, _ = t.content.ReadAt(p, x.Offset)
		}
		content = append(content, p...)
	}
	return content, holes(n)
}

// sameTrees fails where two directories differ in anything.
func sameTrees(t fataler, label, a, b string) {
	t.Helper()
	x, y := readTree(t, a), readTree(t, b)
	defer x.Close()
	defer y.Close()
	changes, err := diff.Trees(x.Tree, y.Tree, func(before, after *image.Inode) (bool, error) {
		p, holesP := x.bytes(before)
		q, holesQ := y.bytes(after)
		return bytes.Equal(p, q) && fmt.Sprint(holesP) == fmt.Sprint(holesQ), nil
	})
	if err != nil {
		t.Fatalf("%v", err)
	}
	for i, c := range changes {
		if i < 20 {
			t.Errorf("%s: /%s: added %v, removed %v, %s", label, c.Path, c.Added(), c.Removed(), c.Aspects)
		}
	}
}

// fill makes a directory be a drawn tree.
func fill(t fataler, dir string, want *image.Tree) {
	t.Helper()
	is := readTree(t, dir)
	defer is.Close()
	changes, err := diff.Trees(is.Tree, want, func(a, b *image.Inode) (bool, error) { return false, nil })
	if err != nil {
		t.Fatalf("%v", err)
	}
	if err := workdir.Apply(context.Background(), dir, want, changes, nil, workdir.Options{NoOwner: os.Geteuid() != 0}); err != nil {
		t.Fatalf("%v", err)
	}
}

// names are those of drawn files: among them all that needs to be escaped
// somewhere, and all that means something to git.
var drawnNames = []string{"a", "b", "c d", "new\nline", "\xff\\x", ".gitignore", ".gitattributes", "#!*[?]", ":(top)", "git~1"}

// drawTree makes a tree of files of all kinds that the user may make.
func drawTree(t *rapid.T, label string) *image.Tree {
	out := image.NewTree()
	draw := drawer{t: t, label: label, dirs: []*image.Inode{out.Root}}
	draw.status(out.Root, "root ")
	out.Root.Mode |= 0o700
	for i := range rapid.IntRange(0, 12).Draw(t, label+" files") {
		draw.file(fmt.Sprintf("%s %d ", label, i))
	}
	out.Sort()
	return out
}

type drawer struct {
	t     *rapid.T
	label string
	dirs  []*image.Inode
	files []*image.Inode
}

// status draws what git does not keep of a file.
func (d *drawer) status(n *image.Inode, what string) {
	n.UID, n.GID = uint32(os.Geteuid()), uint32(os.Getegid())
	if os.Geteuid() == 0 {
		n.UID = rapid.SampledFrom([]uint32{0, 1000, 1 << 31}).Draw(d.t, what+"owner")
	}
	n.ModTime = image.Time{Sec: rapid.SampledFrom([]int64{-5, 1e9, 2e9}).Draw(d.t, what+"time"), Nsec: 5}
	if n.Type() != image.TypeSymlink {
		n.Mode |= rapid.SampledFrom([]uint32{0o644, 0o600, 0o4755, 0o1777}).Draw(d.t, what+"mode")
	}
	if (n.IsDir() || n.IsRegular()) && rapid.Bool().Draw(d.t, what+"attribute") {
		n.Xattrs = []image.Xattr{{Name: "user.a=b", Value: []byte("v\x00")}, {Name: "user.empty"}}[rapid.IntRange(0, 1).Draw(d.t, what+"which"):]
		if n.Xattrs[0].Name == "user.a=b" {
			n.Xattrs = []image.Xattr{{Name: "user.x", Value: []byte("v\x00")}}
		}
	}
}

func (d *drawer) file(what string) {
	dir := rapid.SampledFrom(d.dirs).Draw(d.t, what+"directory")
	name := rapid.SampledFrom(drawnNames).Draw(d.t, what+"name")
	if dir.Lookup(name) != nil {
		return
	}
	kinds := []uint32{image.TypeDir, image.TypeDir, image.TypeSymlink, image.TypeFIFO, image.TypeRegular, image.TypeRegular, 0}
	if os.Geteuid() == 0 {
		kinds = append(kinds, image.TypeChar)
	}
	kind := rapid.SampledFrom(kinds).Draw(d.t, what+"type")
	if kind == 0 && len(d.files) > 0 && !strings.HasPrefix(name, ".git") {
		dir.Link(name, rapid.SampledFrom(d.files).Draw(d.t, what+"linked"))
		return
	}
	if kind != image.TypeDir && strings.HasPrefix(name, ".git") {
		kind = image.TypeRegular // git reads them
	}
	n := &image.Inode{Mode: kind}
	switch kind {
	case image.TypeDir:
		d.dirs = append(d.dirs, n)
	case image.TypeSymlink:
		n.Mode |= 0o777
		n.Target = "/etc/" + name
	case image.TypeChar:
		n.Major, n.Minor = 1, rapid.SampledFrom([]uint32{3, 5}).Draw(d.t, what+"minor")
	case 0:
		n.Mode = image.TypeRegular
		fallthrough
	case image.TypeRegular:
		n.Content = d.content(name, what)
	}
	d.status(n, what)
	if !n.IsDir() {
		d.files = append(d.files, n)
	} else {
		n.Mode |= 0o700
	}
	dir.Link(name, n)
}

func (d *drawer) content(name, what string) []extent.Extent {
	inline := func(s string) extent.Extent {
		return extent.Extent{Kind: extent.Inline, Length: int64(len(s)), Data: []byte(s)}
	}
	switch {
	case name == ".gitignore":
		return []extent.Extent{inline("*\n")}
	case name == ".gitattributes":
		return []extent.Extent{inline("* text eol=crlf ident filter=none merge=union working-tree-encoding=UTF-16\n")}
	case rapid.Bool().Draw(d.t, what+"empty"):
		return nil
	case rapid.Bool().Draw(d.t, what+"sparse"):
		return []extent.Extent{inline(strings.Repeat("x", 8192)), {Kind: extent.Zero, Length: 1 << 16}, inline("y")}
	}
	return []extent.Extent{inline(rapid.SampledFrom([]string{"x\r\ny\n$Id$\n", "z\n"}).Draw(d.t, what+"content"))}
}

func TestVersionsComeBackAsTheyWere(t *testing.T) {
	base := t.TempDir()
	runs := 0
	rapid.Check(t, func(rt *rapid.T) {
		runs++
		work := filepath.Join(base, fmt.Sprint(runs))
		dir, clone := filepath.Join(work, "dir"), filepath.Join(work, "clone")
		git(rt, dir, "init", "-q")
		const versions = 3
		for i := range versions {
			want := drawTree(rt, fmt.Sprint("version ", i))
			fill(rt, dir, want)
			git(rt, dir, "add", "-A")
			git(rt, dir, "commit", "-q", "--allow-empty", "-m", "version")
			git(rt, dir, "tag", fmt.Sprint("v", i))
			copyTree(rt, dir, filepath.Join(work, fmt.Sprint("v", i)))
			if status := git(rt, dir, "status", "--porcelain"); status != "" {
				rt.Fatalf("after a commit there are changes:\n%s", status)
			}
		}
		git(rt, clone, "clone", "-q", dir, ".")
		for _, i := range []int{versions - 1, 0, 2, 1} {
			git(rt, clone, "checkout", "-q", fmt.Sprint("v", i))
			sameTrees(rt, fmt.Sprint("version ", i), filepath.Join(work, fmt.Sprint("v", i)), clone)
			if status := git(rt, clone, "status", "--porcelain"); status != "" {
				rt.Fatalf("after a checkout there are changes:\n%s", status)
			}
		}
		os.RemoveAll(work)
	})
}

// copyTree copies a directory as cp does.
func copyTree(t fataler, from, to string) {
	t.Helper()
	if out, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v\n%s", err, out)
	}
}

func TestBothSidesOfAMergeKeepTheirMetadata(t *testing.T) {
	dir := t.TempDir()
	git(t, dir, "init", "-q", "-b", "main")
	for _, name := range []string{"a", "b", "both"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	git(t, dir, "add", "-A")
	git(t, dir, "commit", "-q", "-m", "base")
	modes := func(branch string, modes map[string]os.FileMode) {
		for name, mode := range modes {
			if err := os.Chmod(filepath.Join(dir, name), mode); err != nil {
				t.Fatal(err)
			}
		}
		git(t, dir, "commit", "-q", "-m", branch)
	}
	git(t, dir, "branch", "side")
	modes("main", map[string]os.FileMode{"a": 0o640, "both": 0o640})
	git(t, dir, "checkout", "-q", "side")
	modes("side", map[string]os.FileMode{"b": 0o604})
	git(t, dir, "merge", "-q", "--no-edit", "main")
	for name, want := range map[string]os.FileMode{"a": 0o640, "b": 0o604, "both": 0o640} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode() != want {
			t.Errorf("%s: %v, %v, expected %v", name, info.Mode(), err, want)
		}
	}
	modes("side", map[string]os.FileMode{"both": 0o604})
	git(t, dir, "checkout", "-q", "main")
	modes("main", map[string]os.FileMode{"both": 0o444})
	out, err := runGit(t, dir, "merge", "--no-edit", "side")
	if err == nil || !strings.Contains(out, "/both: mode is 0444 here and 0604 there") {
		t.Errorf("%v\n%s", err, out)
	}
	git(t, dir, "add", MetadataPath)
	git(t, dir, "commit", "-q", "-m", "merged")
	if status := git(t, dir, "status", "--porcelain"); status != "" {
		t.Error(status)
	}
}

func TestExitCodesOfGitArePassed(t *testing.T) {
	dir := t.TempDir()
	git(t, dir, "init", "-q")
	_, err := runGit(t, dir, "rev-parse", "--verify", "-q", "nothing")
	var exit *ExitError
	if !errors.As(err, &exit) || exit.Code != 1 {
		t.Errorf("got %v, expected git's exit code 1", err)
	}
	if _, err := runGit(t, t.TempDir(), "status"); !errors.Is(err, ErrNoRepository) {
		t.Errorf("no repository: %v", err)
	}
	if _, err := runGit(t, dir, "--git-dir=x", "status"); err == nil {
		t.Error("another repository was taken")
	}
}

func TestNestedRepositoriesAreRefused(t *testing.T) {
	dir := t.TempDir()
	git(t, dir, "init", "-q")
	if err := os.MkdirAll(filepath.Join(dir, "opt/app/.git"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := runGit(t, dir, "add", "-A"); err == nil || !strings.Contains(err.Error(), "/opt/app/.git") {
		t.Errorf("got %v", err)
	}
}

func TestFIFOsThatGitWouldReadAreRefused(t *testing.T) {
	dir := t.TempDir()
	git(t, dir, "init", "-q")
	if err := unix.Mkfifo(filepath.Join(dir, ".gitignore"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := runGit(t, dir, "status"); err == nil || !strings.Contains(err.Error(), "/.gitignore") {
		t.Errorf("got %v", err)
	}
}
