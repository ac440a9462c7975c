package convertertest

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"pgregory.net/rapid"

	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// Trees says what the trees of [DrawTree] may hold.
type Trees struct {
	Files      int   // at most so many, besides those of large directories
	FileSize   int64 // bytes; about the most a file has
	Seconds    bool  // times are whole seconds from 1970 to 2106
	Namespaces []string
	ACLs       bool
	Crowds     bool // directories of some thousand files
}

// DrawTree draws a tree with files of all types, hard links, holes and extended
// attributes. The blobs its files are made of are added to blobs.
func DrawTree(t *rapid.T, blobs Blobs, o Trees) *image.Tree {
	t.Helper()
	d := drawer{T: t, Trees: o, blob: bytes.Repeat([]byte("a blob that files are made of. "), 1<<15)}
	d.digest = blobs.Add(d.blob)
	tree := image.NewTree()
	dirs := []*image.Inode{tree.Root}
	var files []*image.Inode
	for i := range rapid.IntRange(0, o.Files).Draw(t, "files") {
		dir := rapid.SampledFrom(dirs).Draw(t, "directory")
		name := d.name(i)
		if len(files) > 0 && rapid.IntRange(0, 5).Draw(t, "link") == 0 {
			dir.Link(name, rapid.SampledFrom(files).Draw(t, "linked"))
			continue
		}
		file := d.file()
		dir.Link(name, file)
		if file.IsDir() {
			dirs = append(dirs, file)
			d.crowd(file)
			continue
		}
		files = append(files, file)
	}
	return tree
}

type drawer struct {
	*rapid.T
	Trees
	blob   []byte
	digest extent.Digest
}

func (d drawer) name(i int) string {
	name := rapid.StringMatching(`[a-zA-Z0-9 ,+=é日._-]{1,20}`).Draw(d.T, "name")
	name = strings.Repeat(name, rapid.SampledFrom([]int{1, 1, 1, 8}).Draw(d.T, "repeat"))
	return fmt.Sprintf("%s%d", name, i)
}

// crowd makes some directories long.
func (d drawer) crowd(dir *image.Inode) {
	if !d.Crowds || rapid.IntRange(0, 15).Draw(d.T, "crowd") != 0 {
		return
	}
	width := rapid.IntRange(5, 200).Draw(d.T, "width")
	for i := range rapid.IntRange(1, 3000).Draw(d.T, "entries") {
		dir.Link(fmt.Sprintf("%0*d", width, i), &image.Inode{Mode: image.TypeRegular})
	}
}

func (d drawer) file() *image.Inode {
	n := &image.Inode{
		Mode:    rapid.Uint32Range(0, 0o7777).Draw(d.T, "permissions"),
		UID:     rapid.Uint32Range(0, 1<<32-2).Draw(d.T, "uid"),
		GID:     rapid.Uint32Range(0, 1<<32-2).Draw(d.T, "gid"),
		ModTime: d.time(),
	}
	kinds := []uint32{image.TypeRegular, image.TypeRegular, image.TypeRegular, image.TypeRegular, image.TypeDir, image.TypeDir,
		image.TypeSymlink, image.TypeChar, image.TypeBlock, image.TypeFIFO, image.TypeSocket}
	kind := rapid.SampledFrom(kinds).Draw(d.T, "type")
	n.Mode |= kind
	switch kind {
	case image.TypeRegular:
		n.Order = rapid.Int64().Draw(d.T, "order")
		n.Content = d.content()
	case image.TypeSymlink:
		n.Mode = kind | 0o777
		n.Target = strings.Repeat("t", rapid.IntRange(1, 4095).Draw(d.T, "target"))
	case image.TypeChar, image.TypeBlock:
		n.Major = rapid.Uint32Range(0, 1<<12-1).Draw(d.T, "major")
		n.Minor = rapid.Uint32Range(0, 1<<20-1).Draw(d.T, "minor")
	}
	d.xattrs(n)
	return n
}

