package ext4

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/converter/formattest"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// victim is a small filesystem without checksums, so that what is changed in it
// is seen for what it is.
type victim struct {
	*testing.T
	*reader
	b []byte
}

// hostileTree has one file for each of the structures that are attacked.
func hostileTree() *image.Tree {
	fragments := make([]extent.Extent, 0, 20)
	for range 10 {
		fragments = append(fragments, inlineContent(strings.Repeat("f", blockSize))[0], holeExtent(blockSize))
	}
	return treeOf(map[string]*image.Inode{
		"a":       regular(inlineContent("content of a")...),
		"b":       regular(inlineContent("content of b")...),
		"dir/x":   directoryInode(),
		"dir/y":   directoryInode(),
		"link":    symlink(strings.Repeat("t", 100)),
		"pieces":  regular(fragments...),
		"attrs":   withXattrs(regular(), image.Xattr{Name: "user.name", Value: []byte("value")}),
		"many":    withXattrs(regular(), image.Xattr{Name: "user.name", Value: bytes.Repeat([]byte("v"), 1000)}),
		"version": device(image.TypeChar, 1, 3),
	})
}

func newVictim(t *testing.T, o Options) *victim {
	t.Helper()
	m := mustPlan(t, hostileTree(), o)
	b := make([]byte, m.Size())
	if _, err := extent.NewReader(t.Context(), m, patternOpener{}).ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return victimOf(t, b)
}

func victimOf(t *testing.T, b []byte) *victim {
	t.Helper()
	v := &victim{T: t, b: b, reader: newReader(bytes.NewReader(b), int64(len(b)), diskDigest)}
	must(t, v.readSuperblock())
	return v
}

// find returns the number of the inode with a name in the root directory or
// below dir, and where it stands.
func (v *victim) find(path string) (ino uint32, at int) {
	v.Helper()
	ino = rootIno
	for name := range strings.SplitSeq(path, "/") {
		dir, err := v.inode(ino)
		must(v.T, err)
		entries, err := v.fresh().directory(dir)
		must(v.T, err)
		ino = 0
		for _, e := range entries {
			if e.name == name {
				ino = e.ino
			}
		}
	}
	if ino == 0 {
		v.Fatalf("no file %s", path)
	}
	return ino, v.place(ino)
}

// fresh returns a reader that has claimed nothing.
func (v *victim) fresh() *reader {
	r := newReader(v.file.Reader, v.file.Size, diskDigest)
	must(v.T, r.readSuperblock())
	return r
}

// place returns where an inode stands.
func (v *victim) place(ino uint32) int {
	table, err := v.inodeTable((ino - 1) / v.InodesPerGroup)
	must(v.T, err)
	return int(table)*int(v.blockSize) + int((ino-1)%v.InodesPerGroup)*int(v.inodeSize)
}

// first returns where the first block of a file stands, whose extent is in the
// inode.
func (v *victim) first(at int) int {
	return int(v.u32(at+inodeBlock+extentEntrySize+8)) * int(v.blockSize)
}

func (v *victim) u32(at int) uint32       { return binary.LittleEndian.Uint32(v.b[at:]) }
func (v *victim) put32(at int, x uint32)  { binary.LittleEndian.PutUint32(v.b[at:], x) }
func (v *victim) put16(at int, x uint16)  { binary.LittleEndian.PutUint16(v.b[at:], x) }
func (v *victim) super(at int, x uint32)  { v.put32(superblockOffset+at, x) }
func (v *victim) flag(name string, f int) { _, at := v.find(name); v.put32(at+inodeFlags, uint32(f)) }

// entry returns where the entry of a name in the root directory stands.
func (v *victim) entry(name string) int {
	root := v.first(v.place(rootIno))
	at := bytes.Index(v.b[root:root+blockSize], []byte(name))
	if at < 0 {
		v.Fatalf("no entry %s", name)
	}
	return root + at - entryHeaderSize
}

