package ext4

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/cloudlets/cloudlets/image"
)

// debugfs runs commands and returns what each printed.
func debugfs(t tester, img string, commands []string) []string {
	t.Helper()
	script := filepath.Join(filepath.Dir(img), "commands")
	if err := os.WriteFile(script, []byte(strings.Join(commands, "\n")+"\n"), 0o600); err != nil {
		t.Fatalf("%v", err)
	}
	out, err := run2fs(t, "debugfs", "-f", script, img)
	if err != nil {
		t.Fatalf("debugfs: %v\n%s", err, out)
	}
	// Each command is echoed as "debugfs: COMMAND" before its output.
	parts := strings.Split("\n"+out, "\ndebugfs: ")[1:]
	if len(parts) != len(commands) {
		t.Fatalf("debugfs ran %d of %d commands:\n%s", len(parts), len(commands), out)
	}
	for i := range parts {
		_, parts[i], _ = strings.Cut(parts[i], "\n")
	}
	return parts
}

// statFields are what debugfs prints about an inode.
type statFields struct {
	kind, mode             string
	uid, gid, links, flags uint64
	size                   int64
	time                   image.Time
	device                 string
	target                 string
	blocks                 []statBlocks // of the content
}

// statBlocks is a run of blocks of a file.
type statBlocks struct{ logical, physical, count int64 }

var (
	statHead   = regexp.MustCompile(`Type: ([a-zA-Z ]+?) +Mode: +(\d+) +Flags: 0x([0-9a-f]+)`)
	statOwner  = regexp.MustCompile(`User: +(-?\d+) +Group: +(-?\d+) +Project: +\d+ +Size: (\d+)`)
	statLinks  = regexp.MustCompile(`Links: (\d+)`)
	statTime   = regexp.MustCompile(`mtime: 0x([0-9a-f]+):([0-9a-f]+)`)
	statDevice = regexp.MustCompile(`Device major/minor number: (\d+):(\d+)`)
	statTarget = regexp.MustCompile(`(?s)Fast link dest: "(.*)"`)
	statExtent = regexp.MustCompile(`\((\d+)(?:-(\d+))?\):(\d+)`)
)

// parseStat reads the output of debugfs' stat.
func parseStat(t tester, out string) (s statFields) {
	t.Helper()
	find := func(re *regexp.Regexp) []string {
		m := re.FindStringSubmatch(out)
		if m == nil {
			t.Fatalf("debugfs stat: no %s in\n%s", re, out)
		}
		return m
	}
	number := func(s string, base int) uint64 {
		if id, err := strconv.ParseInt(s, base, 32); err == nil {
			return uint64(uint32(id)) // debugfs takes high ids for negative
		}
		v, err := strconv.ParseUint(s, base, 64)
		if err != nil {
			t.Fatalf("debugfs stat: %v", err)
		}
		return v
	}
	head, owner, when := find(statHead), find(statOwner), find(statTime)
	s.kind, s.mode, s.flags = head[1], head[2], number(head[3], 16)
	s.uid, s.gid, s.size = number(owner[1], 10), number(owner[2], 10), int64(number(owner[3], 10))
	s.links = number(find(statLinks)[1], 10)
	low, more := number(when[1], 16), number(when[2], 16)
	s.time = image.Time{Sec: int64(int32(low)) + int64(more&3)<<32, Nsec: uint32(more >> 2)}
	if m := statDevice.FindStringSubmatch(out); m != nil {
		s.device = m[1] + ":" + m[2]
	}
	if m := statTarget.FindStringSubmatch(out); m != nil {
		s.target = m[1]
	}
	_, extents, _ := strings.Cut(out, "EXTENTS:")
	for _, m := range statExtent.FindAllStringSubmatch(extents, -1) {
		first := int64(number(m[1], 10))
		last := first
		if m[2] != "" {
			last = int64(number(m[2], 10))
		}
		s.blocks = append(s.blocks, statBlocks{first, int64(number(m[3], 10)), last - first + 1})
	}
	return s
}

// kinds are debugfs' words for file types.
func kindWord(mode uint32) string {
	return map[uint32]string{
		image.TypeRegular: "regular",
		image.TypeDir:     "directory",
		image.TypeSymlink: "symlink",
		image.TypeChar:    "character special",
		image.TypeBlock:   "block special",
		image.TypeFIFO:    "FIFO",
		image.TypeSocket:  "socket",
	}[mode&image.TypeMask]
}

