package image

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/cloudlets/cloudlets/extent"
)

// fatal is what tests and property tests have in common.
type fatal interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

// layer makes a layer of what specs say, one entry each:
//
//	d PATH, f PATH CONTENT, l PATH TARGET (symbolic), h PATH TARGET (hard)
func layer(t fatal, specs ...string) Layer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, spec := range specs {
		kind, rest, _ := strings.Cut(spec, " ")
		path, arg, _ := strings.Cut(rest, " ")
		h := &tar.Header{Name: path, Mode: 0o750, Uid: 1, ModTime: time.Unix(1000, 0)}
		switch kind {
		case "d":
			h.Typeflag = tar.TypeDir
		case "f":
			h.Size = int64(len(arg))
		case "l":
			h.Typeflag, h.Linkname = tar.TypeSymlink, arg
		case "h":
			h.Typeflag, h.Linkname = tar.TypeLink, arg
		default:
			t.Fatalf("spec %q", spec)
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			fmt.Fprint(w, arg)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return Layer{Digest: extent.Digest(b.String()), Tar: bytes.NewReader(b.Bytes()), Size: int64(b.Len())}
}

// content reads a file of a tree whose layers were made by layer, where a digest
// is the layer itself.
func content(n *Inode) string {
	var s strings.Builder
	for _, e := range n.Content {
		if e.Kind == extent.Zero {
			s.Write(make([]byte, e.Length))
			continue
		}
		s.WriteString(string(e.Digest)[e.Offset : e.Offset+e.Length])
	}
	return s.String()
}

// list describes a tree, one line a file: "PATH", and "/" for directories,
// "=CONTENT" or "->TARGET", and the first name of a file met before.
func list(tree *Tree) []string {
	var lines []string
	seen := make(map[*Inode]string)
	names := make(map[*Inode]int)
	for path, n := range tree.Walk() {
		names[n]++
		first, again := seen[n]
		seen[n] = path
		switch {
		case path == "":
		case again:
			lines = append(lines, path+" is "+first)
			seen[n] = first
		case n.IsDir():
			lines = append(lines, path+"/")
		case n.Type() == TypeSymlink:
			lines = append(lines, path+"->"+n.Target)
		default:
			lines = append(lines, path+"="+content(n))
		}
	}
	for n, count := range names {
		if n.Links != count {
			lines = append(lines, fmt.Sprintf("%s has %d names but Links is %d", seen[n], count, n.Links))
		}
	}
	return lines
}

func TestMerge(t *testing.T) {
	for _, c := range []struct {
		name   string
		layers [][]string
		want   string // lines, or "error: " and a part of it
	}{
		{"nothing", nil, ""},
		{"dot and slash before names", [][]string{{"d ./", "d ./a", "f /a/b x"}}, "a/ a/b=x"},
		{"missing parents", [][]string{{"f a/b/c x"}}, "a/ a/b/ a/b/c=x"},
		{"the last of duplicates counts", [][]string{{"f a 1", "f a 2"}}, "a=2"},
		{"a later layer replaces", [][]string{{"f a 1", "f b 1"}, {"f a 2"}}, "a=2 b=1"},
		{"a directory over a directory keeps its files", [][]string{{"d a", "f a/b 1"}, {"d a"}}, "a/ a/b=1"},
		{"a file over a directory", [][]string{{"f a/b 1"}, {"f a 2"}}, "a=2"},
		{"a directory over a file", [][]string{{"f a 1"}, {"d a", "f a/b 2"}}, "a/ a/b=2"},
		{"a file in a file", [][]string{{"f a 1"}, {"f a/b 2"}}, "error: not a directory"},
		{"a whiteout", [][]string{{"f a 1", "f b 1"}, {"f .wh.a"}}, "b=1"},
		{"a whiteout of a directory", [][]string{{"f a/b/c 1"}, {"f a/.wh.b"}}, "a/"},
		{"a whiteout of nothing", [][]string{{"f a 1"}, {"f x/.wh.b", "f .wh.c"}}, "a=1"},
		{"a whiteout after its replacement", [][]string{{"f a 1"}, {"f a 2", "f .wh.a"}}, "a=2"},
		{"a whiteout in the first layer", [][]string{{"f a 1", "f .wh.a"}}, "a=1"},
		{"a whiteout through a link", [][]string{{"f usr/bin/x 1", "l bin usr/bin"}, {"f bin/.wh.x"}}, "bin->usr/bin usr/ usr/bin/"},
		{"a whiteout of a link", [][]string{{"f d/x 1", "l l d"}, {"f .wh.l"}}, "d/ d/x=1"},
		{"a whiteout of the parent", [][]string{{"f a/b 1"}, {"f a/.wh..."}}, `error: a whiteout of ".."`},
		{"a whiteout of nobody", [][]string{{"f a/.wh."}}, `error: a whiteout of ""`},
		{"an opaque directory", [][]string{{"f a/b 1", "f a/c/d 1", "f e 1"}, {"f a/new 2", "f a/.wh..wh..opq"}}, "a/ a/new=2 e=1"},
		{"an opaque root", [][]string{{"f a/b 1"}, {"f .wh..wh..opq", "f c 2"}}, "c=2"},
		{"files of AUFS", [][]string{{"f .wh..wh.plnk/1 x", "f .wh..wh.aufs", "f a 1"}}, "a=1"},
		{"a hard link", [][]string{{"f a 1", "h b a"}}, "a=1 b is a"},
		{"a hard link before its target", [][]string{{"h b a", "h c b", "f a 1"}}, "a=1 b is a c is a"},
		{"a hard link replaced before its target came", [][]string{{"h b a", "f b 2", "f a 1"}}, "a=1 b=2"},
		{"a hard link in a directory replaced", [][]string{{"h d/b a", "f d 2", "f a 1"}}, "a=1 d=2"},
		{"a hard link across layers", [][]string{{"f a 1"}, {"h d/b a"}}, "a=1 d/ d/b is a"},
		{"a hard link whose target is replaced", [][]string{{"f a 1", "h b a"}, {"f a 2"}}, "a=2 b=1"},
		{"a hard link whose directory goes", [][]string{{"f d/a 1", "h b d/a"}, {"f .wh.d"}}, "b=1"},
		{"a hard link to a symbolic link", [][]string{{"l a nowhere", "h b a"}}, "a->nowhere b is a"},
		{"a hard link through a symbolic link", [][]string{{"f usr/bin/x 1", "l bin usr/bin", "h y bin/x"}}, "bin->usr/bin usr/ usr/bin/ usr/bin/x=1 y is usr/bin/x"},
		{"a hard link to itself", [][]string{{"f a 1", "h a a"}}, "a=1"},
		{"a hard link to nowhere", [][]string{{"h b a"}}, `error: entry "b" at byte 0: hard link to "a", which is not in the image`},
		{"hard links in a ring", [][]string{{"h a b", "h b a"}}, "error: leads back to itself"},
		{"a hard link to a directory", [][]string{{"d a", "h b a"}}, "error: directory"},
		{"a late hard link to a directory", [][]string{{"h b a", "d a"}}, "error: directory"},
		{"a hard link to a removed file", [][]string{{"f a 1"}, {"f .wh.a", "h b a"}}, "error: not in the image"},
		{"merged /usr", [][]string{{"d usr/bin", "l bin usr/bin"}, {"f bin/x 1"}}, "bin->usr/bin usr/ usr/bin/ usr/bin/x=1"},
		{"a parent that is an absolute link", [][]string{{"l a/run /run", "f a/run/x 1"}}, "a/ a/run->/run run/ run/x=1"},
		{"a parent that leads out", [][]string{{"l a ../../../etc", "f a/x 1"}}, "a->../../../etc etc/ etc/x=1"},
		{"a directory entry over a link", [][]string{{"d usr/bin", "l bin usr/bin"}, {"d bin"}}, "bin/ usr/ usr/bin/"},
		{"links in a ring", [][]string{{"l a b", "l b a", "f a/x 1"}}, "error: symbolic links"},
		{"a link to itself", [][]string{{"l a a/a", "f a/x 1"}}, "error: symbolic links"},
		{"links in a ring that nothing uses", [][]string{{"l a b", "l b a"}}, "a->b b->a"},
		{"a root that is a file", [][]string{{"l ./ x"}}, "error: the root"},
		{"names that lead out", [][]string{{"f a 1"}, {"f ../a 2"}}, `error: ".."`},
	} {
		t.Run(c.name, func(t *testing.T) {
			var layers []Layer
			for _, specs := range c.layers {
				layers = append(layers, layer(t, specs...))
			}
			tree, err := Merge(layers)
			if want, isError := strings.CutPrefix(c.want, "error: "); isError {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Fatalf("want an error with %q, got %v", want, err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := list(tree); strings.Join(got, " ") != c.want {
				t.Errorf("got  %s\nwant %s", strings.Join(got, " "), c.want)
			}
		})
	}
}

func TestMergeKeepsWhatEntriesSay(t *testing.T) {
	tree, err := Merge([]Layer{layer(t, "d ./", "f made/a 1", "d dir", "f dir/b 12")})
	if err != nil {
		t.Fatal(err)
	}
	made := &Inode{Mode: TypeDir | 0o755, Links: 1}
	for path, want := range map[string]*Inode{
		"":      {Mode: TypeDir | 0o750, UID: 1, ModTime: Time{Sec: 1000}, Links: 1},
		"dir":   {Mode: TypeDir | 0o750, UID: 1, ModTime: Time{Sec: 1000}, Links: 1},
		"made":  made,
		"dir/b": {Mode: TypeRegular | 0o750, UID: 1, ModTime: Time{Sec: 1000}, Links: 1, Order: 1},
	} {
		got := *tree.Lookup(path)
		got.Content, got.entries, got.sorted = nil, nil, nil
		if !reflect.DeepEqual(&got, want) {
			t.Errorf("%q: got %+v, want %+v", path, got, want)
		}
	}
}

func TestDirectoryTakesOnTheLastAttributes(t *testing.T) {
	low, high := layer(t, "d a", "f a/b 1"), layer(t, "d a")
	c, err := ReadChanges(high)
	if err != nil {
		t.Fatal(err)
	}
	c.Entries[0].UID = 42
	first, err := ReadChanges(low)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := MergeChanges([]*Changes{first, c})
	if err != nil || tree.Lookup("a").UID != 42 || tree.Lookup("a/b") == nil {
		t.Errorf("%v %v", list(tree), err)
	}
}

// TestMergeIsWhatTarMakes applies random layers with GNU tar to a directory.
func TestMergeIsWhatTarMakes(t *testing.T) {
	if _, err := exec.LookPath("tar"); err != nil {
		t.Fatal("this test needs tar: install the Debian package tar")
	}
	base := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		dir, err := os.MkdirTemp(base, "")
		if err != nil {
			t.Fatal(err)
		}
		defer os.RemoveAll(dir)
		var layers []Layer
		for range rapid.IntRange(1, 3).Draw(t, "layers") {
			l := drawLayer(t, layers)
			layers = append(layers, l)
			apply(t, dir, l)
		}
		tree, err := Merge(layers)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := list(tree), listDirectory(t, dir); !slices.Equal(got, want) {
			t.Fatalf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

// drawLayer draws a layer that tar can extract over those below.
func drawLayer(t *rapid.T, below []Layer) Layer {
	var specs []string
	for i := range rapid.IntRange(0, 6).Draw(t, "entries") {
		path := drawPath(t)
		var spec string
		switch kind := rapid.SampledFrom([]string{"f", "f", "d", "l", "h", "w"}).Draw(t, "kind"); kind {
		case "f":
			spec = fmt.Sprintf("f %s %d.%d", path, len(below), i)
		case "d":
			spec = "d " + path
		case "l":
			// Links in a directory would lead elsewhere.
			spec = "l " + rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "link") + " d"
		case "h":
			spec = "h " + path + " " + drawPath(t)
		case "w":
			parent, name := SplitPath(path)
			spec = "f " + filepath.Join(parent, whiteoutPrefix+name)
		}
		if _, err := Merge(append(below, layer(t, append(specs, spec)...))); err == nil && settled(t, below, append(specs, spec)) {
			specs = append(specs, spec)
		}
	}
	return layer(t, specs...)
}

func drawPath(t *rapid.T) string {
	names := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c", "d"}), 1, 3).Draw(t, "path")
	return strings.Join(names, "/")
}

// settled reports whether the layer is free of what tar does not take: a hard
// link before its target, an entry through a link that leads nowhere, and a file
// over a directory that is not empty.
func settled(t *rapid.T, below []Layer, specs []string) bool {
	m := merger{tree: NewTree(), unresolved: map[*Inode]*pendingLink{}}
	for _, l := range append(below, layer(t, specs...)) {
		c, err := ReadChanges(l)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range c.Entries {
			if m.whiteout(e) != nil {
				return false
			}
		}
		for _, e := range c.Entries {
			if kind, _ := whiteoutKind(e.Path); kind != notWhiteout {
				continue
			}
			dir, _ := SplitPath(e.Path)
			for ; dir != ""; dir, _ = SplitPath(dir) {
				if n := m.lookup(dir); n != nil && n.Type() == TypeSymlink && m.tree.Lookup("d") == nil {
					return false
				}
			}
			had := m.lookup(e.Path)
			if had != nil && had.IsDir() && e.Mode&TypeMask != TypeDir {
				return false
			}
			if e.HardLink == e.Path || m.entry(e) != nil || len(m.pending) > 0 {
				return false
			}
		}
	}
	return true
}

// apply does to a directory what a layer says, with GNU tar.
func apply(t *rapid.T, dir string, l Layer) {
	c, err := ReadChanges(l)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range c.Entries {
		if kind, path := whiteoutKind(e.Path); kind == removesFile {
			if err := os.RemoveAll(filepath.Join(dir, path)); err != nil && !leadsNowhere(err) {
				t.Fatal(err)
			}
		}
	}
	cmd := exec.Command("tar", "-xf", "-", "--exclude=.wh.*", "-C", dir)
	cmd.Stdin = strings.NewReader(string(l.Digest))
	out, err := cmd.CombinedOutput()
	if err != nil && strings.Contains(string(out), "Cannot mkdir") {
		t.Skip("tar makes no directory through a link that leads nowhere yet")
	}
	if err != nil {
		t.Fatalf("tar: %v\n%s", err, out)
	}
}

// leadsNowhere says whether a path goes through a file, or through a link to itself.
func leadsNowhere(err error) bool {
	return errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.ELOOP)
}

// listDirectory describes a directory as list describes a tree.
func listDirectory(t *rapid.T, dir string) []string {
	tree := NewTree()
	seen := make(map[uint64]*Inode)
	err := filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		rel := strings.TrimPrefix(strings.TrimPrefix(path, dir), "/")
		if err != nil || rel == "" {
			return err
		}
		var st syscall.Stat_t
		if err := syscall.Lstat(path, &st); err != nil {
			return err
		}
		n := seen[st.Ino]
		if n == nil {
			n = &Inode{Mode: st.Mode}
			seen[st.Ino] = n
		}
		switch n.Type() {
		case TypeSymlink:
			n.Target, err = os.Readlink(path)
		case TypeRegular:
			var data []byte
			data, err = os.ReadFile(path)
			n.Content = []extent.Extent{{Kind: extent.Source, Digest: extent.Digest(data), Length: int64(len(data))}}
		}
		parent, name := SplitPath(rel)
		tree.Lookup(parent).Link(name, n)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list(tree)
}

// FuzzMerge merges two layers whose entries are the lines of the input, in the
// form that layer takes.
func FuzzMerge(f *testing.F) {
	f.Add("f a/b 1\nl c a\nf c/d 2\nh e c/b", "f a/.wh..wh..opq\nh x y\nf y 1")
	f.Add("l a b\nl b a\nf a/x", "h a a\nh b c\nh c b\nd .\nf .wh..wh.x")
	f.Fuzz(func(t *testing.T, low, high string) {
		var layers []Layer
		for _, text := range []string{low, high} {
			specs := slices.DeleteFunc(strings.Split(text, "\n"), func(spec string) bool {
				return len(spec) < 3 || !strings.ContainsRune("dflh", rune(spec[0])) || spec[1] != ' ' || strings.Contains(spec, "\x00")
			})
			layers = append(layers, layer(t, specs...))
		}
		tree, err := Merge(layers)
		if err != nil {
			return
		}
		names := make(map[*Inode]int)
		for path, n := range tree.Walk() {
			if names[n]++; n.Type() == 0 {
				t.Fatalf("%q has no type", path)
			}
		}
		for n, count := range names {
			if n.Links != count {
				t.Fatalf("Links is %d for a file with %d names", n.Links, count)
			}
		}
	})
}
