package diff

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// file makes a regular file.
func file(mode uint32, content string) *image.Inode {
	n := &image.Inode{Mode: image.TypeRegular | mode, ModTime: image.Time{Sec: 1e9}}
	if content != "" {
		n.Content = []extent.Extent{{Kind: extent.Inline, Length: int64(len(content)), Data: []byte(content)}}
	}
	return n
}

func contentOf(n *image.Inode) string {
	var b strings.Builder
	for _, x := range n.Content {
		b.Write(x.Data)
	}
	return b.String()
}

func same(a, b *image.Inode) (bool, error) { return contentOf(a) == contentOf(b), nil }

// tree makes a tree of files by path; those that end with a slash are
// directories.
func tree(files map[string]*image.Inode) *image.Tree {
	t := image.NewTree()
	for path, n := range files {
		parent := t.Root
		parts := strings.Split(path, "/")
		for _, dir := range parts[:len(parts)-1] {
			if parent.Lookup(dir) == nil {
				parent.Link(dir, &image.Inode{Mode: image.TypeDir | 0o755})
			}
			parent = parent.Lookup(dir)
		}
		if name := parts[len(parts)-1]; name != "" {
			parent.Link(name, n)
		}
	}
	t.Sort()
	return t
}

func describe(t *image.Tree) string {
	var b strings.Builder
	first := firstNames(t)
	for path, n := range t.Walk() {
		fmt.Fprintf(&b, "/%s %o %d %q %s\n", path, n.Mode, n.UID, contentOf(n), first[n])
	}
	return b.String()
}

func TestMergeTakesWhatOneSideChanged(t *testing.T) {
	base := func() map[string]*image.Inode {
		return map[string]*image.Inode{"etc/a": file(0o644, "a"), "etc/b": file(0o644, "b"), "usr/x": file(0o755, "x")}
	}
	for name, c := range map[string]struct {
		ours, theirs func(map[string]*image.Inode)
		want         func(map[string]*image.Inode)
		conflicts    []string
	}{
		"different files": {
			ours:   func(f map[string]*image.Inode) { f["etc/a"] = file(0o644, "ours") },
			theirs: func(f map[string]*image.Inode) { f["etc/b"] = file(0o644, "theirs"); f["new/y"] = file(0o600, "y") },
			want: func(f map[string]*image.Inode) {
				f["etc/a"], f["etc/b"], f["new/y"] = file(0o644, "ours"), file(0o644, "theirs"), file(0o600, "y")
			},
		},
		"content here, mode there": {
			ours:   func(f map[string]*image.Inode) { f["etc/a"] = file(0o644, "ours") },
			theirs: func(f map[string]*image.Inode) { f["etc/a"] = file(0o600, "a") },
			want:   func(f map[string]*image.Inode) { f["etc/a"] = file(0o600, "ours") },
		},
		"the same on both": {
			ours:   func(f map[string]*image.Inode) { f["etc/a"] = file(0o644, "new"); delete(f, "usr/x") },
			theirs: func(f map[string]*image.Inode) { f["etc/a"] = file(0o644, "new"); delete(f, "usr/x") },
			want:   func(f map[string]*image.Inode) { f["etc/a"] = file(0o644, "new"); delete(f, "usr/x"); f["usr/"] = nil },
		},
		"content on both": {
			ours:      func(f map[string]*image.Inode) { f["etc/a"] = file(0o644, "ours") },
			theirs:    func(f map[string]*image.Inode) { f["etc/a"] = file(0o644, "theirs") },
			want:      func(f map[string]*image.Inode) { f["etc/a"] = file(0o644, "ours") },
			conflicts: []string{"/etc/a: changed by both: content,size"},
		},
		"removed and changed": {
			ours:      func(f map[string]*image.Inode) { delete(f, "etc/a") },
			theirs:    func(f map[string]*image.Inode) { f["etc/a"] = file(0o644, "theirs") },
			want:      func(f map[string]*image.Inode) { delete(f, "etc/a") },
			conflicts: []string{"/etc/a: removed by us, changed by them (content,size)"},
		},
		"changed and removed": {
			ours:      func(f map[string]*image.Inode) { f["etc/a"] = file(0o644, "ours") },
			theirs:    func(f map[string]*image.Inode) { delete(f, "etc/a") },
			want:      func(f map[string]*image.Inode) { f["etc/a"] = file(0o644, "ours") },
			conflicts: []string{"/etc/a: removed by them, changed (content,size) by us"},
		},
		"a directory removed and added to": {
			ours:   func(f map[string]*image.Inode) { f["usr/y"] = file(0o644, "y") },
			theirs: func(f map[string]*image.Inode) { delete(f, "usr/x") },
			want:   func(f map[string]*image.Inode) { f["usr/y"] = file(0o644, "y"); delete(f, "usr/x") },
		},
	} {
		t.Run(name, func(t *testing.T) {
			ours, theirs, want := base(), base(), base()
			c.ours(ours)
			c.theirs(theirs)
			c.want(want)
			if name == "the same on both" {
				ours["usr/"], theirs["usr/"] = nil, nil
			}
			got, conflicts, err := Merge(tree(base()), tree(ours), tree(theirs), same, Neither)
			if err != nil {
				t.Fatal(err)
			}
			var texts []string
			for _, c := range conflicts {
				texts = append(texts, c.String())
			}
			if !slices.Equal(texts, c.conflicts) {
				t.Errorf("conflicts %q, want %q", texts, c.conflicts)
			}
			if describe(got) != describe(tree(want)) {
				t.Errorf("got\n%swant\n%s", describe(got), describe(tree(want)))
			}
		})
	}
}