// listing is a directory as debugfs lists it: inode numbers by name.
func parseListing(t tester, out string) map[string]uint32 {
	t.Helper()
	names := make(map[string]uint32)
	for line := range strings.SplitSeq(strings.TrimSpace(out), "\n") {
		f := strings.Split(line, "/") // "/ino/mode/uid/gid/name/size/"
		if len(f) < 7 {
			continue
		}
		ino, err := strconv.ParseUint(f[1], 10, 32)
		if err != nil {
			t.Fatalf("debugfs ls: %q: %v", line, err)
		}
		if ino == 0 {
			continue // an unused entry
		}
		if _, twice := names[f[5]]; twice {
			t.Fatalf("debugfs ls: %q comes twice", f[5])
		}
		names[f[5]] = uint32(ino)
	}
	return names
}

// imageReader compares a filesystem with the tree it was made of.
type imageReader struct {
	t     tester
	path  string
	file  *os.File
	found map[uint32]*image.Inode
	paths map[uint32]string
	names map[uint32]uint64 // how many, of files; subdirectories, of directories
}

// mustHold asserts that debugfs sees in the filesystem what is in the tree. No
// name may contain a line feed.
func mustHold(t tester, path string, tree *image.Tree) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatalf("%v", err)
	}
	defer f.Close()
	r := &imageReader{t, path, f, map[uint32]*image.Inode{rootIno: tree.Root},
		map[uint32]string{rootIno: "/"}, make(map[uint32]uint64)}
	r.walk()
	r.compareInodes()
	r.compareXattrs()
}

// walk lists directories level by level.
func (r *imageReader) walk() {
	r.t.Helper()
	parents := map[uint32]uint32{rootIno: rootIno}
	for level := []uint32{rootIno}; len(level) > 0; {
		var commands []string
		for _, ino := range level {
			commands = append(commands, fmt.Sprintf("ls -p <%d>", ino))
		}
		var next []uint32
		for i, out := range debugfs(r.t, r.path, commands) {
			next = append(next, r.compareListing(level[i], parseListing(r.t, out), parents)...)
		}
		level = next
	}
}

// compareListing compares the names in a directory and returns those in it
// that are directories.
func (r *imageReader) compareListing(dir uint32, got map[string]uint32, parents map[uint32]uint32) (below []uint32) {
	r.t.Helper()
	if got["."] != dir || got[".."] != parents[dir] {
		r.t.Errorf("%s: . is %d and .. is %d, want %d and %d", r.paths[dir], got["."], got[".."], dir, parents[dir])
	}
	delete(got, ".")
	delete(got, "..")
	src := r.found[dir]
	if dir == rootIno && src.Lookup(lostAndFoundName) == nil {
		if got[lostAndFoundName] != lostAndFoundIno {
			r.t.Errorf("lost+found is inode %d, want %d", got[lostAndFoundName], lostAndFoundIno)
		}
		delete(got, lostAndFoundName)
		r.names[dir]++
	}
	if names := slices.Sorted(maps.Keys(got)); !slices.Equal(names, src.Names()) {
		r.t.Fatalf("%s: debugfs lists %q, want %q", r.paths[dir], names, src.Names())
	}
	for name, ino := range got {
		child := src.Lookup(name)
		if old := r.found[ino]; old != nil && old != child {
			r.t.Fatalf("%s%s: inode %d is also that of %s", r.paths[dir], name, ino, r.paths[ino])
		}
		r.found[ino] = child
		r.paths[ino] = r.paths[dir] + name
		if !child.IsDir() {
			r.names[ino]++
			continue
		}
		r.paths[ino] += "/"
		r.names[dir]++
		parents[ino] = dir
		below = append(below, ino)
	}
	return below
}

func (r *imageReader) compareInodes() {
	r.t.Helper()
	inos := slices.Sorted(maps.Keys(r.found))
	var commands []string
	for _, ino := range inos {
		commands = append(commands, fmt.Sprintf("stat <%d>", ino))
	}
	for i, out := range debugfs(r.t, r.path, commands) {
		r.compareInode(inos[i], parseStat(r.t, out))
	}
}

