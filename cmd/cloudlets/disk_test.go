package main

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const sectorSize = 512

// Numbers of partitions.
const (
	espNumber  = 2
	rootNumber = 3
)

// span is where a partition is, in bytes.
type span struct{ offset, size int64 }

var sgdiskSectors = regexp.MustCompile(`(?s)First sector: (\d+).*Last sector: (\d+)`)

// partition returns where sgdisk finds a partition of a raw disk.
func partition(t testing.TB, disk string, number int) span {
	t.Helper()
	m := sgdiskSectors.FindStringSubmatch(tool(t, "sgdisk", "-i", strconv.Itoa(number), disk))
	if m == nil {
		t.Fatalf("%s has no partition %d", disk, number)
	}
	first, last := atoi(t, m[1]), atoi(t, m[2])
	return span{first * sectorSize, (last - first + 1) * sectorSize}
}

func atoi(t testing.TB, s string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// rootOf names the root filesystem of a raw disk as the programs of e2fsprogs
// take it.
func rootOf(t testing.TB, disk string) string {
	t.Helper()
	return fmt.Sprintf("%s?offset=%d", disk, partition(t, disk, rootNumber).offset)
}

// checkDisk asks each format's own program whether a raw disk is right.
func checkDisk(t testing.TB, disk string) {
	t.Helper()
	if out := tool(t, "sgdisk", "-v", disk); !strings.Contains(out, "No problems found") {
		t.Errorf("sgdisk: %s", out)
	}
	tool(t, "e2fsck", "-fn", rootOf(t, disk))
	esp := partition(t, disk, espNumber)
	if out, err := try(t, "fsck.vfat", "-n", cutOut(t, disk, esp)); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// cutOut writes a part of a file to one of its own.
func cutOut(t testing.TB, from string, at span) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "part")
	tool(t, "dd", "status=none", "bs=1M", "iflag=skip_bytes,count_bytes", "conv=sparse", "if="+from, "of="+to,
		fmt.Sprintf("skip=%d", at.offset), fmt.Sprintf("count=%d", at.size))
	if err := os.Truncate(to, at.size); err != nil {
		t.Fatal(err)
	}
	return to
}

// node is a file as a test compares it.
type node struct {
	kind, mode string // as debugfs says it
	uid, gid   int64
	size       int64
	sec, nsec  int64
	target     string // of a symbolic link
	device     string
	sum        string // of the content
	xattrs     map[string]string
}

// readTar returns what is in a tar, by path from the root, as Go's standard
// library reads it.
func readTar(t testing.TB, name string) map[string]*node {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	nodes := map[string]*node{}
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nodes
		}
		if err != nil {
			t.Fatal(err)
		}
		at := path.Clean("/" + h.Name)
		if h.Typeflag == tar.TypeLink {
			nodes[at] = nodes[path.Clean("/"+h.Linkname)]
			continue
		}
		nodes[at] = readNode(t, h, r)
	}
}

func readNode(t testing.TB, h *tar.Header, content io.Reader) *node {
	t.Helper()
	n := &node{
		kind: kinds[h.Typeflag], mode: fmt.Sprintf("0%03o", h.Mode&0o7777), uid: int64(h.Uid), gid: int64(h.Gid),
		sec: h.ModTime.Unix(), nsec: int64(h.ModTime.Nanosecond()), target: h.Linkname, xattrs: map[string]string{},
	}
	if h.Typeflag == tar.TypeReg || h.Typeflag == tar.TypeGNUSparse {
		hash := sha256.New()
		size, err := io.Copy(hash, content)
		if err != nil {
			t.Fatal(err)
		}
		n.size, n.sum = size, hex.EncodeToString(hash.Sum(nil))
	}
	if h.Typeflag == tar.TypeChar || h.Typeflag == tar.TypeBlock {
		n.device = fmt.Sprintf("%02d:%02d", h.Devmajor, h.Devminor)
	}
	for key, value := range h.PAXRecords {
		if name, ok := strings.CutPrefix(key, "SCHILY.xattr."); ok {
			n.xattrs[name] = value
		}
	}
	return n
}

// kinds are debugfs' words for the types of tar.
var kinds = map[byte]string{
	tar.TypeReg: "regular", tar.TypeGNUSparse: "regular", tar.TypeDir: "directory", tar.TypeSymlink: "symlink",
	tar.TypeChar: "character special", tar.TypeBlock: "block special", tar.TypeFifo: "FIFO",
}

// checkRootfs compares the root filesystem of a raw disk, as debugfs reads it,
// with what should be in it.
func checkRootfs(t testing.TB, disk string, want map[string]*node) {
	t.Helper()
	image := rootOf(t, disk)
	var paths, commands []string
	for at, n := range want {
		paths = append(paths, at)
		commands = append(commands, "stat "+quote(at))
		for name := range n.xattrs {
			commands = append(commands, "ea_get -x "+quote(at)+" "+name)
		}
	}
	answers := debugfs(t, image, commands)
	extracted := extract(t, image)
	for _, at := range paths {
		compareNode(t, at, answers, want[at])
		if want[at].kind == "regular" {
			compareContent(t, filepath.Join(extracted, at), want[at].sum)
		}
	}
	checkNames(t, extracted, want)
}