// drawTree makes a tree in which no two files look alike, so that git takes none
// for another that was renamed.
func drawTree(t *rapid.T, label string) *image.Tree {
	files := make(map[string]*image.Inode)
	for _, path := range []string{"a", "b", "d/a", "d/b", "d/e/a", "x/a"} {
		one, two := fmt.Sprintf("%x", sha256.Sum256([]byte(path))), fmt.Sprintf("%x", sha256.Sum256([]byte(path+"two")))
		switch rapid.IntRange(0, 4).Draw(t, label+path) {
		case 0:
		case 1:
			files[path] = file(0o644, one)
		case 2:
			files[path] = file(0o755, two)
		case 3:
			files[path] = file(0o755, one)
		case 4:
			files[path] = &image.Inode{Mode: image.TypeSymlink | 0o777, Target: "to " + two[:9]}
		}
	}
	return tree(files)
}

func TestMergeWithWhatDidNotChangeIsTheOther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base, other := drawTree(t, "base "), drawTree(t, "other ")
		for name, m := range map[string][3]*image.Tree{
			"ours unchanged": {base, base, other}, "theirs unchanged": {base, other, base}, "both alike": {base, other, other},
		} {
			got, conflicts, err := Merge(m[0], m[1], m[2], same, Neither)
			if err != nil || len(conflicts) > 0 {
				t.Fatalf("%s: %v, conflicts %v", name, err, conflicts)
			}
			if describe(got) != describe(other) {
				t.Fatalf("%s: got\n%swant\n%s", name, describe(got), describe(other))
			}
		}
	})
}

// TestMergeAgreesWithGit merges trees as git does: where git merges cleanly so do
// we, to the same files, and where git finds conflicts so do we.
func TestMergeAgreesWithGit(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Fatal("git is missing (Debian package git)")
	}
	repo := t.TempDir()
	git(t, repo, "", "init", "-q")
	rapid.Check(t, func(rt *rapid.T) {
		base, ours, theirs := drawTree(rt, "base "), drawTree(rt, "ours "), drawTree(rt, "theirs ")
		merged, conflicts, err := Merge(base, ours, theirs, same, Neither)
		if err != nil {
			rt.Fatal(err)
		}
		want, clean := gitMerge(t, repo, base, ours, theirs)
		if clean != (len(conflicts) == 0) {
			rt.Fatalf("git finds it clean: %v, we have the conflicts %v", clean, conflicts)
		}
		if !clean {
			return
		}
		if got := git(t, repo, "", "rev-parse", gitImport(t, repo, merged)[0]+"^{tree}"); got != want {
			rt.Fatalf("git makes\n%swe make\n%s", git(t, repo, "", "ls-tree", "-r", want), git(t, repo, "", "ls-tree", "-r", got))
		}
	})
}

func git(t *testing.T, repo, stdin string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", append([]string{"-C", repo, "-c", "user.name=n", "-c", "user.email=e", "-c", "merge.renames=false"}, args...)...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v", cmd, err)
	}
	return strings.TrimSpace(string(out))
}

// gitImport stores trees in a git repository as commits; all but the first are
// children of it. It returns their names.
func gitImport(t *testing.T, repo string, trees ...*image.Tree) []string {
	t.Helper()
	var in bytes.Buffer
	for i, tree := range trees {
		fmt.Fprintf(&in, "commit refs/heads/t%d\nmark :%d\ncommitter n <e> 0 +0000\ndata 0\n", i, i+1)
		if i > 0 {
			in.WriteString("from :1\n")
		}
		in.WriteString("deleteall\n")
		for path, n := range tree.Walk() {
			mode, content := "100644", contentOf(n)
			switch {
			case n.IsDir():
				continue
			case n.Type() == image.TypeSymlink:
				mode, content = "120000", n.Target
			case n.Mode&0o100 != 0:
				mode = "100755"
			}
			fmt.Fprintf(&in, "M %s inline %s\ndata %d\n%s\n", mode, path, len(content), content)
		}
	}
	git(t, repo, in.String(), "fast-import", "--quiet", "--force")
	var names []string
	for i := range trees {
		names = append(names, fmt.Sprintf("t%d", i))
	}
	return strings.Fields(git(t, repo, "", append([]string{"rev-parse"}, names...)...))
}

func gitMerge(t *testing.T, repo string, base, ours, theirs *image.Tree) (tree string, clean bool) {
	t.Helper()
	commits := gitImport(t, repo, base, ours, theirs)
	cmd := exec.Command("git", "-C", repo, "merge-tree", "--write-tree", commits[1], commits[2])
	out, err := cmd.Output()
	tree, _, _ = strings.Cut(string(out), "\n")
	return tree, err == nil
}
