package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/cobra"

	"github.com/cloudlets/cloudlets/api"
	"github.com/cloudlets/cloudlets/client"
	"github.com/cloudlets/cloudlets/image/kind"
)

func newPush(g *globals) *cobra.Command {
	var flags pushFlags
	cmd := &cobra.Command{
		Use:   "push FILE REFERENCE",
		Short: "Push a root filesystem as an image, or a disk, ISO or kernel as an artifact",
		Long: `Push a root filesystem as an image.

FILE is a tar, as it is or compressed with gzip, zstd, xz or bzip2; a directory;
or - for a tar on the standard input. Only what the registry lacks is sent. The
same files make the same image, whoever pushes them.

What is no root filesystem is pushed as an artifact: a kernel, a ramdisk, a
filesystem, an ISO 9660, a disk. --type says what the content is,
--container-format what it is packed in. Both are compared with the content, and
may be left out where the content leaves no choice. aki, ari and ami are kernel,
ramdisk and filesystem, raw.

A disk or a filesystem becomes a golden image, which render gives back in every
format: it is taken out of its container (qcow2, vmdk …) or compression (gzip,
zstd, xz) and stored raw, in frames that versions of it share. Kernels, ramdisks
and ISOs stay as they are, and so does every file with --verbatim.

A VMDK may be a descriptor that names the files the disk is in. Give each of them
with --part: a name in a file is never opened, only compared.

A file that holds only what differs from another one (a qcow2 with a backing file, a
differencing VHD or VHDX) is pushed over that, which was pushed before and is named
with --parent: what the image holds is the whole disk. Of a chain, each is pushed over
the one before. A name in the file is never opened.

The date of an image is that of its newest file, or SOURCE_DATE_EPOCH where that
is set.`,
		Example: `  cloudlets push rootfs.tar localhost:5000/golden/debian:12
  mmdebstrap bookworm | cloudlets push - localhost:5000/golden/debian:12
  cloudlets push disk.qcow2 localhost:5000/disks/debian:12
  cloudlets push disk.vmdk --part disk-flat.vmdk localhost:5000/disks/debian:12
  cloudlets push disk.raw.xz localhost:5000/disks/debian:12
  cloudlets push overlay.qcow2 localhost:5000/disks/debian:12.1 --parent localhost:5000/disks/debian@sha256:…
  cloudlets push rootfs.tar localhost:5000/golden/debian:12.8 --annotation org.opencontainers.image.version=12.8`,
		Args: exactly("FILE", "REFERENCE"),
		RunE: func(cmd *cobra.Command, args []string) error { return flags.push(g, cmd, args[0], args[1]) },
	}
	flags.register(cmd)
	return cmd
}

// push pushes a file, a directory or the standard input.
func (f *pushFlags) push(g *globals, cmd *cobra.Command, path, reference string) (err error) {
	opening, err := f.opening()
	if err != nil {
		return usageError{err}
	}
	options, err := f.options(cmd, g)
	if err != nil {
		return err
	}
	c, repo, err := g.pushTarget(cmd, reference)
	if err != nil {
		return err
	}
	if opening.Parent, err = openParent(g, cmd, f.parent); err != nil {
		return err
	}
	if opening.Parent != nil {
		defer func() { err = errors.Join(err, opening.Parent.Close()) }()
	}
	file, err := c.OpenFile(cmd.Context(), path, cmd.InOrStdin(), opening)
	if err != nil {
		return err
	}
	if file == nil {
		return pushRootfs(g, cmd, c.OpenRootfs, path, repo, options)
	}
	d, err := repo.PushFile(cmd.Context(), file, options)
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("push %s: %w", path, err)
	}
	return printPushed(g, cmd, repo, d)
}

// pushFlags are the flags of push.
type pushFlags struct {
	arch, imageType, container string
	annotations                []string
	base, manifest             string
	verbatim                   bool
	parent                     string
	diskFlags
}

// diskFlags are the flags of commands that open the file of a disk.
type diskFlags struct {
	parts   []string // of a disk in several files
	maxSize byteSize
}

func (f *diskFlags) registerDisk(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringArrayVar(&f.parts, "part", nil, "file that the disk is in which a VMDK descriptor describes; may be repeated")
	flags.Var(&f.maxSize, "max-size", "size of a disk in a file at most, however little the file has of it (default 1T; given, it is the only limit to what compressed data expands to)")
}

// given reports whether any of the flags was.
func (f *diskFlags) given() bool { return len(f.parts) > 0 || f.maxSize != 0 }

// file returns how the file of a disk is opened that is declared to be something.
func (f *diskFlags) file(declared kind.Kind) client.FileOptions {
	return client.FileOptions{Declared: declared, Parts: f.parts, MaxSize: int64(f.maxSize)}
}

