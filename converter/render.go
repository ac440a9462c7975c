package converter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cloudlets/cloudlets/api"
	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/converter/disk"
	"github.com/cloudlets/cloudlets/converter/tar"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
	"github.com/cloudlets/cloudlets/image/cloudlet"
)

// Version is part of every derivation key. It changes whenever the same
// parameters would give other bytes than before.
const Version = 3

// Types of outputs: what is in the container.
const (
	TypeDisk       = "disk"       // boots alone
	TypeFilesystem = "filesystem" // the root filesystem, which needs a kernel
	TypeKernel     = "kernel"     // that of the image
	TypeRamdisk    = "ramdisk"    // that of the kernel
	TypePersistent = "persistent" // the second disk, with the persistent paths
)

// Types returns the types of outputs.
func Types() []string {
	return []string{TypeDisk, TypeFilesystem, TypeKernel, TypeRamdisk, TypePersistent}
}

// Parameters say what is rendered, beside the image.
type Parameters struct {
	Format string
	// Type is one of the types of outputs; empty is the first that the format
	// holds.
	Type string
	// Manifest is the image's cloudlet manifest; nil is the empty one.
	Manifest *cloudlet.Manifest
	// Entrypoint is the kind of the entry point; empty is the first of the
	// image's that will do for the output.
	Entrypoint string
	// Compress is how content is really compressed: the name of one of the
	// format's compressions, or CompressDefault. Empty is not at all, and costs
	// nothing but tables.
	Compress string
	Disk     disk.Options
	Mounts   Mounts
}

// Check returns what is wrong with parameters, whatever the image.
func (p Parameters) Check() error {
	format, err := FindFormat(p.Format)
	if err != nil {
		return err
	}
	if !slices.Contains(Types(), p.outputType()) {
		return fmt.Errorf("unknown type %q: expected one of %s", p.Type, strings.Join(Types(), ", "))
	}
	if !slices.Contains(format.Types, p.outputType()) {
		return fmt.Errorf("the format %s holds the type %s, not %s", format.Name, strings.Join(format.Types, " or "), p.Type)
	}
	if _, err := format.Compression(p.Compress); err != nil {
		return err
	}
	if p.Type == TypePersistent && !p.Mounts.Persistent {
		return errors.New("the persistent disk goes with a disk that mounts it: give its size")
	}
	return nil
}

// outputType returns the type of the output.
func (p Parameters) outputType() string {
	if p.Type != "" {
		return p.Type
	}
	if format, err := FindFormat(p.Format); err == nil {
		return format.Types[0]
	}
	return TypeDisk
}

// BootsAlone reports whether the output is a disk with a bootloader.
func (p Parameters) BootsAlone() bool { return p.outputType() == TypeDisk }

// Input is what is rendered, and what that takes.
type Input struct {
	// Tree is the rootfs of an image.
	Tree *image.Tree
	// Open opens what the tree's files refer to.
	Open extent.Opener
	// Spool keeps what is really compressed; it may be nil where nothing is.
	Spool container.Spool
}

// Output is what a render makes.
type Output struct {
	// Files are what a provider takes; the first is the one that the format is
	// named after. There is at least one.
	Files  []File
	Report disk.Report
}

// File is one file of an output. Its map refers to what the input's tree does,
// and to what was kept in the input's spool.
type File struct {
	Name      string // "disk.qcow2"
	MediaType string
	Map       *extent.Map
}

// render is a render under way.
type render struct {
	ctx context.Context
	Parameters
	Input
	report disk.Report
}

// Render renders an image into a format.
func Render(ctx context.Context, in Input, p Parameters) (Output, error) {
	if err := p.Check(); err != nil {
		return Output{}, err
	}
	if p.Manifest == nil {
		p.Manifest = &cloudlet.Manifest{}
	}
	r := &render{ctx: ctx, Parameters: p, Input: in}
	content, err := r.content()
	if err != nil {
		return Output{}, err
	}
	file, err := r.pack(content)
	return Output{Files: []File{file}, Report: r.report}, err
}

// content plans what is in the container.
func (r *render) content() (*extent.Map, error) {
	root, persistent, err := r.Mounts.apply(r.ctx, r.Tree, r.Open, r.Manifest)
	if err != nil {
		return nil, err
	}
	if r.outputType() == TypePersistent {
		return r.Mounts.plan(persistent, r.Disk.Seed)
	}
	args, err := enter(root, r.Parameters)
	if err != nil {
		return nil, err
	}
	options := r.Disk
	options.KernelArgs = slices.Concat(options.KernelArgs, args)
	content, report, err := r.plan(root, options)
	r.report = report
	return content, err
}

// plan plans the content of a root filesystem.
func (r *render) plan(root *image.Tree, options disk.Options) (*extent.Map, disk.Report, error) {
	if r.Format == FormatTar {
		m, err := tar.Plan(r.ctx, root)
		return m, disk.Report{}, err
	}
	switch r.outputType() {
	case TypeFilesystem:
		return disk.PlanFilesystem(root, options)
	case TypeKernel:
		return disk.PlanKernel(root, options)
	case TypeRamdisk:
		return disk.PlanRamdisk(root, options)
	}
	return disk.Plan(r.ctx, root, r.Open, options)
}

// pack puts content into the container.
func (r *render) pack(content *extent.Map) (File, error) {
	format, err := FindFormat(r.Format)
	if err != nil {
		return File{}, err
	}
	compression, err := format.Compression(r.Compress)
	if err != nil {
		return File{}, err
	}
	m, err := compression.write(r, content)
	if err != nil {
		return File{}, fmt.Errorf("write %s: %w", format.Name, err)
	}
	return File{
		Name:      r.outputType() + format.Extension,
		MediaType: api.ArtifactKind(r.outputType(), format.Name),
		Map:       m,
	}, nil
}

// ArtifactType returns the artifact type of the derived artifact.
func (p Parameters) ArtifactType() string { return api.ArtifactKind(p.outputType(), p.Format) }
