package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/cloudlets/cloudlets/client"
)

func newList(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "ls HOST[/REPOSITORY]",
		Short: "List repositories, or the tags of one",
		Example: `  cloudlets ls localhost:5000
  cloudlets ls localhost:5000/golden/debian`,
		Args: exactly("HOST[/REPOSITORY]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := g.client(cmd)
			if err != nil {
				return err
			}
			if !strings.Contains(args[0], "/") {
				names, err := c.Repositories(cmd.Context(), args[0])
				if err != nil {
					return err
				}
				return g.print(cmd, names, func(w io.Writer) { printLines(w, names) })
			}
			repo, err := c.Repository(args[0])
			if err != nil {
				return usageError{err}
			}
			tags, err := repo.Tagged(cmd.Context())
			if err != nil {
				return err
			}
			return g.print(cmd, tags, func(w io.Writer) { printTags(w, tags) })
		},
	}
}

func printLines(w io.Writer, lines []string) {
	for _, line := range lines {
		fmt.Fprintln(w, line)
	}
}

func printTags(w io.Writer, tags []client.TaggedManifest) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, tag := range tags {
		fmt.Fprintf(t, "%s\t%s\t%s\n", tag.Tag, tag.Digest, human(tag.Size))
	}
	t.Flush()
}