// opening returns how a file is opened.
func (f *pushFlags) opening() (client.FileOptions, error) {
	declared, err := kind.Parse(f.imageType, f.container)
	o := f.file(declared)
	o.Verbatim = f.verbatim
	return o, err
}

func (f *pushFlags) register(cmd *cobra.Command) {
	f.registerImage(cmd)
	flags := cmd.Flags()
	flags.StringVar(&f.imageType, "type", "", "image type: kernel, ramdisk, filesystem, iso9660, disk or other")
	flags.StringVar(&f.container, "container-format", "", "container format: raw, cow, qcow, qcow2, vhd, vhdx, vmdk, vdi, qed, parallels, ova; or aki, ari, ami")
	f.registerDisk(cmd)
	flags.BoolVar(&f.verbatim, "verbatim", false, "push a file as it is, and not the disk in it")
	flags.StringVar(&f.parent, "parent", "", "disk that the file leaves content to, `REFERENCE@DIGEST`: a qcow2 with a backing file, a differencing VHD or VHDX")
}

// registerImage adds the flags that say what an image is called and runs on.
func (f *pushFlags) registerImage(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.arch, "arch", "", "architecture of the image (default: what its cloudlet manifest says, or amd64)")
	flags.StringVar(&f.manifest, "manifest", "", "file with the cloudlet manifest, instead of the one in the root filesystem")
	flags.StringArrayVar(&f.annotations, "annotation", nil, "KEY=VALUE to put on the OCI manifest; may be repeated")
	flags.StringVar(&f.base, "base", "", "reference of the image that this one was made from, to annotate it with name and digest")
}

// options makes options of the flags and of SOURCE_DATE_EPOCH.
func (f *pushFlags) options(cmd *cobra.Command, g *globals) (client.PushOptions, error) {
	o := client.PushOptions{Arch: f.arch}
	var err error
	if f.manifest != "" {
		if o.Manifest, err = readManifestFile(f.manifest); err != nil {
			return o, err
		}
	}
	if o.Annotations, err = client.ParseAnnotations(f.annotations); err != nil {
		return o, usageError{err}
	}
	if o.Created, err = client.SourceDate(os.Getenv("SOURCE_DATE_EPOCH")); err != nil {
		return o, err
	}
	if f.base == "" {
		return o, nil
	}
	base, err := g.repository(cmd, f.base)
	if err != nil {
		return o, err
	}
	return o, base.AnnotateBase(cmd.Context(), o.Annotations)
}

func newBootkit(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "bootkit ROOTFS REFERENCE",
		Short: "Push the bootloader files of a root filesystem as a boot kit",
		Long: `Push the bootloader files of a root filesystem as a boot kit, to render images
that carry no bootloader of their own (render --bootkit REFERENCE).

ROOTFS is a tar or a directory, as in push: / takes the files of this machine.
It needs one or more of the Debian packages grub-pc-bin (BIOS), grub-efi-amd64-bin
and systemd-boot-efi (UEFI), or shim-signed with grub-efi-amd64-signed.`,
		Example: "  cloudlets bootkit / localhost:5000/kits/grub:2.06",
		Args:    exactly("ROOTFS", "REFERENCE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, repo, err := g.pushTarget(cmd, args[1])
			if err != nil {
				return err
			}
			return pushRootfs(g, cmd, c.OpenBootkit, args[0], repo, client.PushOptions{ArtifactType: api.ArtifactBootKit})
		},
	}
}

// pushTarget returns a repository to push to.
func (g *globals) pushTarget(cmd *cobra.Command, reference string) (*client.Client, *client.Repository, error) {
	c, err := g.client(cmd)
	if err != nil {
		return nil, nil, err
	}
	repo, err := c.Repository(reference)
	if err != nil {
		return nil, nil, usageError{err}
	}
	return c, repo, wantTag(repo, reference)
}

// opener opens what is pushed as layers.
type opener func(ctx context.Context, path string, stdin io.Reader, warn func(path, what string)) (*client.Rootfs, error)

// pushRootfs pushes a rootfs, or the boot kit in it, and prints its descriptor.
func pushRootfs(g *globals, cmd *cobra.Command, open opener, path string, repo *client.Repository, options client.PushOptions) error {
	rootfs, err := open(cmd.Context(), path, cmd.InOrStdin(), warnings(cmd))
	if err != nil {
		return err
	}
	d, err := repo.Push(cmd.Context(), rootfs, options)
	// Closing tells why a stream ended early.
	if closeErr := rootfs.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return fmt.Errorf("push %s: %w", path, err)
	}
	return printPushed(g, cmd, repo, d)
}

func printPushed(g *globals, cmd *cobra.Command, repo *client.Repository, d ocispec.Descriptor) error {
	return g.print(cmd, pushed{repo.Reference.String(), d}, func(w io.Writer) { fmt.Fprintln(w, d.Digest) })
}

// pushed is the result of a push.
type pushed struct {
	Reference string `json:"reference"`
	ocispec.Descriptor
}
