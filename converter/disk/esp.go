package disk

import (
	"fmt"
	"strings"

	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// Where things stand on the ESP.
const (
	fallbackDir  = "/EFI/BOOT"
	grubDir      = "/grub"
	entriesDir   = "/loader/entries"
	kernelsDir   = "/EFI/Linux" // a directory for each version below it
	loaderKernel = "linux"
	loaderInitrd = "initrd"
)

// fatEpoch is the earliest time that FAT can tell, 1980-01-01: when generated
// files count as made.
var fatEpoch = image.Time{Sec: 315532800}

// espTree returns the files of the ESP. Bootloader, kernels and initrds are
// references to the same content as in the trees they come from.
func espTree(loaders bootloaders, menu bootMenu) (*image.Tree, error) {
	esp := espBuilder{tree: image.NewTree()}
	esp.tree.Root.ModTime = fatEpoch
	if loaders.bios != nil || loaders.uefiPrefix != "" {
		esp.text(grubDir+"/grub.cfg", menu.grubConfig())
	}
	if loaders.uefi != nil {
		for _, f := range loaders.uefi.files {
			if n := regular(loaders.uefiTree, f.from); n != nil {
				esp.reference(fallbackDir+"/"+f.to, n)
			}
		}
	}
	switch {
	case loaders.uefi == nil:
	case loaders.uefi.grub == "":
		esp.systemdBoot(menu)
	case !strings.EqualFold(loaders.uefiPrefix, grubDir):
		esp.text(loaders.uefiPrefix+"/grub.cfg", grubRedirect)
	}
	return esp.tree, esp.err
}

// espBuilder adds files to a tree. The first mistake is kept in err.
type espBuilder struct {
	tree *image.Tree
	err  error
}

// systemdBoot adds what systemd-boot needs. It reads no filesystem but the ESP,
// so kernels and initrds stand there once more.
func (b *espBuilder) systemdBoot(menu bootMenu) {
	b.text("/loader/loader.conf", menu.loaderConfig())
	for _, k := range menu.kernels {
		dir := kernelsDir + "/" + k.version
		b.reference(dir+"/"+loaderKernel, k.image)
		if k.initrd != nil {
			b.reference(dir+"/"+loaderInitrd, k.initrd)
		}
		b.text(entriesDir+"/"+k.version+".conf", menu.loaderEntry(k, dir))
	}
}

// text adds a generated file.
func (b *espBuilder) text(path, content string) {
	b.add(path, &image.Inode{
		Mode: image.TypeRegular | 0o644, ModTime: fatEpoch,
		Content: []extent.Extent{{Kind: extent.Inline, Length: int64(len(content)), Data: []byte(content)}},
	})
}

// reference adds a file with the content of n.
func (b *espBuilder) reference(path string, n *image.Inode) {
	b.add(path, &image.Inode{
		Mode: image.TypeRegular | 0o644, ModTime: n.ModTime, Order: n.Order, Content: n.Content,
	})
}

// add links a file at an absolute path and makes the directories it needs.
func (b *espBuilder) add(path string, n *image.Inode) {
	parts := strings.Split(strings.Trim(path, "/"), "/")
	dir := b.tree.Root
	for _, name := range parts[:len(parts)-1] {
		next := dir.Lookup(name)
		if next == nil {
			next = &image.Inode{Mode: image.TypeDir | 0o755, ModTime: fatEpoch}
			dir.Link(name, next)
		}
		if !next.IsDir() {
			b.fail(fmt.Errorf("add %s: %s is a file", path, name))
			return
		}
		dir = next
	}
	name := parts[len(parts)-1]
	if dir.Lookup(name) != nil {
		b.fail(fmt.Errorf("add %s: it is there already", path))
		return
	}
	dir.Link(name, n)
}

func (b *espBuilder) fail(err error) {
	if b.err == nil {
		b.err = err
	}
}
