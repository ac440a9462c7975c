package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cloudlets/cloudlets/client"
	"github.com/cloudlets/cloudlets/converter"
	"github.com/cloudlets/cloudlets/converter/disk"
)

func newRaw(g *globals) *cobra.Command {
	var flags renderFlags
	var setup setupFlags
	var output string
	cmd := &cobra.Command{
		Use:   "raw IMAGE",
		Short: "Render an image into a raw disk on this machine",
		Long: `Render an image into a raw disk, on this machine: no registry has to render, and
a configuration may hold secrets. With --type filesystem it is the root filesystem
without a bootloader. See render for the other types.

` + imageHelp,
		Example: `  cloudlets raw ./rootfs --out disk.raw --size 4G
  cloudlets raw rootfs.tar.zst --type filesystem --config '{"hostname": "web-1"}' -o root.ext4`,
		Args: exactly("IMAGE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withImage(g, cmd, args[0], true, func(i *client.Image) error {
				setup.config = flags.config
				s, err := setup.read(cmd, i)
				if err != nil {
					return err
				}
				return raw(g, cmd, i, client.Local{Setup: s, Parameters: flags.parameters(), Volatile: flags.volatile}, flags.bootkit, output)
			})
		},
	}
	flags.register(cmd)
	flags.registerType(cmd)
	setup.registerWithoutConfig(cmd)
	cmd.Flags().Lookup("bootkit").Usage = "image of a boot kit, for images without a bootloader: / is this machine"
	cmd.Flags().StringVarP(&output, "out", "o", "", "file to write to, or - for the standard output")
	if err := cmd.MarkFlagRequired("out"); err != nil {
		panic(err) // There is such a flag.
	}
	return cmd
}

// parameters returns what the flags say of a raw output.
func (f *renderFlags) parameters() converter.Parameters {
	p := converter.Parameters{
		Format: "raw", Type: f.outputType, Entrypoint: f.entrypoint,
		Disk:   disk.Options{Size: int64(f.size), FreeSpace: int64(f.freeSpace), KernelArgs: strings.Fields(f.kernelArgs)},
		Mounts: converter.Mounts{Persistent: f.persistent, VolatileTmpfs: f.tmpfs},
	}
	if f.outputType == converter.TypePersistent {
		p.Disk.Size, p.Mounts.Persistent, p.Mounts.PersistentSize = 0, true, p.Disk.Size
	}
	return p
}

// raw renders an image and writes the output to a file.
func raw(g *globals, cmd *cobra.Command, i *client.Image, l client.Local, kit, output string) (err error) {
	if kit != "" {
		if l.Kit, err = openImage(g, cmd, kit, true); err != nil {
			return fmt.Errorf("boot kit: %w", err)
		}
		defer func() { err = errors.Join(err, l.Kit.Close()) }()
	}
	rendered, err := i.RenderHere(cmd.Context(), l)
	if err != nil {
		return err
	}
	tellUnused(cmd, rendered.Unused)
	tellCommandLine(cmd, rendered.Report.CommandLine)
	return saveMap(cmd.Context(), rendered.Files[0].Map, rendered.Open, output)
}
