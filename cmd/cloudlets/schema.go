package main

import "github.com/spf13/cobra"

func newSchema(g *globals) *cobra.Command {
	var flag manifestFlag
	cmd := &cobra.Command{
		Use:   "schema IMAGE",
		Short: "Print the JSON schema of the configurations that an image takes",
		Long: `Print the JSON schema (draft 2020-12) of the configurations that an image takes:
hostname, dns, ip, and its own arguments. It is whole in itself.

` + imageHelp + "\n\n" + manifestHelp,
		Example: `  cloudlets schema localhost:5000/golden/debian:12`,
		Args:    flag.args("IMAGE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := flag.parse(g, cmd, args)
			if err != nil {
				return err
			}
			schema, err := m.ConfigurationSchema()
			if err != nil {
				return err
			}
			return printIndented(cmd.OutOrStdout(), schema)
		},
	}
	flag.register(cmd)
	return cmd
}
