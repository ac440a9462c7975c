package main

import (
	"github.com/spf13/cobra"

	"github.com/cloudlets/cloudlets/image/cloudlet"
)

func newSpecs() *cobra.Command {
	return &cobra.Command{
		Use:   "specs",
		Short: "Print the JSON schema of cloudlet manifests",
		Long:  `Print the JSON schema (draft 2020-12) of cloudlet manifests.`,
		Args:  exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := cmd.OutOrStdout().Write(cloudlet.ManifestSchema())
			return err
		},
	}
}
