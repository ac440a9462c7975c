package disk_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/converter/grub"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// seed is what a caller would give: the digest of an image.
const seed = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

const unsignedGRUB = "usr/lib/grub/x86_64-efi/monolithic/grubx64.efi"

// files is a tree to be: content by path. A content that starts with linkTo is
// a symbolic link.
type files map[string]string

const linkTo = "-> "

// with returns the files and more.
func (f files) with(more files) files {
	all := make(files)
	for _, part := range []files{f, more} {
		for path, content := range part {
			all[path] = content
		}
	}
	return all
}

// tree makes the tree. Regular files are references to blobs, as in an image.
func (f files) tree(blobs convertertest.Blobs) *image.Tree {
	tree := image.NewTree()
	for path, content := range f {
		dir := tree.Root
		parts := strings.Split(path, "/")
		for _, name := range parts[:len(parts)-1] {
			if dir.Lookup(name) == nil {
				dir.Link(name, &image.Inode{Mode: image.TypeDir | 0o755})
			}
			dir = dir.Lookup(name)
		}
		dir.Link(parts[len(parts)-1], inode(blobs, content))
	}
	return tree
}

func inode(blobs convertertest.Blobs, content string) *image.Inode {
	if target, ok := strings.CutPrefix(content, linkTo); ok {
		return &image.Inode{Mode: image.TypeSymlink | 0o777, Target: target}
	}
	n := &image.Inode{Mode: image.TypeRegular | 0o644}
	if content != "" {
		digest := blobs.Add([]byte(content))
		n.Content = []extent.Extent{{Kind: extent.Source, Length: int64(len(content)), Digest: digest}}
	}
	return n
}

// rootfs is the least that has something to boot, but no bootloader.
func rootfs() files {
	return files{
		"etc/hostname":       "image\n",
		"boot/vmlinuz-6.1.0": "kernel 6.1.0", "boot/initrd.img-6.1.0": "initrd 6.1.0",
	}
}

// efiStub stands for a GRUB for UEFI: all that is read of one is its prefix.
func efiStub(prefix string) string {
	object := prefix + "\x00"
	area := "mimg\x00\x00\x00\x00" + le64(24) + le64(uint64(24+8+len(object)))
	return "MZ" + area + "\x03\x00\x00\x00" + le64(uint64(8 + len(object)))[:4] + object
}

func le64(n uint64) string {
	var p [8]byte
	for i := range p {
		p[i] = byte(n >> (8 * i))
	}
	return string(p[:])
}

// biosGRUB returns the files of the Debian package grub-pc-bin.
func biosGRUB(t testing.TB) files {
	t.Helper()
	return installed(t, grub.KitPath, "grub-pc-bin", func(name string) bool {
		return strings.HasSuffix(name, ".mod") || strings.HasSuffix(name, ".img") || name == "moddep.lst"
	})
}

// uefiGRUB returns the GRUB of the Debian package grub-efi-amd64-bin.
func uefiGRUB(t testing.TB) files {
	t.Helper()
	return installed(t, filepath.Dir(unsignedGRUB), "grub-efi-amd64-bin", func(name string) bool {
		return name == filepath.Base(unsignedGRUB)
	})
}

// installed returns files of a directory of this machine.
func installed(t testing.TB, dir, debianPackage string, want func(name string) bool) files {
	t.Helper()
	found := make(files)
	err := fs.WalkDir(os.DirFS("/"), dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !want(entry.Name()) {
			return err
		}
		content, err := os.ReadFile("/" + path)
		found[path] = string(content)
		return err
	})
	if err != nil || len(found) == 0 {
		t.Fatalf("/%s: %d files, %v; the test needs them: apt-get install %s", dir, len(found), err, debianPackage)
	}
	return found
}
