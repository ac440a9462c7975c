package main

import (
	"context"
	"errors"
	"io"

	"github.com/spf13/cobra"

	"github.com/cloudlets/cloudlets/client"
	"github.com/cloudlets/cloudlets/converter/tar"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

func newTar(g *globals) *cobra.Command {
	var output string
	var volatile bool
	cmd := &cobra.Command{
		Use:   "tar IMAGE",
		Short: "Write the root filesystem of an image as a tar",
		Long: `Write the root filesystem of an image as a tar: all but its volatile files. The
layers of an image are merged.

` + imageHelp,
		Example: `  cloudlets tar localhost:5000/golden/debian:12 --out rootfs.tar
  cloudlets tar ./rootfs | tar -t`,
		Args: exactly("IMAGE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			i, err := openImage(g, cmd, args[0], true)
			if err != nil {
				return err
			}
			return errors.Join(saveTar(cmd.Context(), i, output, volatile), i.Close())
		},
	}
	cmd.Flags().StringVarP(&output, "out", "o", "-", "file to write to")
	cmd.Flags().BoolVar(&volatile, "volatile", false, "keep the volatile files")
	return cmd
}

// saveTar writes the tar of an image to a file.
func saveTar(ctx context.Context, i *client.Image, output string, volatile bool) error {
	tree := i.Tree
	if !volatile {
		m, err := i.CloudletManifest(ctx)
		if err != nil {
			return err
		}
		if tree, err = image.DropVolatile(tree, m); err != nil {
			return err
		}
	}
	m, err := tar.Plan(ctx, tree)
	if err != nil {
		return err
	}
	return saveFile(output, func(w io.Writer) (err error) {
		r := extent.NewReader(ctx, m, i)
		defer func() { err = errors.Join(err, r.Close()) }()
		_, err = r.WriteTo(w)
		return err
	})
}
