package image

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image/tarball"
)

// Merge returns the rootfs that layers make, the lowest first. It reads their
// headers only. See [MergeChanges].
func Merge(layers []Layer) (*Tree, error) {
	changes := make([]*Changes, len(layers))
	for i, l := range layers {
		var err error
		if changes[i], err = ReadChanges(l); err != nil {
			return nil, err
		}
	}
	return MergeChanges(changes)
}

// MergeChanges returns the rootfs that layers make, the lowest first, as the OCI
// image specification says (layer.md, "Applying Changesets"). Where that says
// nothing:
//
//   - Whiteouts come first, wherever in the layer they stand, and so never hit
//     what their own layer adds. ".wh..wh." is AUFS's own and is left out.
//   - Of several entries for one path the last counts. A directory over a
//     directory keeps what is in it; anything else replaces what was there, with
//     all below it.
//   - A parent that is a symbolic link is followed inside the tree, as vfs-like
//     storage drivers of container engines do: a layer that writes bin/x over a
//     /bin that leads to usr/bin adds usr/bin/x. (Overlay drivers hide the link
//     and all that it leads to, which breaks the system.) An entry for the
//     directory bin itself replaces the link, with all engines.
//   - A parent that is missing is made: mode 0755, owned by root, dated to the
//     epoch.
//   - A hard link leads to what its target is at that point of the layer, or,
//     where that does not exist yet, at the end of the layer.
//
// Nothing here follows a name out of the tree, and no loop of links is endless.
func MergeChanges(layers []*Changes) (*Tree, error) {
	m := merger{tree: NewTree()}
	for i, layer := range layers {
		if err := m.layer(layer); err != nil {
			return nil, fmt.Errorf("merge layer %d of %d (%s): %w", i+1, len(layers), layer.Digest, err)
		}
	}
	m.tree.Sort()
	return m.tree, nil
}

// merger applies layers to a tree.
type merger struct {
	tree    *Tree
	files   int   // entries and made-up parents so far
	order   int64 // of the next regular file
	digest  extent.Digest
	pending []*pendingLink // hard links of this layer whose target is to come
	// unresolved finds a pending link by the file that holds its place.
	unresolved map[*Inode]*pendingLink
}

// pendingLink is a hard link whose target does not exist yet. An Inode without a
// type holds its place in the tree, so that what comes later can replace it.
type pendingLink struct {
	entry     *tarball.Entry
	parent    *Inode
	name      string
	visiting  bool
	holdPlace *Inode
}

func (m *merger) layer(l *Changes) error {
	m.digest = l.Digest
	for _, e := range l.Entries {
		if err := m.whiteout(e); err != nil {
			return atEntry(e, err)
		}
	}
	m.pending, m.unresolved = nil, make(map[*Inode]*pendingLink)
	for _, e := range l.Entries {
		if kind, _ := whiteoutKind(e.Path); kind != notWhiteout {
			continue
		}
		if err := m.entry(e); err != nil {
			return atEntry(e, err)
		}
	}
	for _, p := range m.pending {
		if _, err := m.resolve(p); err != nil {
			return atEntry(p.entry, err)
		}
	}
	return nil
}

func atEntry(e *tarball.Entry, err error) error {
	return fmt.Errorf("entry %q at byte %d: %w", e.Path, e.Offset, err)
}

// entry puts one entry in the tree.
func (m *merger) entry(e *tarball.Entry) error {
	if m.files++; m.files > MaxFiles {
		return fmt.Errorf("more than %d files", MaxFiles)
	}
	if e.Path == "" {
		return m.root(e)
	}
	dir, name := SplitPath(e.Path)
	parent, err := m.directory(dir)
	if err != nil {
		return err
	}
	if e.HardLink != "" {
		return m.hardLink(e, parent, name)
	}
	n := m.inode(e)
	if had := parent.Lookup(name); had != nil && had.IsDir() && n.IsDir() {
		had.setAttributes(n)
		return nil
	}
	replace(parent, name, n)
	return nil
}

func replace(parent *Inode, name string, n *Inode) {
	parent.RemoveAll(name)
	parent.Link(name, n)
}

// root applies an entry for the root directory itself.
func (m *merger) root(e *tarball.Entry) error {
	n := m.inode(e)
	if e.HardLink != "" || !n.IsDir() {
		return errors.New("the root is not a directory")
	}
	m.tree.Root.setAttributes(n)
	return nil
}

func (n *Inode) setAttributes(from *Inode) {
	n.Mode, n.UID, n.GID, n.ModTime, n.Xattrs = from.Mode, from.UID, from.GID, from.ModTime, from.Xattrs
}

