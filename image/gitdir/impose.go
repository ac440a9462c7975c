package gitdir

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"

	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// imposer makes of the tree of a directory the one that its metadata file wants.
type imposer struct {
	ctx  context.Context
	open extent.Opener
	warn func(path, what string)
	tree *image.Tree
	says map[string]description
	// groups are the files that have several names, by the first of them; taken
	// says which files of the tree are in one.
	groups map[string]*image.Inode
	taken  map[*image.Inode]bool
}

// impose returns a tree with the content of have and what metadata says of it.
// Directories, devices and FIFOs that only before knows are left out, unless
// something is in them; files and links that are not there are not made.
func impose(ctx context.Context, have *image.Tree, open extent.Opener, says, before metadata, warn func(path, what string)) (*image.Tree, error) {
	i := imposer{
		ctx: ctx, open: open, warn: warn,
		tree: have.Clone(), says: make(map[string]description, len(says)),
		groups: make(map[string]*image.Inode), taken: make(map[*image.Inode]bool),
	}
	for p, text := range says {
		d, err := parseKeywords(text)
		if err != nil {
			return nil, fmt.Errorf("/%s: %w: what it says of /%s: %w", MetadataPath, errMetadata, p, err)
		}
		i.says[p] = d
	}
	i.removeOld(says, before)
	for _, p := range says.paths() {
		if err := i.path(p); err != nil {
			return nil, fmt.Errorf("/%s: %w", p, err)
		}
	}
	i.tree.Sort()
	return i.tree, nil
}

// removeOld removes what git would not, because it does not know of it.
func (i *imposer) removeOld(says, before metadata) {
	for _, p := range slices.Backward(before.paths()) {
		if _, stays := says[p]; stays || p == "" {
			continue
		}
		n := i.tree.Lookup(p)
		if n == nil || gitKeeps(n.Type()) || n.IsDir() && len(n.Names()) > 0 || word(before[p], "type") != "="+typeNames[n.Type()] {
			continue
		}
		i.tree.Lookup(parent(p)).Unlink(path.Base(p))
	}
}

// path does what is said of one path.
func (i *imposer) path(p string) error {
	says := i.says[p]
	n := i.tree.Lookup(p)
	if n == nil || n.Type() != says.inode.Type() {
		if n = i.create(p, n, &says.inode); n == nil {
			return nil
		}
	}
	if !n.IsDir() {
		var joined bool
		var err error
		if n, joined, err = i.group(p, n, says.hardLink); err != nil || joined {
			return err
		}
	}
	n.Mode, n.UID, n.GID = says.inode.Mode, says.inode.UID, says.inode.GID
	n.ModTime, n.Xattrs = says.inode.ModTime, says.inode.Xattrs
	n.Major, n.Minor = says.inode.Major, says.inode.Minor
	return i.shape(n, says.holes)
}

// create puts what git does not keep where there is nothing, or something else
// that git does not keep. It returns nil where it must not.
func (i *imposer) create(p string, there, says *image.Inode) *image.Inode {
	switch {
	case p == "" || gitKeeps(says.Type()):
		return nil // git's business
	case there != nil && (gitKeeps(there.Type()) || there.IsDir() && len(there.Names()) > 0):
		i.warn(p, fmt.Sprintf("it is a %s, where /%s says %s: left as it is", typeNames[there.Type()], MetadataPath, typeNames[says.Type()]))
		return nil
	}
	dir := i.tree.Lookup(parent(p))
	if dir == nil || !dir.IsDir() {
		return nil // said already
	}
	n := &image.Inode{Mode: says.Type()}
	dir.Link(path.Base(p), n)
	return n
}

