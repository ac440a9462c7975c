package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// entry is a file of a rootfs that is made for a test.
type entry struct {
	tar.Header
	content string
}

// epoch is when the files of tests were changed.
var epoch = time.Date(2025, 3, 1, 12, 0, 0, 0, time.UTC)

func dir(name string, mode int64) entry {
	return entry{Header: tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: mode}}
}

func regular(name, content string) entry {
	return entry{tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644}, content}
}

func link(kind byte, name, target string) entry {
	return entry{Header: tar.Header{Typeflag: kind, Name: name, Linkname: target, Mode: 0o777}}
}

// with changes the header of an entry.
func (e entry) with(change func(*tar.Header)) entry {
	change(&e.Header)
	return e
}

func attributes(records ...string) func(*tar.Header) {
	return func(h *tar.Header) {
		h.PAXRecords = map[string]string{}
		for i := 0; i < len(records); i += 2 {
			h.PAXRecords["SCHILY."+records[i]] = records[i+1]
		}
	}
}

// text returns n bytes that compress as program text does and are the same for
// the same seed.
func text(seed uint64, n int) string {
	r := rand.New(rand.NewPCG(seed, 1))
	var b strings.Builder
	for b.Len() < n {
		fmt.Fprintf(&b, "%x ", r.Uint32())
	}
	return b.String()[:n]
}

// cloudletManifest makes a rootfs a cloudlet.
const cloudletManifest = `{"name": "small", "description": "files of all kinds", "arch": "x86_64", "volatile": ["/var/cache/.*"]}`

// smallRootfs returns a few hundred files of all kinds.
func smallRootfs() []entry {
	entries := []entry{
		dir(".", 0o755), dir("./etc", 0o755), dir("./usr", 0o755), dir("./usr/bin", 0o755), dir("./dev", 0o755), dir("./var", 0o755),
		dir("./tmp", 0o1777), dir("./root", 0o700), dir("./.cloudlet", 0o755), dir("./var/cache", 0o755), dir("./var/lib", 0o2775),
		regular("./.cloudlet/manifest", cloudletManifest),
		regular("./etc/hostname", "golden\n"),
		regular("./etc/fstab", "LABEL=root / ext4 defaults 0 1\n"),
		regular("./var/cache/volatile", "left out\n"),
		regular("./usr/bin/su", text(1, 70_000)).with(func(h *tar.Header) { h.Mode = 0o4755 }),
		regular("./usr/bin/write", text(2, 5_000)).with(func(h *tar.Header) { h.Mode, h.Gid = 0o2755, 5 }),
		regular("./usr/bin/ping", text(3, 9_000)).with(attributes("xattr.security.capability", capNetRaw)),
		regular("./etc/attributes", "x").with(attributes("xattr.user.comment", "a comment", "xattr.user.long", text(4, 900), "xattr.trusted.t", "\x00\x01")),
		regular("./etc/acl", "x").with(attributes("acl.access", "user::rw-,user:7:r--,group::r--,mask::r--,other::---")),
		dir("./etc/default-acl", 0o755).with(attributes("acl.default", "user::rwx,group::r-x,group:100:rwx,mask::rwx,other::r-x")),
		regular("./var/lib/owned", "by many\n").with(func(h *tar.Header) { h.Uid, h.Gid = 100_000, 70_000 }),
		regular("./var/lib/old", "old\n").with(func(h *tar.Header) { h.ModTime = time.Unix(-86_400, 0) }),
		regular("./var/lib/precise", "ns\n").with(func(h *tar.Header) { h.ModTime = time.Unix(1_700_000_000, 123_456_789) }),
		regular("./var/lib/a name with spaces", "x"), regular("./var/lib/größe-日本", "x"),
		regular("./var/lib/"+strings.Repeat("n", 255), "a long name"),
		link(tar.TypeSymlink, "./bin", "usr/bin"), link(tar.TypeSymlink, "./var/lib/absolute", "/etc/hostname"),
		link(tar.TypeSymlink, "./var/lib/long-link", strings.Repeat("x/", 60)+"y"), link(tar.TypeSymlink, "./var/lib/loop", "loop"),
		link(tar.TypeLink, "./var/lib/hard", "./usr/bin/su"), link(tar.TypeLink, "./var/lib/hard2", "./usr/bin/su"),
		{Header: tar.Header{Typeflag: tar.TypeChar, Name: "./dev/null", Mode: 0o666, Devmajor: 1, Devminor: 3}},
		{Header: tar.Header{Typeflag: tar.TypeBlock, Name: "./dev/sda", Mode: 0o660, Gid: 6, Devmajor: 8, Devminor: 0}},
		{Header: tar.Header{Typeflag: tar.TypeFifo, Name: "./dev/initctl", Mode: 0o600}},
	}
	for i, size := range []int{0, 1, 59, 61, 4095, 4096, 4097, 128<<10 - 1, 128 << 10, 128<<10 + 1, 1<<20 + 17} {
		entries = append(entries, regular(fmt.Sprintf("./var/lib/size-%d", size), text(uint64(100+i), size)))
	}
	deep := "."
	for i := range 40 {
		deep += fmt.Sprintf("/level-%02d", i)
		entries = append(entries, dir(deep, 0o755), regular(deep+"/file", deep))
	}
	for i := range 200 {
		entries = append(entries, regular(fmt.Sprintf("./usr/bin/program-%03d", i), text(uint64(1000+i), i*97)).with(func(h *tar.Header) { h.Mode = 0o755 }))
	}
	return entries
}

