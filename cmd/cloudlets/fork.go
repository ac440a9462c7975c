package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/cloudlets/cloudlets/client"
)

func newFork(g *globals) *cobra.Command {
	var shallow bool
	cmd := &cobra.Command{
		Use:   "fork REFERENCE NEW",
		Short: "Copy an image and its history to another repository or registry",
		Long: `Copy an image, with the versions that led to it, to another repository of the same
or another registry. Digests stay what they are, so that both can be compared
and merged later. Only what the other one lacks is moved: of layers of frames,
the missing frames.`,
		Example: "  cloudlets fork registry.example/golden/debian:12 localhost:5000/mine/debian:12",
		Args:    exactly("REFERENCE", "NEW"),
		RunE: func(cmd *cobra.Command, args []string) error {
			to, from, err := g.two(cmd, []string{args[1], args[0]})
			if err != nil {
				return err
			}
			d, err := client.Copy(cmd.Context(), from, to, !shallow)
			if err != nil {
				return err
			}
			return g.print(cmd, pushed{args[1], d}, func(w io.Writer) { fmt.Fprintln(w, d.Digest) })
		},
	}
	cmd.Flags().BoolVar(&shallow, "shallow", false, "leave the versions before it out")
	return cmd
}
