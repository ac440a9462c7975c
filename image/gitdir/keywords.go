package gitdir

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
	"github.com/cloudlets/cloudlets/image/tarball"
)

// typeNames are the values of the keyword type.
var typeNames = map[uint32]string{
	image.TypeRegular: "file",
	image.TypeDir:     "dir",
	image.TypeSymlink: "link",
	image.TypeFIFO:    "fifo",
	image.TypeChar:    "char",
	image.TypeBlock:   "block",
}

// types are the types by their names.
var types = invert(typeNames)

func invert(m map[uint32]string) map[string]uint32 {
	inverse := make(map[string]uint32, len(m))
	for k, v := range m {
		inverse[v] = k
	}
	return inverse
}

// gitKeeps reports whether git keeps files of a type.
func gitKeeps(kind uint32) bool { return kind == image.TypeRegular || kind == image.TypeSymlink }

// describe returns what a metadata file is to say of a tree.
func describe(t *image.Tree) metadata {
	m := make(metadata)
	first := make(map[*image.Inode]string)
	for path, n := range t.Walk() {
		m[path] = keywords(n, first[n])
		if n.Links > 1 && first[n] == "" {
			first[n] = path
		}
	}
	return m
}

// keywords returns what a metadata file says of a file. first is the first of its
// names, or empty if this is it.
func keywords(n *image.Inode, first string) string {
	b := make([]byte, 0, 96)
	b = append(append(b, "type="...), typeNames[n.Type()]...)
	if n.Type() != image.TypeSymlink {
		b = fmt.Appendf(b, " mode=%04o", n.Mode&0o7777)
	}
	b = strconv.AppendUint(append(b, " uid="...), uint64(n.UID), 10)
	b = strconv.AppendUint(append(b, " gid="...), uint64(n.GID), 10)
	b = fmt.Appendf(b, " time=%d.%09d", n.ModTime.Sec, n.ModTime.Nsec)
	if n.Type() == image.TypeChar || n.Type() == image.TypeBlock {
		b = fmt.Appendf(b, " device=native,%d,%d", n.Major, n.Minor)
	}
	if first != "" {
		b = append(append(b, " hardlink=./"...), escape(first)...)
	}
	if holes := holes(n); len(holes) > 0 {
		b = append(b, " holes="...)
		for i, h := range holes {
			if i > 0 {
				b = append(b, ',')
			}
			b = fmt.Appendf(b, "%d+%d", h.start, h.length)
		}
	}
	for _, x := range n.Xattrs {
		b = fmt.Appendf(b, " xattr.%s=%s", escape(x.Name), base64.StdEncoding.EncodeToString(x.Value))
	}
	return string(b)
}

// span is a part of a file, in bytes.
type span struct{ start, length int64 }

// holes returns the holes of a regular file.
func holes(n *image.Inode) []span {
	var list []span
	off := int64(0)
	for _, e := range n.Content {
		if e.Kind == extent.Zero {
			list = append(list, span{off, e.Length})
		}
		off += e.Length
	}
	return list
}

// description is what keywords say.
type description struct {
	inode    image.Inode // without content and target
	hardLink string      // another of its names, or empty
	holes    []span
}

// parseKeywords reads the keywords of a path, of which none may stand twice. Those
// it does not know are passed over.
func parseKeywords(text string) (description, error) {
	var d description
	seen := make(map[string]bool)
	for word := range strings.FieldsSeq(text) {
		key, value, _ := strings.Cut(word, "=")
		if seen[key] {
			return d, fmt.Errorf("%.80q: expected one %.80s, found another", word, key)
		}
		seen[key] = true
		if err := d.set(key, value); err != nil {
			return d, fmt.Errorf("%.80q: %w", word, err)
		}
	}
	slices.SortFunc(d.inode.Xattrs, func(a, b image.Xattr) int { return strings.Compare(a.Name, b.Name) })
	return d, nil
}

func (d *description) set(key, value string) (err error) {
	n := &d.inode
	switch key {
	case "type":
		kind, ok := types[value]
		if !ok {
			return fmt.Errorf("expected one of file, dir, link, fifo, char, block")
		}
		n.Mode |= kind
		if kind == image.TypeSymlink {
			n.Mode |= 0o777
		}
	case "mode":
		var mode uint64
		if mode, err = strconv.ParseUint(value, 8, 12); err == nil {
			n.Mode |= uint32(mode)
		}
	case "uid":
		n.UID, err = parseID(value)
	case "gid":
		n.GID, err = parseID(value)
	case "time":
		n.ModTime, err = parseTime(value)
	case "device":
		n.Major, n.Minor, err = parseDevice(value)
	case "hardlink":
		path, ok := unescape(strings.TrimPrefix(value, "./"))
		if !ok || !isClean(path) {
			return fmt.Errorf("expected ./PATH")
		}
		d.hardLink = path
	case "holes":
		d.holes, err = parseHoles(value)
	default:
		err = d.setXattr(key, value)
	}
	return err
}

func parseID(value string) (uint32, error) {
	id, err := strconv.ParseUint(value, 10, 32)
	return uint32(id), err
}

func parseDevice(value string) (major, minor uint32, err error) {
	numbers, native := strings.CutPrefix(value, "native,")
	first, second, _ := strings.Cut(numbers, ",")
	if major, err = parseID(first); err == nil {
		minor, err = parseID(second)
	}
	if !native || err != nil {
		return 0, 0, errors.New("expected native,MAJOR,MINOR")
	}
	return major, minor, nil
}

func parseTime(value string) (image.Time, error) {
	sec, nsec, _ := strings.Cut(value, ".")
	s, err := strconv.ParseInt(sec, 10, 64)
	if err != nil {
		return image.Time{}, err
	}
	ns, err := strconv.ParseUint(nsec, 10, 32)
	if err != nil || len(nsec) != 9 {
		return image.Time{}, fmt.Errorf("expected SECONDS.NANOSECONDS, the latter of nine digits")
	}
	return image.Time{Sec: s, Nsec: uint32(ns)}, nil
}

// parseHoles reads a list of holes, which must be in order and apart.
func parseHoles(value string) ([]span, error) {
	var list []span
	end := int64(0)
	for part := range strings.SplitSeq(value, ",") {
		start, length, _ := strings.Cut(part, "+")
		s, err := strconv.ParseInt(start, 10, 64)
		if err != nil {
			return nil, err
		}
		n, err := strconv.ParseInt(length, 10, 64)
		if err != nil {
			return nil, err
		}
		if s < end || n <= 0 || s+n < s {
			return nil, fmt.Errorf("expected START+LENGTH in ascending order")
		}
		end = s + n
		list = append(list, span{s, n})
	}
	return list, nil
}

func (d *description) setXattr(key, value string) error {
	name, ok := strings.CutPrefix(key, "xattr.")
	if !ok {
		return nil
	}
	name, ok = unescape(name)
	if !ok || len(name) > tarball.MaxName || strings.IndexByte(name, 0) >= 0 {
		return fmt.Errorf("not the name of an attribute")
	}
	data, err := base64.StdEncoding.DecodeString(value)
	if err != nil {
		return err
	}
	d.inode.Xattrs = append(d.inode.Xattrs, image.Xattr{Name: name, Value: data})
	return nil
}
