package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/cloudlets/cloudlets/client"
)

func newPull(g *globals) *cobra.Command {
	var output, layout string
	cmd := &cobra.Command{
		Use:   "pull REFERENCE",
		Short: "Pull an image's rootfs tar, or a derived artifact's file",
		Long: `Pull what a reference names to a file: of an image, the tar of its root
filesystem, byte for byte as it was pushed; of a derived artifact, its disk. What
is written was verified.

With --layout the whole image is copied into an OCI image layout instead.`,
		Example: `  cloudlets pull localhost:5000/golden/debian:12 -o rootfs.tar
  cloudlets pull localhost:5000/golden/debian:12 --layout debian`,
		Args: exactly("REFERENCE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if (output == "") == (layout == "") {
				return usageError{errors.New("expected one of -o FILE and --layout DIR")}
			}
			repo, err := g.repository(cmd, args[0])
			if err != nil {
				return err
			}
			var pulled client.Pulled
			if layout != "" {
				pulled, err = repo.PullLayout(cmd.Context(), layout)
			} else {
				err = saveFile(output, func(w io.Writer) error {
					pulled, err = repo.Pull(cmd.Context(), w)
					return err
				})
			}
			if err != nil {
				return err
			}
			return g.print(besides(cmd, output), pulled, func(w io.Writer) { fmt.Fprintln(w, pulled.Digest) })
		},
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "file to write, or - for the standard output")
	cmd.Flags().StringVar(&layout, "layout", "", "directory of an OCI image layout to copy the image to")
	return cmd
}
