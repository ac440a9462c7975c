package disk

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/cloudlets/cloudlets/converter/boot"
	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/converter/ext4"
	"github.com/cloudlets/cloudlets/converter/fat32"
	"github.com/cloudlets/cloudlets/converter/gpt"
	"github.com/cloudlets/cloudlets/converter/grub"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// Partition numbers. The menu and GRUB's prefix name partitions by them.
const (
	biosBootNumber = iota + 1
	espNumber
	rootNumber
)

// Plan returns the extent map of a disk that holds the tree as its root
// filesystem. open opens the blobs of the tree and of the boot kit; files of
// bootloaders are read through it, and nothing else.
//
// It returns [boot.ErrNoKernel] or [boot.ErrNoBootloader] where there is nothing to boot,
// and errors of the ext4, fat32 and gpt packages, wrapped. The tree is not
// changed.
func Plan(ctx context.Context, tree *image.Tree, open extent.Opener, opts Options) (*extent.Map, Report, error) {
	m, report, err := newPlan(ctx, tree, open, opts)
	if err != nil {
		return nil, Report{}, fmt.Errorf("plan the disk: %w", err)
	}
	return m, report, nil
}

func newPlan(ctx context.Context, tree *image.Tree, open extent.Opener, opts Options) (*extent.Map, Report, error) {
	if err := opts.check(); err != nil {
		return nil, Report{}, err
	}
	p := planner{opts: opts, ids: deriveIdentities(opts.Seed), tree: tree}
	if err := p.find(ctx, open); err != nil {
		return nil, Report{}, err
	}
	m, err := p.plan()
	return m, p.report(), err
}

// planner is a disk being planned.
type planner struct {
	opts    Options
	ids     identities
	tree    *image.Tree
	kernels []boot.Kernel
	loaders boot.Bootloaders
}

// find looks for kernels and for what starts them.
func (p *planner) find(ctx context.Context, open extent.Opener) error {
	unified, err := boot.FindUnified(ctx, open, p.tree)
	if err != nil {
		return fmt.Errorf("unified kernel images: %w", err)
	}
	p.kernels, err = boot.FindKernels(p.tree)
	if err != nil && len(unified) == 0 {
		return err
	}
	wanted, err := boot.WantsUnified(ctx, open, p.tree)
	if err != nil {
		return err
	}
	if len(unified) > 0 {
		return p.findUnified(ctx, open, unified)
	}
	if !wanted {
		p.loaders, err = boot.ChooseBootloaders(ctx, open, p.opts.Kit, p.tree)
		return err
	}
	if unified, err = boot.MakeUnified(ctx, open, p.tree, p.menu()); err != nil {
		return err
	}
	if p.loaders, err = boot.FindBootloaders(ctx, open, p.opts.Kit, p.tree); err != nil {
		return err
	}
	p.loaders.Unified = unified
	p.loaders.StartUnified(false, p.opts.Kit, p.tree)
	return nil
}

// findUnified looks for what starts the unified kernel images of the image. A GRUB
// goes on starting the kernels it knows.
func (p *planner) findUnified(ctx context.Context, open extent.Opener, unified []boot.UnifiedKernel) (err error) {
	if p.loaders, err = boot.FindBootloaders(ctx, open, p.opts.Kit, p.tree); err != nil {
		return err
	}
	p.loaders.Unified = unified
	if !p.loaders.HasGRUB() || len(p.kernels) == 0 {
		p.loaders.StartUnified(true, p.opts.Kit, p.tree)
	}
	if len(p.kernels) == 0 {
		p.loaders.BIOS = nil
	}
	return nil
}

func (p *planner) plan() (*extent.Map, error) {
	layout := p.layout()
	esp, err := p.esp()
	if err != nil {
		return nil, fmt.Errorf("EFI system partition: %w", err)
	}
	layout.Partitions[espNumber-1].Map = esp
	root, err := p.root(layout)
	if err != nil {
		return nil, fmt.Errorf("root partition: %w", err)
	}
	layout.Partitions[rootNumber-1].Map = root
	if err := p.addBIOS(&layout); err != nil {
		return nil, err
	}
	return gpt.Plan(layout)
}

