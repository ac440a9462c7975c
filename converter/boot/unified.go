package boot

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/cloudlets/cloudlets/converter/uki"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// UnifiedKernel is a unified kernel image: an EFI program with kernel, initrd and
// command line.
type UnifiedKernel struct {
	Name string // of its file, without .efi
	File *image.Inode
}

const (
	efiSuffix   = ".efi"
	systemdStub = "usr/lib/systemd/boot/efi/linuxx64.efi.stub"
	// maxOSRelease bounds the texts that are read of an image, in bytes.
	maxOSRelease = 64 << 10
)

// unifiedDirs are where distributions put unified kernel images, besides the
// directories of modules: where the ESP is mounted.
var unifiedDirs = []string{"boot/efi/EFI/Linux", "boot/EFI/Linux", "efi/EFI/Linux"}

// modulesDirs have a directory for each kernel that there are modules for.
var modulesDirs = []string{"lib/modules", "usr/lib/modules"}

// installConfigs say how kernel-install(8) puts kernels where they boot, the
// first that exists.
var installConfigs = []string{"etc/kernel/install.conf", "usr/lib/kernel/install.conf"}

// FindUnified returns the unified kernel images in a tree, the newest first.
func FindUnified(ctx context.Context, open extent.Opener, tree *image.Tree) ([]UnifiedKernel, error) {
	var unified []UnifiedKernel
	for _, k := range unifiedCandidates(tree) {
		known := slices.ContainsFunc(unified, func(u UnifiedKernel) bool { return strings.EqualFold(u.Name, k.Name) })
		if k.File == nil || known || !plainVersion(k.Name) {
			continue
		}
		is, err := isUnified(ctx, open, k.File)
		if err != nil {
			return nil, fmt.Errorf("%s%s: %w", k.Name, efiSuffix, err)
		}
		if is {
			unified = append(unified, k)
		}
	}
	slices.SortStableFunc(unified, func(a, b UnifiedKernel) int { return CompareVersions(b.Name, a.Name) })
	return unified, nil
}

// unifiedCandidates returns the EFI programs where unified kernel images are put.
// Those in a directory of modules are named after its version.
func unifiedCandidates(tree *image.Tree) []UnifiedKernel {
	var found []UnifiedKernel
	for _, dir := range unifiedDirs {
		for _, name := range namesIn(tree, dir) {
			if base, ok := strings.CutSuffix(name, efiSuffix); ok {
				found = append(found, UnifiedKernel{base, regular(tree, path.Join(dir, name))})
			}
		}
	}
	for _, modules := range modulesDirs {
		for _, version := range namesIn(tree, modules) {
			for _, name := range namesIn(tree, path.Join(modules, version)) {
				if strings.HasSuffix(name, efiSuffix) {
					found = append(found, UnifiedKernel{version, regular(tree, path.Join(modules, version, name))})
				}
			}
		}
	}
	return found
}

// namesIn returns the names in a directory, or none.
func namesIn(tree *image.Tree, dir string) []string {
	n, err := tree.Resolve(dir)
	if err != nil || !n.IsDir() {
		return nil
	}
	return n.Names()
}

// isUnified reads the headers of an EFI program.
func isUnified(ctx context.Context, open extent.Opener, n *image.Inode) (is bool, err error) {
	m, err := n.Map()
	if err != nil {
		return false, err
	}
	r := extent.NewReader(ctx, m, open)
	defer func() { err = errors.Join(err, r.Close()) }()
	i, err := uki.Open(r, m.Size())
	if errors.Is(err, uki.ErrFormat) {
		return false, nil
	}
	return err == nil && i.Unified(), err
}

// WantsUnified reports whether the image says that its kernels are to be unified
// kernel images: layout=uki in the configuration of kernel-install(8). They are
// made where it has the stub.
func WantsUnified(ctx context.Context, open extent.Opener, tree *image.Tree) (bool, error) {
	if regular(tree, systemdStub) == nil {
		return false, nil
	}
	for _, name := range installConfigs {
		n := regular(tree, name)
		if n == nil {
			continue
		}
		text, err := n.Read(ctx, open, maxOSRelease)
		if err != nil {
			return false, fmt.Errorf("read %s: %w", name, err)
		}
		for line := range strings.Lines(string(text)) {
			if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && key == "layout" {
				return strings.Trim(value, `"'`) == "uki", nil
			}
		}
		return false, nil
	}
	return false, nil
}

// MakeUnified makes unified kernel images of the kernels in the menu, the default
// first. They are not signed.
func MakeUnified(ctx context.Context, open extent.Opener, tree *image.Tree, menu Menu) ([]UnifiedKernel, error) {
	stub, err := readInode(ctx, open, regular(tree, systemdStub))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", systemdStub, err)
	}
	release, err := osRelease(ctx, open, tree)
	if err != nil {
		return nil, err
	}
	var unified []UnifiedKernel
	for _, e := range menu.versions() {
		k := e.Kernel
		o := uki.Options{Stub: stub, OSRelease: release, Uname: k.Version, CommandLine: strings.Join(e.Args, " ")}
		file, err := unify(ctx, open, k, o)
		if err != nil {
			return nil, fmt.Errorf("kernel %s: %w", k.Version, err)
		}
		unified = append(unified, UnifiedKernel{k.Version, file})
	}
	first := slices.IndexFunc(unified, func(u UnifiedKernel) bool { return u.Name == menu.defaultVersion() })
	unified[0], unified[first] = unified[first], unified[0]
	return unified, nil
}

// osRelease returns os-release(5), or what it says to take where there is none.
func osRelease(ctx context.Context, open extent.Opener, tree *image.Tree) (string, error) {
	for _, name := range []string{"etc/os-release", "usr/lib/os-release"} {
		n := regular(tree, name)
		if n == nil {
			continue
		}
		text, err := n.Read(ctx, open, maxOSRelease)
		if err != nil {
			return "", fmt.Errorf("read %s: %w", name, err)
		}
		return string(text), nil
	}
	return "NAME=Linux\nID=linux\nPRETTY_NAME=Linux\n", nil
}

// unify makes the image of a kernel. Content of kernel and initrd is referenced.
func unify(ctx context.Context, open extent.Opener, k Kernel, o uki.Options) (*image.Inode, error) {
	var err error
	if o.Linux, err = k.Image.Map(); err != nil {
		return nil, err
	}
	if o.LinuxMemory, err = kernelMemory(ctx, open, o.Linux); err != nil {
		return nil, err
	}
	if k.Initrd != nil {
		if o.Initrd, err = k.Initrd.Map(); err != nil {
			return nil, err
		}
	}
	m, err := uki.Write(o)
	if err != nil {
		return nil, err
	}
	file := &image.Inode{Mode: image.TypeRegular | 0o644, ModTime: fatEpoch, Order: k.Image.Order}
	for _, e := range m.All() {
		file.Content = append(file.Content, e)
	}
	return file, nil
}

// kernelMemory returns how many bytes a kernel takes in memory, from the headers
// that make it an EFI program.
func kernelMemory(ctx context.Context, open extent.Opener, kernel *extent.Map) (size int64, err error) {
	r := extent.NewReader(ctx, kernel, open)
	defer func() { err = errors.Join(err, r.Close()) }()
	i, err := uki.Open(r, kernel.Size())
	if err != nil {
		return 0, fmt.Errorf("a unified kernel image needs a kernel with an EFI stub: %w", err)
	}
	return i.Size, nil
}