func TestOpenRefusesWhatIsUnsound(t *testing.T) {
	const unsupported, unsound = true, false
	for name, test := range map[string]struct {
		change      func(v *victim)
		unsupported bool
		message     string
	}{
		"no superblock":           {func(v *victim) { clear(v.b[1024:2048]) }, unsound, "magic number 0x0000"},
		"future revision":         {func(v *victim) { v.super(0x4C, 2) }, unsupported, "revision 2"},
		"unknown feature":         {func(v *victim) { v.super(0x60, 0x80000001) }, unsupported, "compression and the unknown bits 0x80000000"},
		"external journal":        {func(v *victim) { v.super(0x60, incompatJournalDevice) }, unsupported, "journal_dev"},
		"huge blocks":             {func(v *victim) { v.super(0x18, 7) }, unsound, "blocks of 2^17 bytes"},
		"absurd blocks":           {func(v *victim) { v.super(0x18, 0xFFFFFFFF) }, unsound, "want at most 2^16"},
		"more blocks than bytes":  {func(v *victim) { v.super(0x150, 1) }, unsound, "only"},
		"no blocks":               {func(v *victim) { v.super(0x04, 0) }, unsound, "the first of its 0 blocks"},
		"late first block":        {func(v *victim) { v.super(0x14, 1) }, unsound, "the first of its"},
		"empty groups":            {func(v *victim) { v.super(0x20, 0) }, unsound, "0 blocks a group"},
		"groups of too many":      {func(v *victim) { v.super(0x20, 1<<30) }, unsound, "blocks a group"},
		"groups without inodes":   {func(v *victim) { v.super(0x28, 0) }, unsound, "0 inodes a group"},
		"too many inodes a group": {func(v *victim) { v.super(0x28, 1<<20) }, unsound, "inodes a group"},
		"wrong count of inodes":   {func(v *victim) { v.super(0x00, 1<<31) }, unsound, "inodes in"},
		"tiny inodes":             {func(v *victim) { v.put16(superblockOffset+0x58, 64) }, unsound, "inodes of 64 bytes"},
		"uneven inodes":           {func(v *victim) { v.put16(superblockOffset+0x58, 200) }, unsound, "inodes of 200 bytes"},
		"tiny descriptors":        {func(v *victim) { v.put16(superblockOffset+0xFE, 8) }, unsound, "descriptors of 8 bytes"},
		"inode table outside":     {func(v *victim) { v.put32(blockSize+descInodeTable, 1<<31) }, unsound, "descriptor of group 0: inode table"},
		"root is a file":          {func(v *victim) { v.put16(v.place(rootIno), 0o100644) }, unsound, "inode 2 is not a directory"},
		"root was deleted":        {func(v *victim) { v.put16(v.place(rootIno)+inodeLinks, 0) }, unsound, "inode 2: not a sound file: it was deleted"},
		"no type":                 {func(v *victim) { _, at := v.find("a"); v.put16(at, 0o644) }, unsound, "/a: inode"},
		"many extra fields":       {func(v *victim) { _, at := v.find("a"); v.put16(at+inodeExtraSize, 1000) }, unsound, "1000 bytes of extra fields"},
		"no such inode":           {func(v *victim) { v.put32(v.entry("version"), 1<<31) }, unsound, "/version: inode 2147483648"},
		"entry without end":       {func(v *victim) { v.put16(v.entry("version")+4, 0) }, unsound, "has 0 bytes"},
		"entry over the end":      {func(v *victim) { v.put16(v.entry("version")+4, 0xFFFC) }, unsound, "has 65532 bytes"},
		"uneven entry":            {func(v *victim) { v.put16(v.entry("attrs")+4, 17) }, unsound, "has 17 bytes"},
		"name over its entry":     {func(v *victim) { v.b[v.entry("attrs")+6] = 200 }, unsound, "of which 200 are its name"},
		"name with a slash":       {func(v *victim) { v.b[v.entry("attrs")+entryHeaderSize] = '/' }, unsound, `the name "/ttrs"`},
		"empty name":              {func(v *victim) { v.b[v.entry("attrs")+6] = 0 }, unsound, `the name ""`},
		"name twice":              {func(v *victim) { v.b[v.entry("b")+entryHeaderSize] = 'a' }, unsound, "/a: not a sound file: the name stands twice"},
		"directory in itself":     {func(v *victim) { v.put32(v.entry("version"), rootIno) }, unsound, "a directory that has a name already"},
		"directory of two":        {func(v *victim) { ino, _ := v.find("dir/x"); v.put32(v.entry("version"), ino) }, unsound, "a directory that has a name already"},
		"directory of no size":    {func(v *victim) { _, at := v.find("dir"); v.put32(at+inodeSizeLo, 0) }, unsound, "directory /dir/"},
		"directory of odd size":   {func(v *victim) { _, at := v.find("dir"); v.put32(at+inodeSizeLo, 5000) }, unsound, "5000 bytes, want a multiple"},
		"directory with a hole":   {func(v *victim) { _, at := v.find("dir"); v.put32(at+inodeSizeLo, 1<<30) }, unsound, "its block 1 is a hole"},
		"directory of two owners": {func(v *victim) { shareBlocks(v, "dir/x", "dir/y") }, unsound, "belongs to inode"},
		"content of two owners":   {func(v *victim) { shareBlocks(v, "a", "b") }, unsound, "run e2fsck"},
		"encrypted":               {func(v *victim) { v.flag("dir", flagExtents|flagEncrypted) }, unsupported, "/dir: inode"},
		"casefold":                {func(v *victim) { v.flag("dir", flagExtents|flagCasefold) }, unsupported, "upper from lower case"},
		"verity":                  {func(v *victim) { v.flag("a", flagExtents|flagVerity) }, unsupported, "fs-verity"},
		"value of an attribute":   {func(v *victim) { v.flag("a", flagExtents|flagEAInode) }, unsupported, "extended attribute"},
		"no extent tree":          {func(v *victim) { _, at := v.find("a"); v.put16(at+inodeBlock, 0) }, unsound, "magic number 0x0000"},
		"extent tree too deep":    {func(v *victim) { _, at := v.find("a"); v.put16(at+inodeBlock+6, 6) }, unsound, "the depth 6"},
		"too many extents":        {func(v *victim) { _, at := v.find("a"); v.put16(at+inodeBlock+2, 5) }, unsound, "5 of 4 entries"},
		"extents without room":    {func(v *victim) { _, at := v.find("a"); v.put16(at+inodeBlock+4, 500) }, unsound, "of 500 entries in 60 bytes"},
		"empty extent":            {func(v *victim) { _, at := v.find("a"); v.put16(at+inodeBlock+16, 0) }, unsound, "has 0 blocks"},
		"extent outside":          {func(v *victim) { _, at := v.find("a"); v.put32(at+inodeBlock+20, 1<<31) }, unsound, "lie outside its"},
		"extent in block zero":    {func(v *victim) { _, at := v.find("pieces"); v.put32(v.first2(at)+extentEntrySize, 1<<20) }, unsound, "begins at block 2 of the file"},
		"node is its own child":   {func(v *victim) { _, at := v.find("pieces"); selfIndex(v, at) }, unsound, "belongs to inode"},
		"child of another depth":  {func(v *victim) { _, at := v.find("pieces"); v.put16(v.first2(at)+6, 3) }, unsound, "the depth 3, want 0"},
		"child outside":           {func(v *victim) { _, at := v.find("pieces"); v.put16(at+inodeBlock+extentEntrySize+8, 9) }, unsound, "lie outside its"},
		"file too long":           {func(v *victim) { _, at := v.find("a"); v.put32(at+inodeSizeHi, 1<<31) }, unsound, "a file can have"},
		"link to nowhere":         {func(v *victim) { _, at := v.find("link"); v.put32(at+inodeSizeLo, 0) }, unsound, "has 0 bytes"},
		"link without end":        {func(v *victim) { _, at := v.find("link"); v.put32(at+inodeSizeHi, 1) }, unsound, "want 1 to 4096"},
		"link with a zero":        {func(v *victim) { _, at := v.find("link"); v.b[v.first(at)+5] = 0 }, unsound, "has a zero byte"},
		"inline without content":  {func(v *victim) { v.flag("link", flagInline) }, unsound, "only 60 are in the inode"},
		"attribute of odd kind":   {func(v *victim) { _, at := v.find("attrs"); v.b[at+inodeXattrs+5] = 99 }, unsupported, "unknown kind 99"},
		"attribute without name":  {func(v *victim) { _, at := v.find("attrs"); v.b[at+inodeXattrs+4] = 0 }, unsound, "no name"},
		"attribute far away":      {func(v *victim) { _, at := v.find("attrs"); v.put16(at+inodeXattrs+6, 0xFFF0) }, unsound, "lies outside its place"},
		"attribute of huge size":  {func(v *victim) { _, at := v.find("attrs"); v.put32(at+inodeXattrs+12, 1<<31) }, unsound, "lies outside its place"},
		"attribute with an inode": {func(v *victim) { _, at := v.find("attrs"); v.put32(at+inodeXattrs+8, 12) }, unsupported, "ea_inode"},
		"attribute is not an ACL": {func(v *victim) {
			_, at := v.find("attrs")
			v.b[at+inodeXattrs+4], v.b[at+inodeXattrs+5] = 0, indexACLAccess
		}, unsound, "an ACL of 5 bytes"},
		"attribute block outside":  {func(v *victim) { _, at := v.find("many"); v.put32(at+inodeACLLo, 1<<31) }, unsound, "extended attributes: block 2147483648"},
		"attribute block of none":  {func(v *victim) { _, at := v.find("many"); v.put32(int(v.u32(at+inodeACLLo))*blockSize+4, 0) }, unsound, "more inodes share it"},
		"attribute block of many":  {func(v *victim) { _, at := v.find("many"); v.put32(int(v.u32(at+inodeACLLo))*blockSize+4, 5000) }, unsound, "5000 inodes share it"},
		"attribute block of zeros": {func(v *victim) { _, at := v.find("many"); v.put32(int(v.u32(at+inodeACLLo))*blockSize, 0) }, unsound, "magic number"},
	} {
		t.Run(name, func(t *testing.T) {
			o := testOptions()
			o.Without = MetadataChecksum | Journal
			v := newVictim(t, o)
			test.change(v)
			_, err := Open(bytes.NewReader(v.b), int64(len(v.b)), diskDigest)
			want := container.ErrFormat
			if test.unsupported {
				want = container.ErrUnsupported
			}
			if !errors.Is(err, want) || !strings.Contains(err.Error(), test.message) {
				t.Errorf("got the error\n%v\nwant one that wraps %v with %q", err, want, test.message)
			}
		})
	}
}

