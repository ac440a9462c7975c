package disk

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cloudlets/cloudlets/converter/boot"
	"github.com/cloudlets/cloudlets/converter/ext4"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// modulesDir has a directory for each kernel that the image has modules for.
const modulesDir = "/lib/modules"

// ErrNoRamdisk is returned where the kernel of an image has no initrd.
var ErrNoRamdisk = errors.New("the kernel of the image has no initrd (no /boot/initrd.img-* for it)")

// PlanFilesystem returns the root filesystem alone, for a machine that loads a
// kernel itself: the report says with which arguments. The kernel may be the
// image's, or another.
func PlanFilesystem(tree *image.Tree, opts Options) (*extent.Map, Report, error) {
	p, err := newDirect(tree, opts)
	if err != nil {
		return nil, Report{}, err
	}
	e := p.rootOptions()
	e.Size = opts.Size
	m, err := ext4.Plan(tree, e)
	if err != nil {
		return nil, Report{}, fmt.Errorf("plan the root filesystem: %w", err)
	}
	return m, p.directReport(), nil
}

// PlanKernel returns the kernel that the disk of an image boots first.
func PlanKernel(tree *image.Tree, opts Options) (*extent.Map, Report, error) {
	return planBootFile(tree, opts, func(k boot.Kernel) (*image.Inode, error) { return k.Image, nil })
}

// PlanRamdisk returns the initrd of the kernel that PlanKernel returns.
func PlanRamdisk(tree *image.Tree, opts Options) (*extent.Map, Report, error) {
	return planBootFile(tree, opts, func(k boot.Kernel) (*image.Inode, error) {
		if k.Initrd == nil {
			return nil, ErrNoRamdisk
		}
		return k.Initrd, nil
	})
}

func planBootFile(tree *image.Tree, opts Options, choose func(boot.Kernel) (*image.Inode, error)) (*extent.Map, Report, error) {
	p, err := newDirect(tree, opts)
	if err != nil {
		return nil, Report{}, err
	}
	if len(p.kernels) == 0 {
		return nil, Report{}, boot.ErrNoKernel
	}
	file, err := choose(p.kernels[0])
	if err != nil {
		return nil, Report{}, err
	}
	m, err := file.Map()
	return m, p.directReport(), err
}

// newDirect returns a planner for what boots without a bootloader. The first of
// its kernels is the one that a disk would boot, if there is one.
func newDirect(tree *image.Tree, opts Options) (*planner, error) {
	if err := opts.check(); err != nil {
		return nil, err
	}
	p := &planner{opts: opts, ids: deriveIdentities(opts.Seed), tree: tree}
	var err error
	if p.kernels, err = boot.FindKernels(tree); err != nil && !errors.Is(err, boot.ErrNoKernel) {
		return nil, err
	}
	p.kernels = boot.LinkedFirst(tree, p.kernels)
	return p, nil
}

// directReport says how a machine starts the kernel. Without a partition table,
// only an initrd finds the root filesystem by its UUID; a kernel by itself is
// told the first virtio disk.
func (p *planner) directReport() Report {
	r := p.report()
	root := "root=UUID=" + boot.FormatUUID(p.ids.filesystem)
	if len(p.kernels) == 0 || p.kernels[0].Initrd == nil {
		root = "root=/dev/vda"
	}
	r.CommandLine = strings.Join(slices.Concat([]string{root, "rw"}, boot.ConsoleArgs(), p.opts.KernelArgs), " ")
	return r
}

// KernelVersion returns the version of the kernel that the disk of an image
// boots first, or else of the newest that it has modules for; "" if neither.
func KernelVersion(tree *image.Tree) string {
	if p, err := newDirect(tree, Options{Seed: "version"}); err == nil && len(p.kernels) > 0 {
		return p.kernels[0].Version
	}
	modules, err := tree.Resolve(modulesDir)
	if err != nil || !modules.IsDir() || len(modules.Names()) == 0 {
		return ""
	}
	return slices.MaxFunc(modules.Names(), boot.CompareVersions)
}
