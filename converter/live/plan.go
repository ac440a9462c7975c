package live

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/cloudlets/cloudlets/converter/boot"
	"github.com/cloudlets/cloudlets/converter/fat32"
	"github.com/cloudlets/cloudlets/converter/grub"
	"github.com/cloudlets/cloudlets/converter/iso9660"
	"github.com/cloudlets/cloudlets/converter/squashfs"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// Where things stand on the volume.
const (
	grubDir  = "/boot/grub"
	identity = "/.disk/%s.uuid" // as grub-mkrescue calls it
)

// biosModules are built into GRUB's boot image: all that its menu needs, as the
// volume has no other place to load modules from, and some to repair a boot by
// hand on the console.
func biosModules() []string {
	return []string{
		"biosdisk", "iso9660", "normal", "configfile", "test", "linux", "gzio",
		"serial", "terminal", "echo",
		"search", "search_fs_file", "ls", "cat", "halt", "reboot", "minicmd",
	}
}

// redirect is the grub.cfg that a GRUB for UEFI finds where it was built to look.
// It has set root to the ESP.
const redirect = "search --no-floppy --file --set=root %s\nset prefix=($root)" + grubDir + "\nconfigfile " + grubDir + "/grub.cfg\n"

// menuComment starts grub.cfg.
const menuComment = "# Written when the volume was rendered.\n"

// Plan returns the extent map of a live volume of the tree. open opens the blobs
// of the tree and of the boot kit; files of bootloaders are read through it, and
// nothing else unless the root filesystem is to be compressed.
//
// It returns [ErrNotLive] where the image has no live system, [ErrNoInitrd],
// [boot.ErrNoKernel] or [boot.ErrNoBootloader] where there is nothing to boot,
// and errors of the squashfs, fat32 and iso9660 packages, wrapped. The tree is
// not changed.
func Plan(ctx context.Context, tree *image.Tree, open extent.Opener, opts Options) (*extent.Map, Report, error) {
	p, err := newPlanner(ctx, tree, open, opts)
	if err != nil {
		return nil, Report{}, fmt.Errorf("plan the live volume: %w", err)
	}
	m, err := p.plan(ctx)
	if err != nil {
		return nil, Report{}, fmt.Errorf("plan the live volume: %w", err)
	}
	return m, p.report, nil
}

// PlanData returns a volume that holds the files of the tree and boots nothing.
// Of the options, it looks at Seed and Label.
func PlanData(ctx context.Context, tree *image.Tree, opts Options) (*extent.Map, error) {
	if err := opts.check(); err != nil {
		return nil, err
	}
	return iso9660.Plan(ctx, tree, iso9660.Options{Label: opts.label("DATA"), Joliet: true})
}

// planner is a volume being planned.
type planner struct {
	opts    Options
	tree    *image.Tree
	system  system
	menu    boot.Menu
	loaders boot.Bootloaders
	report  Report
}

func newPlanner(ctx context.Context, tree *image.Tree, open extent.Opener, opts Options) (*planner, error) {
	if err := opts.check(); err != nil {
		return nil, err
	}
	p := &planner{opts: opts, tree: tree}
	kernels, err := boot.FindKernels(tree)
	if err != nil {
		return nil, err
	}
	if p.system, err = findSystem(tree); err != nil {
		return nil, err
	}
	p.report = Report{System: p.system.name, Label: opts.label("LIVE")}
	if err := p.addKernels(kernels); err != nil {
		return nil, err
	}
	if p.loaders, err = boot.ChooseBootloaders(ctx, open, opts.Kit, tree); err != nil {
		return nil, err
	}
	p.report.UEFI, p.report.BIOS = p.loaders.Names()
	return p, nil
}

