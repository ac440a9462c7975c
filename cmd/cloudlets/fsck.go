package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cloudlets/cloudlets/registry/gc"
	"github.com/cloudlets/cloudlets/registry/metadata"
)

func newFsck(g *globals) *cobra.Command {
	var at storeFlags
	var repair bool
	cmd := &cobra.Command{
		Use:   "fsck",
		Short: "Compare metadata and blobs",
		Long: `Compare metadata and blobs in both directions: every blob must have its object,
of the right size, and every object something that refers to it. The content of
blobs is not read.

With --repair a damaged blob is read from another object of the same digest, if
there is one that is whole. Objects that nothing refers to are only counted: the
collector removes them once nobody can be writing them any more. Manifests, tags
and holds are in the database alone: back it up.

With PostgreSQL it may run beside servers, --repair only without. A SQLite
database is used by one process: stop the server first.

The exit code is 1 where a blob stays damaged.`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			st, err := at.open(cmd.Context(), metadata.Options{Exclusive: repair})
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, st.Close()) }()
			found, err := gc.Check(cmd.Context(), st.meta, st.blobs, repair)
			if err != nil {
				return err
			}
			if err := g.print(cmd, found, func(w io.Writer) { printFindings(w, found) }); err != nil {
				return err
			}
			if !found.Sound() {
				return errors.New("there are damaged blobs: restore their objects from a backup")
			}
			return nil
		},
	}
	at.register(cmd)
	cmd.Flags().BoolVar(&repair, "repair", false, "let whole objects stand for damaged ones")
	return cmd
}

func printFindings(w io.Writer, f gc.Findings) {
	for _, d := range f.Damaged {
		fmt.Fprintf(w, "damaged: %s\n  %s\n  in: %s\n", d.Digest, d.Problem, strings.Join(d.Repositories, ", "))
		if d.Repaired != "" {
			fmt.Fprintf(w, "  repaired: it is read from %s now\n", d.Repaired)
		}
	}
	fmt.Fprintf(w, "%d blobs, %d of them damaged; %d objects, %d of them orphaned (%d bytes)\n",
		f.Blobs, len(f.Damaged), f.Objects, f.Orphans, f.Bytes)
}
