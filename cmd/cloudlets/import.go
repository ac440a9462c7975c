package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/cloudlets/cloudlets/client"
	"github.com/cloudlets/cloudlets/converter/volume"
	"github.com/cloudlets/cloudlets/image/kind"
)

// importFlags are the flags of import.
type importFlags struct {
	push              pushFlags
	files             bool
	container, output string
	volume            volume.Options
	diskFlags
}

func newImport(g *globals) *cobra.Command {
	var flags importFlags
	cmd := &cobra.Command{
		Use:   "import --files DISK [REFERENCE]",
		Short: "Make an image of the files on a disk",
		Long: `Make an image of the files on a disk, as if they had been pushed as a tar: files,
not blocks, so that versions share what they have in common and any format can be
rendered. The files are pushed to REFERENCE, or written to --out as a tar.

DISK is a whole disk with its partitions (GPT or MBR), or one filesystem: raw, or
in a container that cloudlets formats lists as read. ext2, ext3, ext4, FAT, ISO
9660, squashfs and EROFS are read; a journal that was not played back is read as
if it had been. See cloudlets inspect DISK for what is on a disk. XFS, btrfs, NTFS, LVM
and encrypted partitions stay blocks: push such a disk as it is, with cloudlets
push, or copy the files out of a machine that has mounted it.

The root filesystem is that of the one partition with /etc and /usr or /bin, or
--partition. What its /etc/fstab mounts from the same disk is put in its place,
unless with --root-only, and those lines become comments: the files are in the
image by then, and other disks have other partitions.

Without --files a disk stays blocks, which is what cloudlets push does.`,
		Example: `  cloudlets import --files debian.vmdk localhost:5000/golden/debian:12
  cloudlets import --files disk.raw --partition 2 --out rootfs.tar`,
		Args: flags.check,
		RunE: func(cmd *cobra.Command, args []string) error { return flags.run(g, cmd, args) },
	}
	flags.register(cmd)
	return cmd
}

func (f *importFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	f.push.registerImage(cmd)
	f.registerDisk(cmd)
	flags.BoolVar(&f.files, "files", false, "make an image of the files on the disk")
	flags.StringVar(&f.container, "container-format", "", "container format of the disk, to be compared with what it is")
	flags.StringVarP(&f.output, "out", "o", "", "file to write a tar of the files to, or - for the standard output")
	flags.IntVar(&f.volume.Partition, "partition", 0, "number of the partition with the root filesystem (default: the one that has one)")
	flags.BoolVar(&f.volume.RootOnly, "root-only", false, "leave out what /etc/fstab mounts from other partitions")
}

// check checks the command line.
func (f *importFlags) check(cmd *cobra.Command, args []string) error {
	want := []string{"DISK", "REFERENCE"}
	if f.output != "" {
		want = want[:1]
	}
	if err := exactly(want...)(cmd, args); err != nil {
		return err
	}
	if !f.files {
		return usageError{fmt.Errorf("expected --files, for an image of the files on the disk; to push the disk as it is, in blocks: cloudlets push %s REFERENCE", args[0])}
	}
	return nil
}

func (f *importFlags) run(g *globals, cmd *cobra.Command, args []string) (err error) {
	declared, err := kind.Parse("", f.container)
	if err != nil {
		return usageError{err}
	}
	opening := f.file(declared)
	c, err := g.client(cmd)
	if err != nil {
		return err
	}
	d, err := c.OpenDisk(cmd.Context(), args[0], cmd.InOrStdin(), opening)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	files, err := c.ReadFiles(cmd.Context(), d, f.volume)
	if err != nil {
		return fmt.Errorf("%s: %w", args[0], err)
	}
	tellMounted(cmd, files)
	if f.output != "" {
		return saveMap(cmd.Context(), files.Tar, files.Blobs, f.output)
	}
	return f.pushTo(g, cmd, files, args)
}

func (f *importFlags) pushTo(g *globals, cmd *cobra.Command, files *client.DiskFiles, args []string) error {
	options, err := f.push.options(cmd, g)
	if err != nil {
		return err
	}
	_, repo, err := g.pushTarget(cmd, args[1])
	if err != nil {
		return err
	}
	rootfs := files.Rootfs(cmd.Context())
	pushed, err := repo.Push(cmd.Context(), rootfs, options)
	if err := errors.Join(err, rootfs.Close()); err != nil {
		return fmt.Errorf("import %s: %w", args[0], err)
	}
	return printPushed(g, cmd, repo, pushed)
}

// tellMounted says what the tree is made of, and what it lacks.
func tellMounted(cmd *cobra.Command, files *client.DiskFiles) {
	w := cmd.ErrOrStderr()
	fmt.Fprintf(w, "note: the root filesystem is on %s\n", files.Root)
	for _, m := range files.Mounted {
		fmt.Fprintf(w, "note: %s is on %s\n", printable(m.Path), m.Partition)
	}
	for _, note := range files.Notes {
		fmt.Fprintf(w, "warning: %s\n", printable(note))
	}
}