// addKernels makes the menu of all kernels with an initrd. The first is the one
// that the image links to.
func (p *planner) addKernels(kernels []boot.Kernel) error {
	linked := boot.LinkedKernel(p.tree)
	args := append(p.system.arguments(p.report.Label), p.opts.KernelArgs...)
	for _, k := range kernels {
		if k.Initrd == nil {
			continue
		}
		k.Path, k.InitrdPath = p.system.beside("vmlinuz-"+k.Version), p.system.beside("initrd.img-"+k.Version)
		at := len(p.menu.Entries)
		if linked != nil && linked.Image == k.Image {
			at = 0
		}
		p.menu.Entries = slices.Insert(p.menu.Entries, at, boot.Entry{Kernel: k, Args: args})
		p.report.Kernels = slices.Insert(p.report.Kernels, at, k.Version)
	}
	if len(p.menu.Entries) == 0 {
		return ErrNoInitrd
	}
	return nil
}

func (p *planner) plan(ctx context.Context) (*extent.Map, error) {
	tree, err := p.files(ctx)
	if err != nil {
		return nil, err
	}
	diskID := boot.DeriveUUID(p.opts.Seed, "live disk signature")
	o := iso9660.Options{
		Label: p.report.Label, Time: p.tree.Root.ModTime,
		Boot: &iso9660.Boot{DiskID: binary.LittleEndian.Uint32(diskID[:])},
	}
	if p.loaders.BIOS != nil {
		if err := p.addBIOS(o.Boot); err != nil {
			return nil, err
		}
	}
	if p.loaders.HasUEFI() {
		if o.Boot.UEFI, err = p.esp(); err != nil {
			return nil, fmt.Errorf("EFI system partition: %w", err)
		}
	}
	return iso9660.Plan(ctx, tree, o)
}

// files returns what is on the volume.
func (p *planner) files(ctx context.Context) (*image.Tree, error) {
	root, err := p.rootFilesystem(ctx)
	if err != nil {
		return nil, fmt.Errorf("root filesystem: %w", err)
	}
	files := boot.NewFiles()
	files.Text(p.identity(), "")
	files.Text(grubDir+"/grub.cfg", p.menu.GRUB(menuComment))
	for _, e := range p.menu.Entries {
		files.Reference(e.Kernel.Path, e.Kernel.Image)
		files.Reference(e.Kernel.InitrdPath, e.Kernel.Initrd)
	}
	files.Map(p.system.filesystem, root)
	return files.Tree()
}

// identity is the path of a file that this volume has and no other.
func (p *planner) identity() string {
	return fmt.Sprintf(identity, boot.FormatUUID(boot.DeriveUUID(p.opts.Seed, "live volume")))
}

func (p *planner) rootFilesystem(ctx context.Context) (*extent.Map, error) {
	o := squashfs.Options{
		Time: p.tree.Root.ModTime,
		Dropped: func(path, attribute string) {
			p.report.Dropped = append(p.report.Dropped, path+": "+attribute)
		},
	}
	if p.opts.Compress != nil {
		return squashfs.Pack(ctx, p.tree, o, *p.opts.Compress)
	}
	return squashfs.Plan(ctx, p.tree, o)
}

// addBIOS adds what a BIOS starts: from a CD, and from a disk.
func (p *planner) addBIOS(b *iso9660.Boot) (err error) {
	o := grub.Options{Prefix: grubDir, Modules: biosModules(), Packer: p.opts.Packer}
	if b.BIOS, err = grub.CDImage(*p.loaders.BIOS, o, iso9660.BIOSImageBlock); err != nil {
		return err
	}
	b.BootCode, err = grub.BootSector(*p.loaders.BIOS, grub.CDCoreLBA(iso9660.BIOSImageBlock))
	return err
}

// esp returns the EFI system partition, as small as FAT32 can be.
func (p *planner) esp() (*extent.Map, error) {
	files := boot.NewFiles()
	files.AddUEFI(p.loaders, p.menu)
	if p.loaders.Prefix != "" {
		files.Text(p.loaders.Prefix+"/grub.cfg", fmt.Sprintf(redirect, p.identity()))
	}
	tree, err := files.Tree()
	if err != nil {
		return nil, err
	}
	serial := boot.DeriveUUID(p.opts.Seed, "live ESP volume")
	return fat32.Plan(tree, fat32.Options{Label: "ESP", Serial: binary.BigEndian.Uint32(serial[:])})
}
