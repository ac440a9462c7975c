package converter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/cloudlets/cloudlets/api"
	"github.com/cloudlets/cloudlets/converter/disk"
	"github.com/cloudlets/cloudlets/converter/qcow2"
	"github.com/cloudlets/cloudlets/converter/tar"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
	"github.com/cloudlets/cloudlets/image/cloudlet"
)

// Version is part of every derivation key. It changes whenever the same
// parameters would give other bytes than before.
const Version = 2

// ErrFormat is wrapped by errors about formats that do not exist.
var ErrFormat = errors.New("unknown format")

// FormatTar is the format of a root filesystem as files, for what starts it from
// a shell: containers, systemd-nspawn, LXC, WSL.
const FormatTar = "tar"

// Format is a provider's container of a disk.
type Format struct {
	Name        string // as in --format
	Description string
	Extension   string // of file names, with its dot

	write func(disk *extent.Map) (*extent.Map, error)
}

// Formats returns all formats, sorted by name.
func Formats() []Format {
	whole := func(m *extent.Map) (*extent.Map, error) { return m, nil }
	return []Format{
		{"qcow2", "QEMU copy-on-write, version 3", ".qcow2", func(m *extent.Map) (*extent.Map, error) {
			return qcow2.Write(m, qcow2.Options{})
		}},
		{"raw", "the disk as it is", ".raw", whole},
		{FormatTar, "the files of the root filesystem", ".tar", whole},
	}
}

// FindFormat returns the format of a name. The error wraps ErrFormat and names
// those that exist.
func FindFormat(name string) (Format, error) {
	var names []string
	for _, f := range Formats() {
		if f.Name == name {
			return f, nil
		}
		names = append(names, f.Name)
	}
	return Format{}, fmt.Errorf("%w %q: expected one of %s", ErrFormat, name, strings.Join(names, ", "))
}

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
	// Type is one of the types of outputs; empty is TypeDisk, or TypeFilesystem
	// for a tar.
	Type string
	// Manifest is the image's cloudlet manifest; nil is the empty one.
	Manifest *cloudlet.Manifest
	// Entrypoint is the kind of the entry point; empty is the first of the
	// image's that will do for the output.
	Entrypoint string
	Disk       disk.Options
	Mounts     Mounts
}

// Check returns what is wrong with parameters, whatever the image.
func (p Parameters) Check() error {
	if _, err := FindFormat(p.Format); err != nil {
		return err
	}
	if !slices.Contains(Types(), p.outputType()) {
		return fmt.Errorf("unknown type %q: expected one of %s", p.Type, strings.Join(Types(), ", "))
	}
	if p.Format == FormatTar && p.outputType() != TypeFilesystem {
		return fmt.Errorf("a tar holds the type %s, not %s", TypeFilesystem, p.Type)
	}
	if p.Format != "raw" && (p.Type == TypeKernel || p.Type == TypeRamdisk) {
		return fmt.Errorf("a %s is a file, and has the format raw, not %s", p.Type, p.Format)
	}
	if p.Type == TypePersistent && !p.Mounts.Persistent {
		return errors.New("the persistent disk goes with a disk that mounts it: give its size")
	}
	return nil
}

// outputType returns the type of the output.
func (p Parameters) outputType() string {
	switch {
	case p.Type != "":
		return p.Type
	case p.Format == FormatTar:
		return TypeFilesystem
	}
	return TypeDisk
}

// BootsAlone reports whether the output is a disk with a bootloader.
func (p Parameters) BootsAlone() bool { return p.outputType() == TypeDisk }

// MediaType returns the media type of the output, which is also the artifact type
// of its derived artifact.
func (p Parameters) MediaType() string { return api.ArtifactOutput(p.outputType(), p.Format) }

// FileName returns what the output is called.
func (p Parameters) FileName() string {
	format, err := FindFormat(p.Format)
	if err != nil {
		return p.outputType()
	}
	return p.outputType() + format.Extension
}

// Render returns the extent map of an image in a format.
func Render(ctx context.Context, tree *image.Tree, open extent.Opener, p Parameters) (*extent.Map, disk.Report, error) {
	if err := p.Check(); err != nil {
		return nil, disk.Report{}, err
	}
	if p.Manifest == nil {
		p.Manifest = &cloudlet.Manifest{}
	}
	root, persistent, err := p.Mounts.apply(ctx, tree, open, p.Manifest)
	if err != nil {
		return nil, disk.Report{}, err
	}
	if p.outputType() == TypePersistent {
		m, err := p.Mounts.plan(persistent, p.Disk.Seed)
		return p.pack(m, disk.Report{}, err)
	}
	args, err := enter(root, p)
	if err != nil {
		return nil, disk.Report{}, err
	}
	p.Disk.KernelArgs = slices.Concat(p.Disk.KernelArgs, args)
	m, report, err := p.plan(ctx, root, open)
	return p.pack(m, report, err)
}

// plan plans what is in the container.
func (p Parameters) plan(ctx context.Context, root *image.Tree, open extent.Opener) (*extent.Map, disk.Report, error) {
	if p.Format == FormatTar {
		m, err := tar.Plan(ctx, root)
		return m, disk.Report{}, err
	}
	switch p.outputType() {
	case TypeFilesystem:
		return disk.PlanFilesystem(root, p.Disk)
	case TypeKernel:
		return disk.PlanKernel(root, p.Disk)
	case TypeRamdisk:
		return disk.PlanRamdisk(root, p.Disk)
	}
	return disk.Plan(ctx, root, open, p.Disk)
}

// pack puts what was planned into the container.
func (p Parameters) pack(m *extent.Map, report disk.Report, err error) (*extent.Map, disk.Report, error) {
	if err != nil {
		return nil, disk.Report{}, err
	}
	format, err := FindFormat(p.Format)
	if err != nil {
		return nil, disk.Report{}, err
	}
	if m, err = format.write(m); err != nil {
		return nil, disk.Report{}, fmt.Errorf("write %s: %w", format.Name, err)
	}
	return m, report, nil
}