// quote quotes a path for debugfs.
func quote(at string) string { return `"` + strings.ReplaceAll(at, `"`, `""`) + `"` }

// debugfs runs commands and returns what each has printed.
func debugfs(t testing.TB, image string, commands []string) map[string]string {
	t.Helper()
	script := mustWrite(t, filepath.Join(t.TempDir(), "commands"), strings.Join(commands, "\n")+"\n")
	out := tool(t, "debugfs", "-f", script, image)
	answers := map[string]string{}
	for _, part := range strings.Split("\n"+out, "\ndebugfs: ")[1:] {
		command, answer, _ := strings.Cut(part, "\n")
		answers[strings.TrimSpace(command)] = answer
	}
	return answers
}

// extract copies all files out of a filesystem.
func extract(t testing.TB, image string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	// Other users than root cannot make devices or give files away: that is
	// compared by stat.
	if _, err := try(t, "debugfs", "-R", "rdump / "+dir, image); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // or TempDir cannot remove what is not writable
		_ = filepath.WalkDir(dir, func(at string, e os.DirEntry, err error) error {
			if err == nil && e.IsDir() {
				err = os.Chmod(at, 0o700)
			}
			return err
		})
	})
	return dir
}

var (
	statHead   = regexp.MustCompile(`Type: ([a-zA-Z ]+?) +Mode: +(\d+)`)
	statOwner  = regexp.MustCompile(`User: +(-?\d+) +Group: +(-?\d+) +Project: +\d+ +Size: (\d+)`)
	statTime   = regexp.MustCompile(`mtime: 0x([0-9a-f]{8}):([0-9a-f]{8})`)
	statDevice = regexp.MustCompile(`Device major/minor number: (\d+:\d+)`)
	statTarget = regexp.MustCompile(`Fast link dest: "(.*)"`)
	eaValue    = regexp.MustCompile(`\) = ([0-9a-f ]*)`)
)

func compareNode(t testing.TB, at string, answers map[string]string, want *node) {
	t.Helper()
	stat := answers["stat "+quote(at)]
	head, owner, when := statHead.FindStringSubmatch(stat), statOwner.FindStringSubmatch(stat), statTime.FindStringSubmatch(stat)
	if head == nil || owner == nil || when == nil {
		t.Errorf("%s: debugfs says %q", at, stat)
		return
	}
	low, err1 := strconv.ParseUint(when[1], 16, 32)
	more, err2 := strconv.ParseUint(when[2], 16, 32)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	got := node{
		kind: head[1], mode: head[2], uid: atoi(t, owner[1]), gid: atoi(t, owner[2]),
		sec: int64(int32(low)) + int64(more&3)<<32, nsec: int64(more >> 2),
	}
	if want.kind == "regular" {
		got.size = atoi(t, owner[3])
	}
	if m := statDevice.FindStringSubmatch(stat); m != nil {
		got.device = m[1]
	}
	if m := statTarget.FindStringSubmatch(stat); m != nil {
		got.target = m[1]
	} else if want.kind == "symlink" && atoi(t, owner[3]) == int64(len(want.target)) {
		got.target = want.target // a long one is a block of its own
	}
	w := *want
	w.sum, w.xattrs = "", nil
	if fmt.Sprint(got) != fmt.Sprint(w) {
		t.Errorf("%s: got %+v, want %+v", at, got, w)
	}
	for name, value := range want.xattrs {
		m := eaValue.FindStringSubmatch(answers["ea_get -x "+quote(at)+" "+name])
		if m == nil || strings.ReplaceAll(m[1], " ", "") != hex.EncodeToString(asDebugfsHas(name, value)) {
			t.Errorf("%s: attribute %s is %q, want %x", at, name, m, value)
		}
	}
}

// asDebugfsHas returns an attribute as debugfs prints it: in an ACL, the entries
// of no one in particular have the id 0 instead of -1.
func asDebugfsHas(name, value string) []byte {
	const head, size, id = 4, 8, 4 // of a POSIX ACL (linux/posix_acl_xattr.h), in bytes
	b := []byte(value)
	if !strings.HasPrefix(name, "system.posix_acl_") {
		return b
	}
	for at := head; at+size <= len(b); at += size {
		if string(b[at+id:at+size]) == "\xff\xff\xff\xff" {
			clear(b[at+id : at+size])
		}
	}
	return b
}

func compareContent(t testing.TB, file, want string) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Error(err)
		return
	}
	defer f.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, f); err != nil || hex.EncodeToString(hash.Sum(nil)) != want {
		t.Errorf("%s has other content than in the tar (%v)", file, err)
	}
}

// checkNames sees to it that nothing is there that should not be.
func checkNames(t testing.TB, extracted string, want map[string]*node) {
	t.Helper()
	added := []string{"/lost+found"}
	err := filepath.WalkDir(extracted, func(file string, _ os.DirEntry, err error) error {
		at := "/" + strings.TrimPrefix(strings.TrimPrefix(file, extracted), "/")
		if want[at] == nil && at != "/" && !slices.Contains(added, at) {
			t.Errorf("%s is in the filesystem but not in the tar", at)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
