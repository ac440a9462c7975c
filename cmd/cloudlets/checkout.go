package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/cloudlets/cloudlets/client"
)

func newCheckout(g *globals) *cobra.Command {
	var o client.CheckoutOptions
	cmd := &cobra.Command{
		Use:   "checkout REFERENCE DIR",
		Short: "Make a directory the root filesystem of an image",
		Long: `Make a directory the root filesystem of an image, with owners, modes, times,
attributes, devices and hard links. DIR is new, empty, or an earlier checkout of
any version, of which only what differs is changed.

Changes in DIR that were not committed are not given up, unless with --force.
Owners and devices need root: leave them out with --no-same-owner.`,
		Example: "  cloudlets checkout localhost:5000/golden/debian:12 rootfs",
		Args:    exactly("REFERENCE", "DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			repo, err := g.repository(cmd, args[0])
			if err != nil {
				return err
			}
			o.Warn = warnings(cmd)
			d, err := repo.Checkout(cmd.Context(), args[1], o)
			if err != nil {
				return fmt.Errorf("check out %s: %w", args[0], err)
			}
			return g.print(cmd, pushed{args[0], d}, func(w io.Writer) { fmt.Fprintln(w, d.Digest) })
		},
	}
	cmd.Flags().BoolVarP(&o.Force, "force", "f", false, "replace what is in the directory, whatever it is")
	cmd.Flags().BoolVar(&o.NoOwner, "no-same-owner", false, "leave files to whoever runs the command, and devices out")
	return cmd
}
