package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cloudlets/cloudlets/client"
)

func newLog(g *globals) *cobra.Command {
	var limit int
	cmd := &cobra.Command{
		Use:   "log REFERENCE",
		Short: "Show the versions that led to an image",
		Long: `Show the versions that led to an image, the newest first: what was committed,
when, by whom and why. (What a tag led to over time is another question:
cloudlets history.)`,
		Example: "  cloudlets log localhost:5000/golden/debian:12",
		Args:    exactly("REFERENCE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			repo, err := g.repository(cmd, args[0])
			if err != nil {
				return err
			}
			versions := []client.Version{}
			err = repo.History(cmd.Context(), func(v client.Version) bool {
				versions = append(versions, v)
				return len(versions) != limit
			})
			if err != nil {
				return err
			}
			return g.print(cmd, versions, func(w io.Writer) {
				for _, v := range versions {
					printVersion(w, v)
				}
			})
		},
	}
	cmd.Flags().IntVarP(&limit, "max-count", "n", 0, "show at most so many versions (0: all)")
	return cmd
}

func printVersion(w io.Writer, v client.Version) {
	fmt.Fprintln(w, "version", v.Digest)
	if len(v.Parents) > 1 {
		fmt.Fprintln(w, "merges ", v.Parents[1])
	}
	if v.Committer != "" {
		fmt.Fprintln(w, "by     ", printable(v.Committer))
	}
	if !v.Created.IsZero() {
		fmt.Fprintln(w, "date   ", v.Created.UTC().Format(time.RFC3339))
	}
	if v.Message != "" {
		fmt.Fprintf(w, "\n    %s\n", strings.ReplaceAll(strings.TrimSpace(plain(v.Message)), "\n", "\n    "))
	}
	fmt.Fprintln(w)
}
