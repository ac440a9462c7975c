package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/cloudlets/cloudlets/client"
	"github.com/cloudlets/cloudlets/image/configure"
)

func newConfig(g *globals) *cobra.Command {
	var setup setupFlags
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "config IMAGE [CONFIG]",
		Short: "Show the configuration of an image, or configure a directory in place",
		Long: `Without CONFIG, show the configuration of an image: the one it was configured
with, or else the defaults.

With CONFIG, configure the image in a directory, in place: its templates are
rendered, its host name is set, and the configuration is recorded, without its
secrets, in /.cloudlet/applied_config. This is done once: an image that is
configured is not configured again. With --dry-run nothing is written, and IMAGE
can be any image.

The configuration is printed with defaults, and "(secret)" in the place of
secrets. CONFIG is a file, - for the standard input, or the JSON itself.

` + imageHelp + `

The commands below are about the configuration of the server. A directory of one
of their names is ./NAME.`,
		Example: `  cloudlets config ./rootfs
  cloudlets config ./rootfs '{"args": {"hostname": "web-1"}}'
  cloudlets config example > cloudlets.yaml`,
		Args: between(1, 2, "IMAGE", "CONFIG"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withImage(g, cmd, args[0], false, func(i *client.Image) error {
				if len(args) == 1 {
					return showConfig(cmd, &setup, i)
				}
				setup.config = args[1]
				s, err := setup.read(cmd, i)
				if err != nil {
					return err
				}
				return applyConfig(cmd, i, s, dryRun)
			})
		},
	}
	setup.registerWithoutConfig(cmd)
	cmd.Flags().BoolVarP(&dryRun, "dry-run", "n", false, "say what is wrong, and write nothing")
	g.registerConnection(cmd.Flags())
	cmd.AddCommand(newServerConfig()...)
	return cmd
}

// showConfig prints the configuration that an image has.
func showConfig(cmd *cobra.Command, setup *setupFlags, i *client.Image) error {
	recorded, err := configure.Recorded(cmd.Context(), i.Tree, i)
	if err != nil {
		return err
	}
	if recorded != nil {
		return printIndented(cmd.OutOrStdout(), recorded)
	}
	m, err := setup.of(cmd, i)
	if err != nil {
		return err
	}
	return printConfig(cmd.OutOrStdout(), client.Setup{Manifest: m})
}

// applyConfig configures a directory, and prints what with.
func applyConfig(cmd *cobra.Command, i *client.Image, s client.Setup, dryRun bool) error {
	var unused []string
	var err error
	if dryRun {
		_, unused, err = i.Configure(cmd.Context(), s)
	} else {
		unused, err = i.ConfigureInPlace(cmd.Context(), s)
	}
	if err != nil {
		return err
	}
	tellUnused(cmd, unused)
	return printConfig(cmd.OutOrStdout(), s)
}

// printConfig prints a configuration with its defaults and without its secrets.
func printConfig(w io.Writer, s client.Setup) error {
	c, err := s.Manifest.Configure(s.Config)
	if err != nil {
		return err
	}
	redacted, err := c.Redacted()
	if err != nil {
		return err
	}
	return printIndented(w, redacted)
}

// between is exactly for a command whose last arguments may be left out.
func between(least, most int, names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) >= least && len(args) <= most {
			return nil
		}
		return usageError{fmt.Errorf("expected %d to %d arguments (%s), got %d: see %s --help", least, most, names, len(args), cmd.CommandPath())}
	}
}
