package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/cloudlets/cloudlets/client"
)

func newIndex(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "index",
		Short: "Give the images of several platforms one name",
		Args:  exactly(),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newIndexCreate(g))
	return cmd
}

func newIndexCreate(g *globals) *cobra.Command {
	var annotations []string
	cmd := &cobra.Command{
		Use:   "create REFERENCE IMAGE...",
		Short: "Push an index of images, one for each platform",
		Long: `Push an index of images, one for each platform, which their OCI configs name, and
tag it. Whoever asks for the index gets the image of their platform.

IMAGE is a reference; one in another repository or registry is copied to that of
the index. Of an index all its images are taken. The same images make the same
index, in whatever order they are given.

The date of an index is that of its newest image, or SOURCE_DATE_EPOCH where that
is set.`,
		Example: `  cloudlets push amd64.tar localhost:5000/golden/debian:12-amd64
  cloudlets push arm64.tar localhost:5000/golden/debian:12-arm64 --arch arm64
  cloudlets index create localhost:5000/golden/debian:12 localhost:5000/golden/debian:12-amd64 localhost:5000/golden/debian:12-arm64`,
		Args: atLeast(2, "REFERENCE", "IMAGE..."),
		RunE: func(cmd *cobra.Command, args []string) error {
			options, err := indexOptions(annotations)
			if err != nil {
				return err
			}
			c, to, err := g.pushTarget(cmd, args[0])
			if err != nil {
				return err
			}
			var images []*client.Repository
			for _, reference := range args[1:] {
				image, err := c.Repository(reference)
				if err != nil {
					return usageError{err}
				}
				images = append(images, image)
			}
			d, err := to.CreateIndex(cmd.Context(), images, options)
			if err != nil {
				return fmt.Errorf("create index %s: %w", args[0], err)
			}
			return g.print(cmd, pushed{to.Reference.String(), d}, func(w io.Writer) { fmt.Fprintln(w, d.Digest) })
		},
	}
	cmd.Flags().StringArrayVar(&annotations, "annotation", nil, "KEY=VALUE to put on the index; may be repeated")
	return cmd
}

// indexOptions makes options of annotations and of SOURCE_DATE_EPOCH.
func indexOptions(annotations []string) (o client.IndexOptions, err error) {
	if o.Annotations, err = client.ParseAnnotations(annotations); err != nil {
		return o, usageError{err}
	}
	o.Created, err = client.SourceDate(os.Getenv("SOURCE_DATE_EPOCH"))
	return o, err
}