// first2 returns where the first block of a file's extent tree stands.
func (v *victim) first2(at int) int {
	return int(v.u32(at+inodeBlock+extentEntrySize+4)) * int(v.blockSize)
}

// shareBlocks gives one file the blocks of another.
func shareBlocks(v *victim, from, to string) {
	_, a := v.find(from)
	_, b := v.find(to)
	copy(v.b[b+inodeBlock:][:inodeBlockSize], v.b[a+inodeBlock:])
}

// selfIndex makes the child of the root of an extent tree a parent of itself.
func selfIndex(v *victim, at int) {
	child := v.first2(at)
	v.put16(at+inodeBlock+6, 5)
	copy(v.b[child:], v.b[at+inodeBlock:][:2*extentEntrySize])
	v.put16(child+6, 4)
}

// A changed bit in any metadata is found by its checksum, and the message names
// the file.
func TestOpenVerifiesChecksums(t *testing.T) {
	o := testOptions()
	o.Without = Journal
	for name, test := range map[string]struct {
		change  func(v *victim)
		message string
	}{
		"superblock":      {func(v *victim) { v.b[superblockOffset+0x38+0x50] ^= 1 }, "the superblock has the checksum"},
		"descriptor":      {func(v *victim) { v.b[blockSize+0x0C] ^= 1 }, "descriptor of group 0"},
		"inode":           {func(v *victim) { _, at := v.find("a"); v.b[at+inodeModify] ^= 1 }, "/a: inode 12: not a sound file: it has the checksum"},
		"directory":       {func(v *victim) { v.b[v.entry("a")+7] ^= 1 }, "directory / (inode 2)"},
		"extent tree":     {func(v *victim) { _, at := v.find("pieces"); v.b[v.first2(at)+5*extentEntrySize] ^= 1 }, "/pieces: inode"},
		"attribute block": {func(v *victim) { _, at := v.find("many"); v.b[int(v.u32(at+inodeACLLo))*blockSize+4000] ^= 1 }, "/many: inode"},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVictim(t, o)
			test.change(v)
			_, err := Open(bytes.NewReader(v.b), int64(len(v.b)), diskDigest)
			if !errors.Is(err, container.ErrFormat) || !strings.Contains(err.Error(), test.message) || !strings.Contains(err.Error(), "checksum") {
				t.Errorf("got %v, want an error with %q", err, test.message)
			}
		})
	}
}

