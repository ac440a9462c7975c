package grub_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cloudlets/cloudlets/converter/grub"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// debianKit returns the kit of the installed Debian package grub-pc-bin.
func debianKit(t testing.TB) grub.Kit {
	t.Helper()
	dir := "/" + grub.KitPath
	if _, err := os.Stat(filepath.Join(dir, "kernel.img")); err != nil {
		t.Fatalf("this test needs the Debian package grub-pc-bin: %v", err)
	}
	return grub.Kit{ReadFile: func(name string, _ int64) ([]byte, error) {
		return os.ReadFile(filepath.Join(dir, name))
	}}
}

// mapKit returns a kit of the given files.
func mapKit(files map[string][]byte) grub.Kit {
	return grub.Kit{ReadFile: func(name string, _ int64) ([]byte, error) {
		data, ok := files[name]
		if !ok {
			return nil, fmt.Errorf("%s: %w", name, fs.ErrNotExist)
		}
		return data, nil
	}}
}

// copyKit reads the named files of a kit, so that a test can break them.
func copyKit(t testing.TB, kit grub.Kit, names ...string) map[string][]byte {
	t.Helper()
	files := make(map[string][]byte)
	for _, name := range names {
		data, err := kit.ReadFile(name, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = data
	}
	return files
}

func kitTree(files ...string) *image.Tree {
	tree := image.NewTree()
	dir := tree.Root
	for name := range strings.SplitSeq(grub.KitPath, "/") {
		child := &image.Inode{Mode: image.TypeDir | 0o755}
		dir.Link(name, child)
		dir = child
	}
	for _, name := range files {
		data := []byte(name)
		dir.Link(name, &image.Inode{
			Mode:    image.TypeRegular | 0o644,
			Content: []extent.Extent{{Kind: extent.Inline, Length: int64(len(data)), Data: data}},
		})
	}
	return tree
}

var kitFiles = []string{"boot.img", "diskboot.img", "kernel.img", "lzma_decompress.img", "moddep.lst"}

func readInline(n *image.Inode) ([]byte, error) { return n.Content[0].Data, nil }

func TestFindKitReadsFilesOfTheTree(t *testing.T) {
	kit, err := grub.FindKit(kitTree(kitFiles...), readInline)
	if err != nil {
		t.Fatal(err)
	}
	data, err := kit.ReadFile("kernel.img", 100)
	if err != nil || string(data) != "kernel.img" {
		t.Errorf("kernel.img reads as %q, %v", data, err)
	}
	if _, err := kit.ReadFile("kernel.img", 3); err == nil {
		t.Error("a file longer than the limit was read")
	}
	if _, err := kit.ReadFile("ext2.mod", 100); err == nil || !strings.Contains(err.Error(), "no ext2.mod") {
		t.Errorf("a missing file gives %v", err)
	}
}

func TestFindKitSaysWhatIsMissing(t *testing.T) {
	if _, err := grub.FindKit(image.NewTree(), readInline); !errors.Is(err, grub.ErrNoKit) {
		t.Errorf("an empty tree gives %v, want ErrNoKit", err)
	}
	for i, name := range kitFiles {
		rest := append(append([]string{}, kitFiles[:i]...), kitFiles[i+1:]...)
		_, err := grub.FindKit(kitTree(rest...), readInline)
		if !errors.Is(err, grub.ErrNoKit) || !strings.Contains(err.Error(), name) {
			t.Errorf("a tree without %s gives %v", name, err)
		}
	}
}
