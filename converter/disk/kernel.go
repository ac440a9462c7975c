package disk

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cloudlets/cloudlets/image"
)

// ErrNoKernel is returned where a rootfs holds nothing to boot.
var ErrNoKernel = errors.New("the image has no kernel (no /boot/vmlinuz-*): " +
	"install one in its root filesystem, on Debian linux-image-cloud-amd64, and push it again")

// kernel is a Linux kernel of the rootfs and, if it has one, its initrd. Paths
// are absolute and without symbolic links before the last part.
type kernel struct {
	version    string // empty for what the image links to
	path       string
	initrdPath string // empty without one
	image      *image.Inode
	initrd     *image.Inode // nil without one
}

// title is what menus call the kernel.
func (k kernel) title() string {
	if k.version == "" {
		return "Linux"
	}
	return "Linux " + k.version
}

const (
	bootDir      = "/boot"
	kernelPrefix = "vmlinuz-"
)

// initrdNames are what distributions call the initrd of a version: Debian,
// Fedora, SUSE.
var initrdNames = []string{"initrd.img-%s", "initramfs-%s.img", "initrd-%s"}

// kernelLinks are the symbolic links that distributions keep to the kernel to
// boot by default and its initrd: Debian, Ubuntu.
var kernelLinks = [][2]string{{"/vmlinuz", "/initrd.img"}, {"/boot/vmlinuz", "/boot/initrd.img"}}

// findKernels returns the kernels in /boot, the newest version first. Versions
// with characters that menus would have to quote are passed over.
func findKernels(tree *image.Tree) ([]kernel, error) {
	boot, err := tree.Resolve(bootDir)
	if err != nil {
		return nil, ErrNoKernel
	}
	var kernels []kernel
	for _, name := range boot.Names() {
		version, ok := strings.CutPrefix(name, kernelPrefix)
		if !ok || !plainVersion(version) {
			continue
		}
		k := kernel{version: version, path: bootDir + "/" + name}
		if k.image = regular(tree, k.path); k.image == nil {
			continue
		}
		for _, pattern := range initrdNames {
			path := bootDir + "/" + fmt.Sprintf(pattern, version)
			if k.initrd = regular(tree, path); k.initrd != nil {
				k.initrdPath = path
				break
			}
		}
		kernels = append(kernels, k)
	}
	if len(kernels) == 0 {
		return nil, ErrNoKernel
	}
	slices.SortFunc(kernels, func(a, b kernel) int { return compareVersions(b.version, a.version) })
	return kernels, nil
}

// linkedKernel returns the kernel that the image itself links to, or nil. Its
// package manager moves the link, so a menu entry that follows it outlives
// upgrades.
func linkedKernel(tree *image.Tree) *kernel {
	for _, link := range kernelLinks {
		k := kernel{path: link[0], initrdPath: link[1], image: regular(tree, link[0]), initrd: regular(tree, link[1])}
		if k.image != nil && k.initrd != nil {
			return &k
		}
	}
	return nil
}

// regular returns the regular file at a path, or nil.
func regular(tree *image.Tree, path string) *image.Inode {
	n, err := tree.Resolve(path)
	if err != nil || !n.IsRegular() {
		return nil
	}
	return n
}

// plainVersion reports whether a version can stand in any menu as it is.
func plainVersion(version string) bool {
	return version != "" && !strings.ContainsFunc(version, func(r rune) bool {
		alphanumeric := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
		return !alphanumeric && !strings.ContainsRune("._+~-", r)
	})
}