func TestOpenRefusesWhatIsCutShort(t *testing.T) {
	v := newVictim(t, testOptions())
	for n := 0; n < len(v.b); n += 512 {
		if n > 64<<10 && n%(64<<10) != 0 {
			continue
		}
		if _, err := Open(bytes.NewReader(v.b[:n]), int64(n), diskDigest); !errors.Is(err, container.ErrFormat) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
		// The file is shorter than its size says.
		if _, err := Open(bytes.NewReader(v.b[:n]), int64(len(v.b)), diskDigest); n < 5*blockSize && err == nil {
			t.Fatalf("opened with %d bytes", n)
		}
	}
}

func TestOpenRefusesDeepTrees(t *testing.T) {
	path := strings.Repeat("d/", maxDepth) + "d"
	m := mustPlan(t, treeOf(map[string]*image.Inode{path: directoryInode()}), testOptions())
	_, err := Open(extent.NewReader(t.Context(), m, patternOpener{}), m.Size(), diskDigest)
	if !errors.Is(err, container.ErrFormat) || !strings.Contains(err.Error(), "directories deep") {
		t.Errorf("got %v", err)
	}
}

func TestOpenRefusesUnsoundBlockPointers(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(dir+"/file", bytes.Repeat([]byte("x"), 500_000), 0o600))
	path := mke2fsDir(t, dir, "-t", "ext2", "-b", "1024")
	b, err := os.ReadFile(path)
	must(t, err)
	for name, test := range map[string]struct {
		pointer int
		value   func(at func(int) uint32) uint32
		message string
	}{
		"outside":            {0, func(func(int) uint32) uint32 { return 1 << 30 }, "lie outside its"},
		"superblock's block": {12, func(func(int) uint32) uint32 { return 0xFFFFFFFF }, "lie outside its"},
		"twice":              {13, func(at func(int) uint32) uint32 { return at(12) }, "belongs to inode 12 already"},
		"a block of content": {12, func(at func(int) uint32) uint32 { return at(3) }, "block"},
	} {
		t.Run(name, func(t *testing.T) {
			v := victimOf(t, bytes.Clone(b))
			_, at := v.find("file")
			v.put32(at+inodeBlock+4*test.pointer, test.value(func(i int) uint32 { return v.u32(at + inodeBlock + 4*i) }))
			_, err := Open(bytes.NewReader(v.b), int64(len(v.b)), diskDigest)
			if !errors.Is(err, container.ErrFormat) || !strings.Contains(err.Error(), test.message) {
				t.Errorf("got %v, want an error with %q", err, test.message)
			}
		})
	}
}

