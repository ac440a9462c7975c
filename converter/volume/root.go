package volume

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"strings"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/image"
)

// Options say which files of a disk are wanted.
type Options struct {
	// Partition is the number of the one with the root filesystem; 0 looks for it.
	Partition int
	// RootOnly leaves out what /etc/fstab mounts.
	RootOnly bool
}

// Files is what a system booted from a disk would see.
type Files struct {
	Tree *image.Tree
	// Blobs has what the content of the files is made of.
	Blobs container.Blobs
	// Root is the partition with the root filesystem, and Mounted are those that
	// its /etc/fstab mounts, each with the path.
	Root    Partition
	Mounted []Mounted
	// Notes say what is left out, and why.
	Notes []string
}

// Mounted is a filesystem in the tree.
type Mounted struct {
	Path string
	Partition
}

// Files returns the files of a disk in one tree: of the partition with a root
// filesystem — the one that has /etc and /usr or /bin — and what its /etc/fstab
// mounts from the same disk. Lines of the fstab that name partitions of the disk
// are made comments, because the files are in the image by then, and a disk that is
// rendered from it has other partitions.
//
// Where there is no such partition, or more than one, the error wraps
// [ErrNoFiles] and lists them.
func (d *Disk) Files(ctx context.Context, o Options) (*Files, error) {
	f, err := d.findRoot(ctx, o)
	if err != nil {
		return nil, err
	}
	if !o.RootOnly {
		if err := d.mountAll(ctx, f); err != nil {
			return nil, err
		}
	}
	f.Tree.Sort()
	return f, nil
}

func (d *Disk) findRoot(ctx context.Context, o Options) (*Files, error) {
	if o.Partition != 0 || d.Table == TableNone {
		p, err := d.Partition(o.Partition)
		if err != nil {
			return nil, err
		}
		tree, blobs, err := d.Filesystem(ctx, p)
		return &Files{Tree: tree, Blobs: blobs, Root: p}, err
	}
	var found []*Files
	var others []string
	for _, p := range d.Partitions {
		if p.open == nil {
			others = append(others, p.String())
			continue
		}
		tree, blobs, err := d.Filesystem(ctx, p)
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil:
			others = append(others, err.Error())
		case !isRoot(tree):
			others = append(others, p.String()+" without /etc and /usr")
		default:
			found = append(found, &Files{Tree: tree, Blobs: blobs, Root: p})
		}
	}
	return chooseRoot(found, others)
}

func chooseRoot(found []*Files, others []string) (*Files, error) {
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return nil, fmt.Errorf("%w: no partition has a root filesystem that is read here: %s; push the disk as it is, in blocks (cloudlets push), or name one with --partition",
			ErrNoFiles, strings.Join(others, "; "))
	}
	var candidates []string
	for _, f := range found {
		candidates = append(candidates, f.Root.String())
	}
	return nil, fmt.Errorf("%w: several partitions have a root filesystem: %s; name one with --partition", ErrNoFiles, strings.Join(candidates, ", "))
}

// isRoot reports whether a tree is that of a root filesystem.
func isRoot(tree *image.Tree) bool {
	return tree.Lookup("etc") != nil && (tree.Lookup("usr") != nil || tree.Lookup("bin") != nil)
}

// mountAll puts into the tree what its /etc/fstab mounts.
func (d *Disk) mountAll(ctx context.Context, f *Files) error {
	file, err := f.Tree.Resolve(fstabPath)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	text, err := file.Read(ctx, f.Blobs, maxFstab)
	if err != nil {
		return fmt.Errorf("read %s: %w", fstabPath, err)
	}
	table, err := parseFstab(string(text), d, f.Root)
	if err != nil {
		return fmt.Errorf("%s: %w", fstabPath, err)
	}
	if table.changed() {
		file.SetContent([]byte(table.text()))
	}
	f.Notes = append(f.Notes, table.notes()...)
	for _, m := range table.mounts() {
		if err := d.mount(ctx, f, m); err != nil {
			return fmt.Errorf("mount %s, as %s says: %w", m.Path, fstabPath, err)
		}
		f.Mounted = append(f.Mounted, m)
	}
	return nil
}

// mount puts the files of a partition into the tree. What was in the directory is
// hidden, as it is in a system that runs.
func (d *Disk) mount(ctx context.Context, f *Files, m Mounted) error {
	point, err := f.Tree.Resolve(m.Path)
	if err != nil {
		return err
	}
	if !point.IsDir() {
		return errors.New("it is not a directory")
	}
	tree, blobs, err := d.Filesystem(ctx, m.Partition)
	if err != nil {
		return fmt.Errorf("%w; or leave it out with --root-only", err)
	}
	maps.Copy(f.Blobs, blobs)
	for _, name := range point.Names() {
		point.RemoveAll(name)
	}
	for _, name := range tree.Root.Names() {
		point.Link(name, tree.Root.Unlink(name))
	}
	point.Mode, point.UID, point.GID, point.Xattrs = tree.Root.Mode, tree.Root.UID, tree.Root.GID, tree.Root.Xattrs
	if tree.Root.ModTime != (image.Time{}) {
		point.ModTime = tree.Root.ModTime
	}
	return nil
}
