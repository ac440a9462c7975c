package main

import (
	"fmt"
	"io"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/cobra"

	"github.com/cloudlets/cloudlets/api"
	"github.com/cloudlets/cloudlets/client"
)

func newPush(g *globals) *cobra.Command {
	var options client.PushOptions
	var manifest string
	cmd := &cobra.Command{
		Use:   "push ROOTFS REFERENCE",
		Short: "Push a root filesystem as an image",
		Long: `Push a root filesystem as an image.

ROOTFS is a tar, as it is or compressed with gzip, zstd, xz or bzip2; a
directory; or - for a tar on the standard input. Only what the registry lacks is
sent. The same files make the same image, whoever pushes them.`,
		Example: `  cloudlets push rootfs.tar localhost:5000/golden/debian:12
  mmdebstrap bookworm | cloudlets push - localhost:5000/golden/debian:12`,
		Args: exactly("ROOTFS", "REFERENCE"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if manifest != "" {
				if options.Manifest, err = readManifestFile(manifest); err != nil {
					return err
				}
			}
			return push(g, cmd, args[0], args[1], options)
		},
	}
	cmd.Flags().StringVar(&manifest, "manifest", "", "file with the cloudlet manifest, instead of the one in the root filesystem")
	cmd.Flags().StringVar(&options.Arch, "arch", "", "architecture of the image (default: what its cloudlet manifest says, or amd64)")
	return cmd
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
			return push(g, cmd, args[0], args[1], client.PushOptions{ArtifactType: api.ArtifactBootKit})
		},
	}
}

// push pushes a rootfs, or the boot kit in it, and prints its descriptor.
func push(g *globals, cmd *cobra.Command, path, reference string, options client.PushOptions) (err error) {
	c, err := g.client(cmd)
	if err != nil {
		return err
	}
	repo, err := c.Repository(reference)
	if err != nil {
		return usageError{err}
	}
	if repo.Reference.ValidateReferenceAsDigest() == nil {
		return usageError{fmt.Errorf("reference %s: expected a tag to push to: the digest follows from the content", reference)}
	}
	open := c.OpenRootfs
	if options.ArtifactType == api.ArtifactBootKit {
		open = c.OpenBootkit
	}
	rootfs, err := open(cmd.Context(), path, cmd.InOrStdin(), func(path, what string) {
		fmt.Fprintf(cmd.ErrOrStderr(), "warning: /%s: %s\n", path, what)
	})
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
	return g.print(cmd, pushed{reference, d}, func(w io.Writer) { fmt.Fprintln(w, d.Digest) })
}

// pushed is the result of a push.
type pushed struct {
	Reference string `json:"reference"`
	ocispec.Descriptor
}
