package converter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/api"
	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/converter/disk"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
	"github.com/cloudlets/cloudlets/image/cloudlet"
)

// Version is part of every derivation key. It changes whenever the same
// parameters would give other bytes than before.
const Version = 6

// Types of outputs: what is in the container.
const (
	TypeDisk       = "disk"       // boots alone
	TypeFilesystem = "filesystem" // the root filesystem, which needs a kernel
	TypeKernel     = "kernel"     // that of the image
	TypeRamdisk    = "ramdisk"    // that of the kernel
	TypePersistent = "persistent" // the second disk, with the persistent paths
	TypeISO        = "iso9660"    // a CD
)

// Types returns the types of outputs.
func Types() []string {
	return []string{TypeDisk, TypeFilesystem, TypeKernel, TypeRamdisk, TypePersistent, TypeISO}
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
	// Parent is the digest of the image whose disk the output leaves content to,
	// the Parent of the input; empty is none.
	Parent digest.Digest
	Disk   disk.Options
	Mounts Mounts
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
	if err := p.checkParent(format); err != nil {
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

// ReadsContent reports whether the content is read, and perhaps compressed, before
// the output can be read: that takes seconds.
func (p Parameters) ReadsContent() bool {
	format, err := FindFormat(p.Format)
	return err == nil && (format.reads || p.Compress != "" || p.Parent != "")
}

// BootsAlone reports whether the output brings a bootloader.
func (p Parameters) BootsAlone() bool { return p.outputType() == TypeDisk || p.Format == "iso" }

// Input is what is rendered, and what that takes.
type Input struct {
	// Tree is the rootfs of an image; nil where there is Content.
	Tree *image.Tree
	// Content is an image that is no rootfs; nil where there is a Tree.
	Content *Content
	// Parent is the disk that the output leaves content to; nil is none.
	Parent *Parent
	// Open opens what the tree's files, the content and the parent refer to, and
	// what Spool has kept.
	Open extent.Opener
	// Spool keeps what is really compressed; it may be nil where nothing is.
	Spool container.Spool
}

// Output is what a render makes.
type Output struct {
	// Files are what a provider takes; the first is the one that the format is
	// named after. There is at least one.
	Files []File
	// Package is how the files stand in the registry.
	Package Package
	// Arch is the word for the architecture in an index; empty is that of OCI.
	Arch string
	// ArtifactType is that of the derived artifact.
	ArtifactType string
	Report       disk.Report
	Boot         []string // firmware that it boots with, if it boots alone: "bios", "uefi"
	Notes        []string // what a person should know of the output
}

// Package is how the files of an output stand in a registry.
type Package string

// The packages that there are.
const (
	// PackageArtifact is an artifact manifest: each file a layer.
	PackageArtifact Package = ""
	// PackageImage is an OCI image: each file, a tar, a layer.
	PackageImage Package = "image"
	// PackageIndex is an index of artifacts with one file each, told apart by
	// the annotation disktype.
	PackageIndex Package = "index"
)

// File is one file of an output. Its map refers to what the input's tree does,
// and to what was kept in the input's spool.
type File struct {
	Name      string // "disk.qcow2"
	MediaType string
	Map       *extent.Map
	// DiskType is what the annotation disktype says of the file in an index.
	DiskType string
}

// render is a render under way.
type render struct {
	ctx    context.Context
	format Format
	Parameters
	Input

	root, persistent *image.Tree // of the output
	args             []string    // of the kernel, by the entry point
	report           disk.Report
	notes            []string // as in Output
}

// Render renders an image into a format.
func Render(ctx context.Context, in Input, p Parameters) (Output, error) {
	if in.Content != nil {
		if err := in.Content.adapt(&p); err != nil {
			return Output{}, err
		}
	}
	if err := p.Check(); err != nil {
		return Output{}, err
	}
	r, err := newRender(ctx, in, p)
	if err != nil {
		return Output{}, err
	}
	files, err := r.files()
	o := Output{
		Files: files, Package: r.format.Package, Arch: r.format.Arch, ArtifactType: p.artifactType(), Report: r.report, Notes: r.notes,
	}
	if err == nil && in.Content == nil && p.BootsAlone() {
		o.setBoot()
	}
	return o, err
}

// setBoot says what the output boots with, and notes what it does not.
func (o *Output) setBoot() {
	for _, f := range []struct{ firmware, loader string }{{"bios", o.Report.BIOS}, {"uefi", o.Report.UEFI}} {
		if f.loader != "" {
			o.Boot = append(o.Boot, f.firmware)
			continue
		}
		o.Notes = append(o.Notes, "the disk does not boot with "+f.firmware+": neither the image nor a boot kit has a bootloader for it")
	}
}

func newRender(ctx context.Context, in Input, p Parameters) (*render, error) {
	if p.Manifest == nil {
		p.Manifest = &cloudlet.Manifest{}
	}
	format, err := FindFormat(p.Format)
	if err != nil {
		return nil, err
	}
	compression, err := format.Compression(p.Compress)
	if err != nil {
		return nil, err
	}
	p.Compress = compression.Name // for all files, whatever their own formats are best known with
	r := &render{ctx: ctx, format: format, Parameters: p, Input: in}
	if in.Content != nil {
		return r, nil
	}
	if r.root, r.persistent, err = p.Mounts.apply(ctx, in.Tree, in.Open, p.Manifest); err != nil {
		return nil, err
	}
	if p.outputType() != TypePersistent {
		r.args, err = enter(r.root, format, p)
	}
	return r, err
}

// files makes the files of the output.
func (r *render) files() ([]File, error) {
	if r.format.files != nil {
		files, err := r.format.files(r)
		if err != nil {
			return nil, fmt.Errorf("render %s: %w", r.format.Name, err)
		}
		return files, nil
	}
	file, err := r.file(r.outputType(), r.format.Name)
	return []File{file}, err
}

// file makes one file: what an output of a type is, in a container.
func (r *render) file(outputType, format string) (File, error) {
	content, err := r.content(outputType)
	if err != nil {
		return File{}, err
	}
	f, err := FindFormat(format)
	if err != nil {
		return File{}, err
	}
	return r.pack(content, outputType, f)
}

// pack puts content into a container.
func (r *render) pack(content *extent.Map, outputType string, f Format) (File, error) {
	compress := r.Compress
	if f.Name != r.format.Name && len(f.Compressions) == 0 {
		compress = "" // one of several files, which is never compressed
	}
	compression, err := f.Compression(compress)
	if err != nil {
		return File{}, err
	}
	write := compression.write
	if r.Parameters.Parent != "" {
		write = func(r *render, content *extent.Map) (*extent.Map, error) { return r.writeOver(f, content) }
	}
	m, err := write(r, content)
	if err != nil {
		return File{}, fmt.Errorf("write %s: %w", f.Name, err)
	}
	return File{Name: outputType + f.Extension, MediaType: api.ArtifactKind(outputType, f.Name), Map: m}, nil
}

// content plans what an output of a type is.
func (r *render) content(outputType string) (m *extent.Map, err error) {
	if r.Content != nil {
		return r.Content.sized(r.Disk.Size)
	}
	options := r.Disk
	options.KernelArgs = slices.Concat(options.KernelArgs, r.args)
	switch outputType {
	case TypePersistent:
		return r.Mounts.plan(r.persistent, r.Disk.Seed)
	case TypeFilesystem:
		m, r.report, err = disk.PlanFilesystem(r.root, options)
	case TypeKernel:
		m, r.report, err = disk.PlanKernel(r.root, options)
	case TypeRamdisk:
		m, r.report, err = disk.PlanRamdisk(r.root, options)
	default:
		m, r.report, err = disk.Plan(r.ctx, r.root, r.Open, options)
	}
	return m, err
}

// artifactType returns the artifact type of the derived artifact.
func (p Parameters) artifactType() string { return api.ArtifactKind(p.outputType(), p.Format) }
