package main

import "github.com/spf13/cobra"

func newRaw(g *globals) *cobra.Command {
	var flags renderFlags
	render := here{renderFlags: &flags, format: "raw"}
	cmd := &cobra.Command{
		Use:   "raw IMAGE",
		Short: "Render an image into a raw disk on this machine",
		Long: `Render an image into a raw disk, on this machine: no registry has to render, and
a configuration may hold secrets. With --type filesystem it is the root filesystem
without a bootloader. It is render --here --format raw: see there.

` + imageHelp,
		Example: `  cloudlets raw ./rootfs --out disk.raw --size 4G
  cloudlets raw rootfs.tar.zst --type filesystem --config '{"hostname": "web-1"}' -o root.ext4`,
		Args: exactly("IMAGE"),
		RunE: func(cmd *cobra.Command, args []string) error { return render.run(g, cmd, args[0]) },
	}
	flags.register(cmd)
	flags.registerType(cmd)
	render.setup.registerWithoutConfig(cmd)
	cmd.Flags().Lookup("bootkit").Usage = "image of a boot kit, for images without a bootloader: / is this machine"
	render.disk.registerDisk(cmd)
	cmd.Flags().StringVarP(&render.output, "out", "o", "", "file to write to, or - for the standard output")
	require(cmd, "out")
	return cmd
}
