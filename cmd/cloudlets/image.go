package main

import (
	"errors"

	"github.com/spf13/cobra"

	"github.com/cloudlets/cloudlets/client"
)

// imageHelp says what commands take for an image.
const imageHelp = `IMAGE is a directory; a tar, as it is or compressed with gzip, zstd, xz or bzip2;
- for a tar on the standard input; or a reference, HOST/REPOSITORY[:TAG|@DIGEST].`

// openImage opens what a command was given for an image. whole says that all of
// its content will be read.
func openImage(g *globals, cmd *cobra.Command, name string, whole bool) (*client.Image, error) {
	return openImageAs(g, cmd, name, client.OpenOptions{Whole: whole})
}

// openImageAs is openImage with options, but for standard input and warnings.
func openImageAs(g *globals, cmd *cobra.Command, name string, o client.OpenOptions) (*client.Image, error) {
	c, err := g.client(cmd)
	if err != nil {
		return nil, err
	}
	o.Stdin, o.Warn = cmd.InOrStdin(), warnings(cmd)
	return c.OpenImage(cmd.Context(), name, o)
}

// withImage opens what a command was given for an image, uses it and closes it.
func withImage(g *globals, cmd *cobra.Command, name string, whole bool, use func(*client.Image) error) error {
	i, err := openImage(g, cmd, name, whole)
	if err != nil {
		return err
	}
	return errors.Join(use(i), i.Close())
}