func (d drawer) time() image.Time {
	if d.Seconds {
		return image.Time{Sec: rapid.Int64Range(0, 1<<32-1).Draw(d.T, "seconds")}
	}
	return image.Time{
		Sec:  rapid.Int64Range(-1<<31, 1<<33).Draw(d.T, "seconds"),
		Nsec: rapid.Uint32Range(0, 999_999_999).Draw(d.T, "nanoseconds"),
	}
}

func (d drawer) content() (content []extent.Extent) {
	lengths := []int64{1, 100, 4095, 4096, 4097, 131071, 131072, 300_000}
	var size int64
	for range rapid.IntRange(0, 8).Draw(d.T, "extents") {
		length := rapid.SampledFrom(lengths).Draw(d.T, "length")
		e := extent.Extent{Length: length}
		switch rapid.IntRange(0, 3).Draw(d.T, "kind") {
		case 0:
			e.Length <<= rapid.IntRange(0, 6).Draw(d.T, "shift")
		case 1:
			e.Kind, e.Data = extent.Inline, bytes.Repeat([]byte{'i'}, int(length))
		default:
			e.Kind, e.Digest = extent.Source, d.digest
			e.Offset = rapid.Int64Range(0, int64(len(d.blob))-length).Draw(d.T, "offset")
		}
		if size += e.Length; size > d.FileSize {
			break
		}
		content = append(content, e)
	}
	return content
}

// xattrs draws attributes. Linux keeps those of users to files and directories.
func (d drawer) xattrs(n *image.Inode) {
	if len(d.Namespaces) == 0 || rapid.IntRange(0, 2).Draw(d.T, "has attributes") != 0 {
		return
	}
	own := n.IsRegular() || n.IsDir()
	for i := range rapid.IntRange(0, 6).Draw(d.T, "attributes") {
		space := rapid.SampledFrom(d.Namespaces).Draw(d.T, "namespace")
		if space == "user." && !own {
			continue
		}
		name := fmt.Sprintf("%s%s%d", space, strings.Repeat("n", rapid.IntRange(0, 50).Draw(d.T, "name")), i)
		length := rapid.SampledFrom([]int{0, 1, 10, 500}).Draw(d.T, "value")
		n.Xattrs = append(n.Xattrs, image.Xattr{Name: name, Value: bytes.Repeat([]byte{byte('a' + i)}, length)})
	}
	if d.ACLs && own && rapid.IntRange(0, 3).Draw(d.T, "ACL") == 0 {
		n.Xattrs = append(n.Xattrs, image.Xattr{Name: "system.posix_acl_access", Value: fullACL})
	}
	slices.SortFunc(n.Xattrs, func(a, b image.Xattr) int { return strings.Compare(a.Name, b.Name) })
}

// fullACL is an ACL with an entry of every kind, as Linux gives it back: version
// 2, then tag, permissions and id of each entry.
var fullACL = []byte{
	2, 0, 0, 0,
	0x01, 0, 6, 0, 0xff, 0xff, 0xff, 0xff,
	0x02, 0, 4, 0, 0xe8, 0x03, 0, 0,
	0x04, 0, 4, 0, 0xff, 0xff, 0xff, 0xff,
	0x08, 0, 6, 0, 0x70, 0x11, 0x01, 0,
	0x10, 0, 6, 0, 0xff, 0xff, 0xff, 0xff,
	0x20, 0, 4, 0, 0xff, 0xff, 0xff, 0xff,
}

// DrawExample returns one tree that is always the same: a directory for each of
// some trees.
func DrawExample(o Trees, blobs Blobs) *image.Tree {
	const seeds = 24
	all := image.NewTree()
	draw := rapid.Custom(func(t *rapid.T) *image.Tree { return DrawTree(t, blobs, o) })
	for seed := range seeds {
		root := draw.Example(seed).Root
		root.Links = 0
		all.Root.Link(fmt.Sprintf("example %d", seed), root)
	}
	return all
}