// layout returns the layout of the disk without content.
func (p *planner) layout() gpt.Layout {
	return gpt.Layout{
		ID: p.ids.disk, Size: p.opts.Size, Alignment: Alignment,
		Partitions: []gpt.Partition{
			{Type: gpt.TypeBIOSBoot, ID: p.ids.biosBoot, Name: "BIOS boot", Size: biosBootSize},
			{Type: gpt.TypeESP, ID: p.ids.esp, Name: "EFI system"},
			{
				Type: gpt.TypeLinuxRootX8664, ID: p.ids.root, Name: "root",
				Attributes: gpt.AttributeGrowFileSystem, Fill: true,
			},
		},
	}
}

// esp returns the EFI system partition.
func (p *planner) esp() (*extent.Map, error) {
	tree, err := p.espTree()
	if err != nil {
		return nil, err
	}
	opts := fat32.Options{Label: "ESP", Serial: p.ids.volume}
	size, err := fat32.MinSize(tree, opts)
	if err != nil {
		return nil, err
	}
	if p.loaders.HoldsKernels() {
		size *= 2 // the system will want to put its next kernel there
	}
	opts.Size = max(defaultESPSize, container.AlignUp(size, Alignment))
	return fat32.Plan(tree, opts)
}

// espTree returns the files of the ESP.
func (p *planner) espTree() (*image.Tree, error) {
	files, menu, prefix := boot.NewFiles(), p.menu(), p.loaders.Prefix
	if p.loaders.BIOS != nil || prefix != "" {
		files.Text(boot.GRUBDir+"/grub.cfg", menu.GRUB(menuComment))
	}
	files.AddUEFI(p.loaders, menu)
	if prefix != "" && !strings.EqualFold(prefix, boot.GRUBDir) {
		files.Text(prefix+"/grub.cfg", redirect)
	}
	return files.Tree()
}

// root returns the root filesystem: as large as the rest of the disk where its
// size is given, else as small as the free space asked for allows.
func (p *planner) root(layout gpt.Layout) (*extent.Map, error) {
	opts := p.rootOptions()
	if p.opts.Size > 0 {
		spans, err := layout.Place()
		if err != nil {
			return nil, err
		}
		opts.Size = spans[rootNumber-1].Length
	}
	m, err := ext4.Plan(p.tree, opts)
	var small *ext4.TooSmallError
	if errors.As(err, &small) {
		need := p.opts.Size - small.Size + small.Need
		return nil, fmt.Errorf("the disk of %d bytes is too small, make it at least %d: %w", p.opts.Size, container.AlignUp(need, Alignment), err)
	}
	return m, err
}

func (p *planner) rootOptions() ext4.Options {
	return ext4.Options{
		FreeSpace: p.opts.freeSpace(), ReservedPercent: 1,
		UUID: p.ids.filesystem, HashSeed: p.ids.hashSeed, Label: "root", Time: p.tree.Root.ModTime,
	}
}

// addBIOS adds what a BIOS starts. It comes last because boot code names the
// sectors of partitions.
func (p *planner) addBIOS(layout *gpt.Layout) error {
	if p.loaders.BIOS == nil {
		return nil
	}
	spans, err := layout.Place()
	if err != nil {
		return err
	}
	lba := uint64(spans[biosBootNumber-1].FirstBlock())
	core, err := grub.CoreImage(*p.loaders.BIOS, grub.Options{
		Prefix:  fmt.Sprintf("(,gpt%d)%s", espNumber, boot.GRUBDir),
		Modules: biosModules,
		LBA:     lba,
		Packer:  p.opts.Packer,
	})
	if err != nil {
		return err
	}
	if layout.BootCode, err = grub.BootSector(*p.loaders.BIOS, lba); err != nil {
		return err
	}
	var b extent.Builder
	b.Inline(core)
	layout.Partitions[biosBootNumber-1].Map, err = b.Build()
	return err
}

func (p *planner) report() Report {
	r := Report{RootUUID: boot.FormatUUID(p.ids.filesystem)}
	r.UEFI, r.BIOS = p.loaders.Names()
	for _, k := range p.kernels {
		r.Kernels = append(r.Kernels, k.Version)
	}
	if len(r.Kernels) == 0 {
		for _, u := range p.loaders.Unified {
			r.Kernels = append(r.Kernels, u.Name)
		}
	}
	return r
}