// inode makes the file that an entry describes.
func (m *merger) inode(e *tarball.Entry) *Inode {
	n := &Inode{
		Mode: e.Mode, UID: e.UID, GID: e.GID,
		ModTime: Time{Sec: e.ModTime.Unix(), Nsec: uint32(e.ModTime.Nanosecond())},
		Target:  e.Target,
		Major:   e.Major, Minor: e.Minor,
	}
	for _, x := range e.Xattrs {
		n.Xattrs = append(n.Xattrs, Xattr(x))
	}
	if n.IsRegular() {
		n.Content = m.content(e)
		n.Order = m.order
		m.order++
	}
	return n
}

// content returns the extents of a file, with holes where the tar has none.
func (m *merger) content(e *tarball.Entry) []extent.Extent {
	if e.Size == 0 {
		return nil
	}
	extents := make([]extent.Extent, 0, 2*len(e.Content)+1)
	var end int64
	hole := func(to int64) {
		if to > end {
			extents = append(extents, extent.Extent{Kind: extent.Zero, Length: to - end})
		}
	}
	for _, f := range e.Content {
		hole(f.Start)
		extents = append(extents, extent.Extent{Kind: extent.Source, Length: f.Length, Digest: m.digest, Offset: f.Offset})
		end = f.Start + f.Length
	}
	hole(e.Size)
	return extents
}

// directory returns the directory at a path, and makes what is missing of it.
func (m *merger) directory(path string) (*Inode, error) {
	if n := m.plainDirectory(path); n != nil {
		return n, nil
	}
	n, err := m.tree.descend(path, m.mkdir)
	if err != nil {
		return nil, fmt.Errorf("its directory: %w", err)
	}
	if !n.IsDir() {
		return nil, fmt.Errorf("its directory %q is not a directory", path)
	}
	return n, nil
}

// plainDirectory returns the directory at a path on which there are directories
// only, or nil. Nearly all paths are such.
func (m *merger) plainDirectory(path string) *Inode {
	n := m.tree.Root
	for path != "" {
		var name string
		name, path, _ = strings.Cut(path, "/")
		if n = n.entries[name]; n == nil || !n.IsDir() {
			return nil
		}
	}
	return n
}

func (m *merger) mkdir(parent *Inode, name string) (*Inode, error) {
	if m.files++; m.files > MaxFiles {
		return nil, fmt.Errorf("more than %d files", MaxFiles)
	}
	if len(name) > tarball.MaxName {
		return nil, fmt.Errorf("a name of %d bytes, the limit is %d", len(name), tarball.MaxName)
	}
	n := &Inode{Mode: TypeDir | 0o755}
	parent.Link(name, n)
	return n, nil
}

// hardLink gives the target of a hard link its new name, now or later.
func (m *merger) hardLink(e *tarball.Entry, parent *Inode, name string) error {
	target := m.lookup(e.HardLink)
	if target != nil && m.unresolved[target] == nil {
		return link(parent, name, target, e.HardLink)
	}
	p := &pendingLink{entry: e, parent: parent, name: name, holdPlace: &Inode{}}
	replace(parent, name, p.holdPlace)
	m.pending = append(m.pending, p)
	m.unresolved[p.holdPlace] = p
	return nil
}

func link(parent *Inode, name string, target *Inode, path string) error {
	if target.IsDir() {
		return fmt.Errorf("hard link to the directory %q", path)
	}
	replace(parent, name, target)
	return nil
}

// resolve links a pending link and returns what it leads to. Its target may be
// a pending link in turn.
func (m *merger) resolve(p *pendingLink) (*Inode, error) {
	if p.holdPlace.Links == 0 {
		return p.parent.Lookup(p.name), nil // replaced since, or resolved
	}
	if p.visiting {
		return nil, fmt.Errorf("hard link to %q, which leads back to itself", p.entry.HardLink)
	}
	p.visiting = true
	target := m.lookup(p.entry.HardLink)
	if next := m.unresolved[target]; next != nil {
		var err error
		if target, err = m.resolve(next); err != nil {
			return nil, err
		}
	}
	if target == nil {
		return nil, fmt.Errorf("hard link to %q, which is not in the image", p.entry.HardLink)
	}
	return target, link(p.parent, p.name, target, p.entry.HardLink)
}

// lookup returns the file at a path whose directories may be symbolic links, or
// nil. The last part is not followed: a link may have a hard link.
func (m *merger) lookup(path string) *Inode {
	dir, name := SplitPath(path)
	parent := m.plainDirectory(dir)
	if parent == nil {
		var err error
		parent, err = m.tree.descend(dir, func(*Inode, string) (*Inode, error) { return nil, fs.ErrNotExist })
		if err != nil {
			return nil
		}
	}
	return parent.Lookup(name)
}

// SplitPath splits a clean relative path into directory and name. The directory
// of a name alone is "".
func SplitPath(path string) (dir, name string) {
	i := strings.LastIndexByte(path, '/')
	return path[:max(i, 0)], path[i+1:]
}
