package boot

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

// Kernel is a Linux kernel of the rootfs and, if it has one, its initrd. Paths
// are absolute and without symbolic links before the last part.
type Kernel struct {
	Version    string // empty for what the image links to
	Path       string
	InitrdPath string // empty without one
	Image      *image.Inode
	Initrd     *image.Inode // nil without one
}

// title is what menus call the kernel.
func (k Kernel) title() string {
	if k.Version == "" {
		return "Linux"
	}
	return "Linux " + k.Version
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

// FindKernels returns the kernels in /boot, the newest version first. Versions
// with characters that menus would have to quote are passed over.
func FindKernels(tree *image.Tree) ([]Kernel, error) {
	boot, err := tree.Resolve(bootDir)
	if err != nil {
		return nil, ErrNoKernel
	}
	var kernels []Kernel
	for _, name := range boot.Names() {
		version, ok := strings.CutPrefix(name, kernelPrefix)
		if !ok || !plainVersion(version) {
			continue
		}
		k := Kernel{Version: version, Path: bootDir + "/" + name}
		if k.Image = regular(tree, k.Path); k.Image == nil {
			continue
		}
		for _, pattern := range initrdNames {
			path := bootDir + "/" + fmt.Sprintf(pattern, version)
			if k.Initrd = regular(tree, path); k.Initrd != nil {
				k.InitrdPath = path
				break
			}
		}
		kernels = append(kernels, k)
	}
	if len(kernels) == 0 {
		return nil, ErrNoKernel
	}
	slices.SortFunc(kernels, func(a, b Kernel) int { return CompareVersions(b.Version, a.Version) })
	return kernels, nil
}

// LinkedKernel returns the kernel that the image itself links to, or nil. Its
// package manager moves the link, so a menu entry that follows it outlives
// upgrades.
func LinkedKernel(tree *image.Tree) *Kernel {
	for _, link := range kernelLinks {
		k := Kernel{Path: link[0], InitrdPath: link[1], Image: regular(tree, link[0]), Initrd: regular(tree, link[1])}
		if k.Image != nil && k.Initrd != nil {
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

// LinkedFirst returns kernels of a tree with the one that the image links to, if
// there is one, moved to the front: the first is what boots by itself.
func LinkedFirst(tree *image.Tree, kernels []Kernel) []Kernel {
	linked := LinkedKernel(tree)
	if linked == nil {
		return kernels
	}
	if i := slices.IndexFunc(kernels, func(k Kernel) bool { return k.Image == linked.Image }); i > 0 {
		kernels[0], kernels[i] = kernels[i], kernels[0]
	}
	return kernels
}

// FirstKernel returns the kernel of an image that boots by itself.
func FirstKernel(tree *image.Tree) (Kernel, error) {
	kernels, err := FindKernels(tree)
	if err != nil {
		return Kernel{}, err
	}
	return LinkedFirst(tree, kernels)[0], nil
}