func TestOpenRefusesUnsoundJournals(t *testing.T) {
	dir := t.TempDir()
	must(t, os.WriteFile(dir+"/file", bytes.Repeat([]byte("x"), 1024), 0o600))
	path := mke2fsDir(t, dir, "-t", "ext3", "-b", "1024")
	debugfsWrite(t, path, "jo", "jw -b 3000 "+dir+"/file", "jc")
	b, err := os.ReadFile(path)
	must(t, err)
	for name, test := range map[string]struct {
		change  func(j []byte)
		message string
	}{
		"no journal":         {func(j []byte) { clear(j[:4]) }, "magic number 0x00000000"},
		"other blocks":       {func(j []byte) { j[0x0E] = 1 }, "blocks of 256 bytes"},
		"too long":           {func(j []byte) { j[0x10] = 0x7F }, "the log is in blocks"},
		"start outside":      {func(j []byte) { j[0x1C] = 0x7F }, "begins at"},
		"fast commits":       {func(j []byte) { j[0x2B] |= journalHasFast }, "mount the filesystem once"},
		"block outside":      {func(j []byte) { j[1024+12] = 0x7F }, "for block 2130"},
		"unknown block type": {func(j []byte) { j[1024+7] = 77 }, "unknown type 77"},
	} {
		t.Run(name, func(t *testing.T) {
			v := victimOf(t, bytes.Clone(b))
			j := int(v.u32(v.place(journalIno)+inodeBlock)) * 1024
			test.change(v.b[j:])
			_, err := Open(bytes.NewReader(v.b), int64(len(v.b)), diskDigest)
			if err == nil || !strings.Contains(err.Error(), test.message) || !strings.Contains(err.Error(), "journal") {
				t.Errorf("got %v, want an error with %q", err, test.message)
			}
		})
	}
}

