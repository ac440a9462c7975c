package converter

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/cloudlets/cloudlets/converter/disk"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
	"github.com/cloudlets/cloudlets/image/cloudlet"
)

// PersistentLabel is the label of the filesystem on the persistent disk, by which
// root filesystems find it: it outlives them, and so cannot be named by a UUID
// that they would have to know.
const PersistentLabel = "persistent"

// persistentDir is where the persistent disk is mounted.
const persistentDir = "/.cloudlet/persistent"

// maxFstab bounds the /etc/fstab that lines are added to, in bytes.
const maxFstab = 1 << 20

// Mounts say which paths are kept elsewhere than in the root filesystem. The
// entries for them are added to /etc/fstab.
type Mounts struct {
	// Persistent moves the persistent paths to a second disk.
	Persistent bool
	// PersistentSize is the size of that disk in bytes, a multiple of
	// [disk.Alignment]; 0 is as small as possible. The root filesystem does not
	// depend on it.
	PersistentSize int64
	// VolatileTmpfs keeps directories that hold volatile files only in memory.
	VolatileTmpfs bool
}

// apply returns the root filesystem with its mounts, and the tree of the
// persistent disk if there is one. The tree that is given is not changed.
func (o Mounts) apply(ctx context.Context, tree *image.Tree, open extent.Opener, m *cloudlet.Manifest) (root, persistent *image.Tree, err error) {
	if !o.Persistent && !o.VolatileTmpfs {
		return tree, nil, nil
	}
	root = tree.Clone()
	var lines []string
	if o.Persistent {
		if persistent, lines, err = movePersistent(root, m); err != nil {
			return nil, nil, err
		}
	}
	if o.VolatileTmpfs {
		volatile, err := tmpfsLines(root, m)
		if err != nil {
			return nil, nil, err
		}
		lines = append(lines, volatile...)
	}
	if err := addFstab(ctx, root, open, lines); err != nil {
		return nil, nil, fmt.Errorf("add mounts to /etc/fstab: %w", err)
	}
	root.Sort()
	return root, persistent, nil
}

// plan plans the persistent disk.
func (o Mounts) plan(tree *image.Tree, seed string) (*extent.Map, error) {
	return disk.PlanData(tree, disk.DataOptions{Size: o.PersistentSize, Seed: seed, Label: PersistentLabel})
}

// movePersistent moves the persistent paths of a root filesystem to a tree of
// their own, and returns the mounts that bring them back.
func movePersistent(root *image.Tree, m *cloudlet.Manifest) (persistent *image.Tree, lines []string, err error) {
	persistent = image.NewTree()
	persistent.Root.ModTime = root.Root.ModTime
	lines = []string{"LABEL=" + PersistentLabel + " " + persistentDir + " ext4 defaults,x-systemd.growfs 0 2"}
	for _, p := range outermost(m.Persistent) {
		moved, err := move(root, persistent, p)
		if err != nil {
			return nil, nil, fmt.Errorf("persistent path %s: %w", p, err)
		}
		if moved {
			lines = append(lines, fstabLine(persistentDir+p, p, "none", "bind,x-systemd.requires-mounts-for="+persistentDir))
		}
	}
	if len(lines) == 1 {
		return nil, nil, errors.New("the image has no persistent paths to put on a disk of their own")
	}
	reserved := path.Dir(persistentDir)[1:]
	if root.Lookup(reserved) == nil {
		root.Root.Link(reserved, &image.Inode{Mode: image.TypeDir | 0o755, ModTime: root.Root.ModTime})
	}
	root.Lookup(reserved).Link(path.Base(persistentDir), &image.Inode{Mode: image.TypeDir | 0o755, ModTime: root.Root.ModTime})
	persistent = persistent.Clone()
	persistent.Sort()
	recount(persistent)
	recount(root)
	return persistent, lines, nil
}

// outermost returns the paths that are below none of the others, sorted.
func outermost(paths []string) []string {
	var outer []string
	for _, p := range paths {
		outer = append(outer, path.Clean(p))
	}
	slices.Sort(outer)
	outer = slices.Compact(outer)
	return slices.DeleteFunc(slices.Clone(outer), func(p string) bool {
		return slices.ContainsFunc(outer, func(other string) bool { return strings.HasPrefix(p, strings.TrimSuffix(other, "/")+"/") && p != other })
	})
}

