package main

import (
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cloudlets/cloudlets/image/cloudlet"
)

func newValidateArgs(g *globals) *cobra.Command {
	var flag manifestFlag
	cmd := &cobra.Command{
		Use:     "validate-args IMAGE CONFIG",
		Aliases: []string{"validate_args"},
		Short:   "Check a configuration for an image",
		Long: `Check a configuration for an image, and print it as the image will see it: with
defaults, and "(secret)" in the place of secrets. All problems are told at once,
each with its place, what was found and what was expected.

CONFIG is a file, - for the standard input, or the JSON itself.

` + imageHelp + "\n\n" + manifestHelp,
		Example: `  cloudlets validate-args ./rootfs '{"args": {"hostname": "web-1"}}'`,
		Args:    flag.args("IMAGE", "CONFIG"),
		RunE: func(cmd *cobra.Command, args []string) error {
			last := len(args) - 1
			m, err := flag.parse(g, cmd, args[:last])
			if err != nil {
				return err
			}
			c, err := readConfiguration(cmd, m, args[last])
			if err != nil || g.json {
				return printValidity(g, cmd, validity{Configuration: c}, err, "")
			}
			redacted, err := c.Redacted()
			if err != nil {
				return err
			}
			return printIndented(cmd.OutOrStdout(), redacted)
		},
	}
	flag.register(cmd)
	return cmd
}

// readConfiguration reads what a command was given for a configuration.
func readConfiguration(cmd *cobra.Command, m *cloudlet.Manifest, given string) (*cloudlet.Configuration, error) {
	switch {
	case given == "-":
		return m.ReadConfiguration(cmd.InOrStdin())
	case strings.HasPrefix(strings.TrimSpace(given), "{"):
		return m.Configure([]byte(given))
	}
	f, err := os.Open(given)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return m.ReadConfiguration(f)
}