func (r *imageReader) compareInode(ino uint32, got statFields) {
	r.t.Helper()
	src := r.found[ino]
	links := r.names[ino]
	if src.IsDir() {
		if links += 2; links > maxLinks {
			links = 1
		}
		got.size = 0
	}
	want := statFields{
		kind:  kindWord(src.Mode),
		mode:  fmt.Sprintf("0%03o", src.Mode&0o7777),
		uid:   uint64(src.UID),
		gid:   uint64(src.GID),
		links: links,
		size:  src.Size(),
		time:  src.ModTime,
	}
	if src.Type() == image.TypeChar || src.Type() == image.TypeBlock {
		want.device = fmt.Sprintf("%02d:%02d", src.Major, src.Minor)
	}
	if src.Type() == image.TypeSymlink && len(src.Target) < inodeBlockSize {
		want.target = src.Target
	}
	if g, w := fmt.Sprintf("%+v", got.withoutBlocks()), fmt.Sprintf("%+v", want); g != w {
		r.t.Errorf("%s: debugfs stat says\n%s, want\n%s", r.paths[ino], g, w)
	}
	r.compareContent(ino, got)
}

func (s statFields) withoutBlocks() statFields {
	s.blocks, s.flags = nil, 0
	return s
}

// compareContent reads the blocks that debugfs names, and checks that all else
// is a hole in the source too.
func (r *imageReader) compareContent(ino uint32, s statFields) {
	r.t.Helper()
	src := r.found[ino]
	if src.Type() == image.TypeSymlink && len(src.Target) >= inodeBlockSize {
		got := readAt(r.t, r.file, s.blocks[0].physical*blockSize, blockSize)
		if string(bytes.TrimRight(got, "\x00")) != src.Target {
			r.t.Errorf("%s: target %q, want %q", r.paths[ino], got, src.Target)
		}
		return
	}
	if !src.IsRegular() {
		return
	}
	var mapped int64
	for _, b := range s.blocks {
		mapped += b.count
		want := contentBytes(r.t, src, b.logical*blockSize, b.count*blockSize)
		if got := readAt(r.t, r.file, b.physical*blockSize, b.count*blockSize); !bytes.Equal(got, want) {
			r.t.Errorf("%s: content differs in blocks %d to %d", r.paths[ino], b.logical, b.logical+b.count-1)
		}
	}
	if want := dataBlocks(src); mapped != want {
		r.t.Errorf("%s: %d blocks are mapped, want %d", r.paths[ino], mapped, want)
	}
}

// dataBlocks counts the blocks that anything but a zero extent touches.
func dataBlocks(n *image.Inode) (count int64) {
	var off, counted int64 // counted: the first block not yet counted
	for _, e := range n.Content {
		end := (off + e.Length + blockSize - 1) / blockSize
		if e.Kind != 0 {
			count += max(0, end-max(counted, off/blockSize))
			counted = end
		}
		off += e.Length
	}
	return count
}

func (r *imageReader) compareXattrs() {
	r.t.Helper()
	out := filepath.Join(filepath.Dir(r.path), "value")
	var commands []string
	for _, ino := range slices.Sorted(maps.Keys(r.found)) {
		if len(r.found[ino].Xattrs) == 0 {
			continue
		}
		commands = append(commands, fmt.Sprintf("ea_list <%d>", ino))
		for i, x := range r.found[ino].Xattrs {
			commands = append(commands, fmt.Sprintf("ea_get -f %s.%d.%d <%d> %q", out, ino, i, ino, x.Name))
		}
	}
	if len(commands) == 0 {
		return
	}
	lists := debugfs(r.t, r.path, commands)
	for _, ino := range slices.Sorted(maps.Keys(r.found)) {
		attrs := r.found[ino].Xattrs
		if len(attrs) == 0 {
			continue
		}
		if n := strings.Count(lists[0], "\n  "); n != len(attrs) {
			r.t.Errorf("%s: %d extended attributes, want %d:\n%s", r.paths[ino], n, len(attrs), lists[0])
		}
		lists = lists[1+len(attrs):]
		for i, x := range attrs {
			got, err := os.ReadFile(fmt.Sprintf("%s.%d.%d", out, ino, i))
			if err != nil || !bytes.Equal(got, x.Value) {
				r.t.Errorf("%s: %s is %q, want %q (%v)", r.paths[ino], x.Name, got, x.Value, err)
			}
		}
	}
}