// A few bytes of a filesystem say that there is a file, or one more piece of it.
func TestOpenBoundsTheMemoryOfTheTree(t *testing.T) {
	b, err := os.ReadFile(mke2fsDir(t, t.TempDir()))
	must(t, err)
	for limit := int64(0); ; limit += container.ExtentMemory {
		r := newReader(bytes.NewReader(b), int64(len(b)), diskDigest)
		r.memory.Limit = limit
		tree, err := open(r)
		if err == nil {
			files := int64(0)
			for range tree.Walk() {
				files++
			}
			if limit < files*container.InodeMemory {
				t.Errorf("a tree of %d files in %d bytes", files, limit)
			}
			return
		}
		if !errors.Is(err, container.ErrUnsupported) {
			t.Fatalf("%d bytes of memory: %v", limit, err)
		}
	}
}

// FuzzOpen changes bytes of filesystems where they are not zero. What is opened
// has content within the filesystem and ends in time.
func FuzzOpen(f *testing.F) {
	bases := fuzzBases(f)
	for i := range bases {
		f.Add(byte(i), []byte{0, 1, 2, 3})
		f.Add(byte(i), []byte{0, 0, 24, 1, 0, 1, 0, 9, 0, 2, 0, 200})
	}
	f.Fuzz(func(t *testing.T, which byte, patch []byte) {
		b := bases[int(which)%len(bases)].Changed(patch)
		began := time.Now()
		tree, err := Open(bytes.NewReader(b), int64(len(b)), diskDigest)
		if took := time.Since(began); took > 5*time.Second {
			t.Fatalf("it took %v", took)
		}
		if err != nil {
			return
		}
		for path, n := range tree.Walk() {
			for _, e := range n.Content {
				if e.Length <= 0 || e.Kind == extent.Source && (e.Offset < 0 || e.Offset > int64(len(b)) || e.Length > int64(len(b))-e.Offset) {
					t.Fatalf("/%s: an extent %+v of %d bytes", path, e, len(b))
				}
			}
		}
	})
}

func fuzzBases(f *testing.F) []formattest.Victim {
	f.Helper()
	dir := f.TempDir()
	// Every run makes the same.
	const identity = "-U 12345678-1234-1234-1234-123456789abc -E hash_seed=12345678-1234-1234-1234-123456789abc"
	script := "mkdir " + dir + "/d; cd " + dir + "/d; seq 1 3000 > f; ln f g; ln -s f l; mkdir -p x/y; touch x/y/z; mknod n c 1 3; " +
		"ln -s " + strings.Repeat("t", 200) + " long; setfattr -n user.a -v b f; setfattr -n user.c -v " + strings.Repeat("v", 500) + " x; " +
		"for i in $(seq 1 90); do touch x/a-name-that-fills-$i; done; find . -exec touch -h -d @1600000000 {} +"
	bases := []string{"-t ext2 -b 1024", "-t ext4 -b 1024 -O ^metadata_csum", "-t ext4 -b 1024 -O ^metadata_csum,inline_data -I 256", "-t ext4 -b 1024"}
	for i, args := range bases {
		script += fmt.Sprintf("; mke2fs -q -F -d . %s %s -N 160 ../%d.img 2M", args, identity, i)
	}
	script += "; cp ../1.img ../4.img; printf 'mkdir new\\n' > ../c; debugfs -w -f ../c ../4.img; " +
		"printf 'jo\\njw -b 300,301 f\\njw -r 301\\njc\\n' > ../c; debugfs -w -f ../c ../4.img"
	cmd := exec.Command("sh", "-ec", script)
	cmd.Env = append(os.Environ(), "E2FSPROGS_FAKE_TIME=1600000000", "PATH=/usr/sbin:/sbin:"+os.Getenv("PATH"))
	if out, err := cmd.CombinedOutput(); err != nil {
		f.Fatalf("make filesystems: %v\n%s", err, out)
	}
	var all []formattest.Victim
	for i := range len(bases) + 1 {
		b, err := os.ReadFile(fmt.Sprintf("%s/%d.img", dir, i))
		if err != nil {
			f.Fatal(err)
		}
		if _, err := Open(bytes.NewReader(b), int64(len(b)), diskDigest); err != nil {
			f.Fatalf("filesystem %d: %v", i, err)
		}
		all = append(all, formattest.NewVictim(b))
	}
	return all
}
