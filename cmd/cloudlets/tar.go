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
	"github.com/cloudlets/cloudlets/image/cloudlet"
)

func newTar(g *globals) *cobra.Command {
	var output string
	var setup setupFlags
	var only onlyFlag
	var volatile bool
	cmd := &cobra.Command{
		Use:   "tar IMAGE",
		Short: "Write the root filesystem of an image as a tar",
		Long: `Write the root filesystem of an image as a tar: all but its volatile files, or
those of the classes that --only names (see find). The layers of an image are
merged. With --config its templates are rendered; without, they are left as they
are.

` + imageHelp,
		Example: `  cloudlets tar localhost:5000/golden/debian:12 --out rootfs.tar
  cloudlets tar ./rootfs --only templates --config '{"args": {"hostname": "web-1"}}' | tar -xO`,
		Args: exactly("IMAGE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			selection, err := only.selection()
			if err != nil {
				return err
			}
			if volatile {
				selection |= cloudlet.Selection(cloudlet.Volatile)
			}
			return withImage(g, cmd, args[0], true, func(i *client.Image) error {
				s, err := setup.read(cmd, i)
				if err != nil {
					return err
				}
				return saveTar(cmd, i, s, selection, output)
			})
		},
	}
	setup.register(cmd)
	only.register(cmd)
	cmd.Flags().StringVarP(&output, "out", "o", "-", "file to write to")
	cmd.Flags().BoolVar(&volatile, "volatile", false, "volatile files too")
	return cmd
}

// saveTar writes the tar of an image to a file.
func saveTar(cmd *cobra.Command, i *client.Image, s client.Setup, selection cloudlet.Selection, output string) error {
	ctx := cmd.Context()
	tree := i.Tree
	if s.Config != nil {
		configured, unused, err := i.Configure(ctx, s)
		if err != nil {
			return err
		}
		tellUnused(cmd, unused)
		tree = configured
	}
	tree, err := image.Filter(tree, s.Manifest, selection)
	if err != nil {
		return err
	}
	m, err := tar.Plan(ctx, tree)
	if err != nil {
		return err
	}
	return saveMap(ctx, m, i, output)
}

// saveMap writes what a map says to a file.
func saveMap(ctx context.Context, m *extent.Map, open extent.Opener, output string) error {
	return saveFile(output, func(w io.Writer) error { return writeMap(ctx, m, open, w) })
}

// writeMap writes the content of a map.
func writeMap(ctx context.Context, m *extent.Map, open extent.Opener, w io.Writer) (err error) {
	r := extent.NewReader(ctx, m, open)
	defer func() { err = errors.Join(err, r.Close()) }()
	_, err = r.WriteTo(w)
	return err
}