// group makes p a name of the file that it is to share with other paths, and of
// no other. joined says that what it is was said with another of its names.
func (i *imposer) group(p string, n *image.Inode, hardLink string) (_ *image.Inode, joined bool, err error) {
	key := hardLink
	if key == "" {
		key = p
	}
	dir := i.tree.Lookup(parent(p))
	if first := i.groups[key]; first != nil {
		same := first == n
		if !same {
			if same, err = i.sameContent(first, n); err != nil {
				return nil, false, err
			}
		}
		if same {
			dir.Link(path.Base(p), first)
			return first, true, nil
		}
		i.warn(p, "its content is no longer that of /"+key+", with which it was one file: they are two now")
		key = p
	}
	if i.taken[n] {
		n = n.Bare()
		dir.Link(path.Base(p), n)
	}
	i.taken[n] = true
	i.groups[key] = n
	return n, false, nil
}

// sameContent reports whether two files could be one.
func (i *imposer) sameContent(a, b *image.Inode) (same bool, err error) {
	if a.Type() != b.Type() || a.Size() != b.Size() || a.Target != b.Target {
		return false, nil
	}
	if !a.IsRegular() || slices.EqualFunc(a.Content, b.Content, extent.Extent.Equal) {
		return true, nil
	}
	x, err := i.content(a)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, x.Close()) }()
	y, err := i.content(b)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, y.Close()) }()
	p, q := make([]byte, blockSize), make([]byte, blockSize)
	for off := int64(0); off < a.Size(); off += blockSize {
		n := min(blockSize, a.Size()-off)
		if err := errors.Join(readFull(x, p[:n], off), readFull(y, q[:n], off)); err != nil {
			return false, err
		}
		if !bytes.Equal(p[:n], q[:n]) {
			return false, nil
		}
	}
	return true, nil
}

// blockSize is how much of a file is read at once, in bytes.
const blockSize = 256 << 10

func readFull(r io.ReaderAt, p []byte, off int64) error {
	if n, err := r.ReadAt(p, off); n < len(p) {
		return err
	}
	return nil
}

// content opens the content of a file.
func (i *imposer) content(n *image.Inode) (*extent.Reader, error) {
	m, err := n.Map()
	if err != nil {
		return nil, err
	}
	return extent.NewReader(i.ctx, m, i.open), nil
}

// shape gives a file the holes that are wanted, if they hold nothing but zeros,
// and no others: git makes holes of its own.
func (i *imposer) shape(n *image.Inode, wanted []span) (err error) {
	if !n.IsRegular() || slices.Equal(holes(n), wanted) {
		return nil
	}
	m, err := n.Map()
	if err != nil {
		return err
	}
	r := extent.NewReader(i.ctx, m, i.open)
	defer func() { err = errors.Join(err, r.Close()) }()
	var content []extent.Extent
	end := int64(0)
	for _, h := range wanted {
		if h.start+h.length > m.Size() {
			return nil // another content
		}
		if zero, err := isZero(r, h); err != nil || !zero {
			return err
		}
		content = appendFilled(content, m, end, h.start-end)
		content = append(content, extent.Extent{Kind: extent.Zero, Length: h.length})
		end = h.start + h.length
	}
	n.Content = appendFilled(content, m, end, m.Size()-end)
	return nil
}

// appendFilled appends a part of a file with its holes filled.
func appendFilled(content []extent.Extent, m *extent.Map, off, n int64) []extent.Extent {
	for _, e := range m.Range(off, n) {
		if e.Kind == extent.Zero {
			e = extent.Extent{Kind: extent.Source, Digest: zeros, Length: e.Length}
		}
		content = append(content, e)
	}
	return content
}

// isZero reports whether a part of a file holds nothing but zeros.
func isZero(r io.ReaderAt, s span) (bool, error) {
	p := make([]byte, min(s.length, blockSize))
	zeros := make([]byte, len(p))
	for off := s.start; off < s.start+s.length; off += int64(len(p)) {
		p = p[:min(int64(len(p)), s.start+s.length-off)]
		if err := readFull(r, p, off); err != nil {
			return false, err
		}
		if !bytes.Equal(p, zeros[:len(p)]) {
			return false, nil
		}
	}
	return true, nil
}