// move moves a path from one tree to another, and leaves an empty file or
// directory to mount it on. It reports whether there was anything to move.
func move(from, to *image.Tree, p string) (bool, error) {
	if p == "/" {
		return false, errors.New("the root itself cannot be on a disk of its own")
	}
	file := from.Lookup(p)
	if file == nil {
		return false, nil
	}
	if !file.IsDir() && !file.IsRegular() {
		return false, errors.New("expected a directory or a file: write where a link leads")
	}
	source, target := from.Root, to.Root
	names := strings.Split(strings.Trim(p, "/"), "/")
	for _, name := range names[:len(names)-1] {
		source = source.Lookup(name)
		if target.Lookup(name) == nil {
			target.Link(name, source.Bare())
		}
		target = target.Lookup(name)
	}
	last := names[len(names)-1]
	empty := file.Bare()
	empty.Content = nil
	target.Link(last, file)
	source.Link(last, empty)
	return true, nil
}

// recount counts the names of files anew: of hard links that led from one tree
// to another, each has a file of its own.
func recount(t *image.Tree) {
	links := make(map[*image.Inode]int)
	for _, n := range t.Walk() {
		links[n]++
	}
	for n, count := range links {
		n.Links = count
	}
}

// mountedAnyway are directories that every system mounts by itself.
var mountedAnyway = []string{"/run", "/dev", "/proc", "/sys"}

// probes are names that a directory for volatile files has no others than.
var probes = []string{"a", ".b", "C-1_2.d"}

// tmpfsLines returns the mounts for directories that are empty without volatile
// files, and in which files of any name are volatile.
func tmpfsLines(root *image.Tree, m *cloudlet.Manifest) ([]string, error) {
	var lines, dirs []string
	classifier := m.Classifier()
	for name, n := range root.Walk() {
		dir := "/" + name
		below := func(outer string) bool { return dir == outer || strings.HasPrefix(dir, outer+"/") }
		if name == "" || !n.IsDir() || len(n.Names()) > 0 || slices.ContainsFunc(slices.Concat(mountedAnyway, dirs), below) {
			continue
		}
		all := true
		for _, probe := range probes {
			class, err := classifier.Classes(dir + "/" + probe)
			if err != nil {
				return nil, err
			}
			all = all && class&cloudlet.Volatile != 0
		}
		if all {
			dirs = append(dirs, dir)
			lines = append(lines, fstabLine("tmpfs", dir, "tmpfs", fmt.Sprintf("mode=%04o,uid=%d,gid=%d,nosuid,nodev", n.Mode&0o7777, n.UID, n.GID)))
		}
	}
	return lines, nil
}

// fstabEscapes are the characters that fstab wants in octal (fstab(5)).
var fstabEscapes = strings.NewReplacer(" ", `\040`, "\t", `\011`, "\n", `\012`, `\`, `\134`, "#", `\043`)

func fstabLine(what, where, kind, options string) string {
	return fmt.Sprintf("%s %s %s %s 0 0", fstabEscapes.Replace(what), fstabEscapes.Replace(where), kind, options)
}

// addFstab adds lines to /etc/fstab.
func addFstab(ctx context.Context, root *image.Tree, open extent.Opener, lines []string) error {
	if len(lines) == 0 {
		return nil
	}
	file, err := root.Resolve("/etc/fstab")
	switch {
	case errors.Is(err, fs.ErrNotExist):
		etc, err := root.Resolve("/etc")
		if err != nil {
			return err
		}
		file = &image.Inode{Mode: image.TypeRegular | 0o644, ModTime: etc.ModTime}
		if old := etc.Link("fstab", file); old != nil {
			return errors.New("it is a symbolic link that leads nowhere")
		}
	case err != nil:
		return err
	}
	old, err := file.Read(ctx, open, maxFstab)
	if err != nil {
		return err
	}
	if err := mountedTwice(string(old), lines); err != nil {
		return err
	}
	text := string(old)
	if text != "" && !strings.HasSuffix(text, "\n") {
		text += "\n"
	}
	file.SetContent([]byte(text + strings.Join(lines, "\n") + "\n"))
	return nil
}

// mountedTwice refuses lines for what an fstab mounts already.
func mountedTwice(fstab string, lines []string) error {
	for line := range strings.Lines(fstab) {
		fields := strings.Fields(line)
		if len(fields) < 2 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		for _, added := range lines {
			if strings.Fields(added)[1] == fields[1] {
				return fmt.Errorf("%s is mounted already: remove its line from the image's file", fields[1])
			}
		}
	}
	return nil
}