// capNetRaw is the attribute that gives a program cap_net_raw (capabilities(7):
// VFS_CAP_REVISION_2 with the effective bit, permitted, inheritable).
const capNetRaw = "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"

// kernel is what makes a rootfs bootable, but for a bootloader. It is none that
// would run.
func kernel() []entry {
	return []entry{
		dir("./boot", 0o755),
		regular("./boot/vmlinuz-6.1.0-1-test", text(50, 300_000)),
		regular("./boot/initrd.img-6.1.0-1-test", text(51, 200_000)),
	}
}

// bootloaders are the files of GRUB for both kinds of firmware, from this
// machine.
func bootloaders(t testing.TB) []entry {
	t.Helper()
	entries := []entry{dir("./usr/lib", 0o755), dir("./usr/lib/grub", 0o755), dir("./usr/lib/grub/x86_64-efi", 0o755)}
	for _, from := range []struct{ dir, debian string }{
		{"usr/lib/grub/i386-pc", "grub-pc-bin"},
		{"usr/lib/grub/x86_64-efi/monolithic", "grub-efi-amd64-bin"},
	} {
		if _, err := os.Stat("/" + from.dir); err != nil {
			t.Fatalf("this test needs the Debian package %s: %v", from.debian, err)
		}
		err := filepath.WalkDir("/"+from.dir, func(path string, e fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case e.IsDir():
				entries = append(entries, dir("."+path, 0o755))
			case e.Type().IsRegular():
				entries = append(entries, regular("."+path, mustRead(t, path)))
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return entries
}

// bootableRootfs is the small rootfs with all that a disk needs.
func bootableRootfs(t testing.TB) []entry {
	t.Helper()
	return append(append(smallRootfs(), kernel()...), bootloaders(t)...)
}

// tarOf returns entries as a tar.
func tarOf(t testing.TB, entries []entry) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := e.Header
		h.Format, h.Size = tar.FormatPAX, int64(len(e.content))
		if h.ModTime.IsZero() {
			h.ModTime = epoch
		}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatalf("%s: %v", h.Name, err)
		}
		if _, err := w.Write([]byte(e.content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// writeTar writes entries to a tar file and returns its path.
func writeTar(t testing.TB, entries []entry) string {
	t.Helper()
	return mustWrite(t, filepath.Join(t.TempDir(), "rootfs.tar"), tarOf(t, entries))
}

// debianTar returns the path of a real root filesystem.
func debianTar(t testing.TB) string { return cached(t, "debian.tar") }

// cached returns the path of a root filesystem that `make debian` has made.
func cached(t testing.TB, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("../../.cache", name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("no Debian root filesystem: run make debian (%v)", err)
	}
	return path
}

// debian is a registry with a real root filesystem, which tests that only add
// to it share.
var debian struct {
	once   sync.Once
	dir    string
	server *server
	digest string
	err    error
}

// debianServer returns a registry that has Debian as golden/debian:12, and the
// image's digest.
func debianServer(t testing.TB) (s *server, digest string) {
	t.Helper()
	if testing.Short() {
		t.Skip("a whole Debian takes its time")
	}
	rootfs := debianTar(t)
	debian.once.Do(func() {
		if debian.dir, debian.err = os.MkdirTemp("", "cloudlets-debian-*"); debian.err != nil {
			return
		}
		if debian.server, debian.err = launch(debian.dir); debian.err != nil {
			return
		}
		debian.digest = ok(t, "push", "-q", rootfs, debian.server.ref("golden/debian:12"))
	})
	if debian.err != nil || debian.digest == "" {
		t.Fatalf("there is no registry with Debian: %v", debian.err)
	}
	return debian.server, debian.digest
}

// stopDebian ends what debianServer began.
func stopDebian() {
	if debian.server != nil {
		debian.server.kill()
	}
	_ = os.RemoveAll(debian.dir) // of what was never made, nothing
}
