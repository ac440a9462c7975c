package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"github.com/cloudlets/cloudlets/registry/gc"
	"github.com/cloudlets/cloudlets/registry/metadata"
)

func newGC(g *globals) *cobra.Command {
	var at storeFlags
	var policy string
	var dry bool
	cmd := &cobra.Command{
		Use:   "gc",
		Short: "Collect garbage now",
		Long: `Collect what is due for collection. A server does the same by itself all the
time, so this is for a registry that is not running, or to see with --dry-run
what would go.

With PostgreSQL it may run beside any number of servers. A SQLite database is
used by one process: stop the server first.

What was let go of — by deleting a tag, a manifest or a blob, by an upload that
was given up — is looked at after a day, and its bytes are removed after another:
collecting does not make that shorter.`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			st, err := at.open(cmd.Context(), metadata.Options{})
			if errors.Is(err, metadata.ErrLocked) {
				return fmt.Errorf("%w (a server that is running collects its garbage by itself)", err)
			}
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, st.Close()) }()
			c, err := newCollector(st, gc.Config{Log: slog.Default()}, policy)
			if err != nil {
				return err
			}
			collect := c.Collect
			if dry {
				collect = c.Plan
			}
			result, err := collect(cmd.Context())
			if err != nil {
				return err
			}
			return g.print(cmd, result, func(w io.Writer) { printCollection(w, result, dry) })
		},
	}
	at.register(cmd)
	registerPolicy(cmd, &policy)
	cmd.Flags().BoolVar(&dry, "dry-run", false, "only say what would be removed")
	return cmd
}

func registerPolicy(cmd *cobra.Command, policy *string) {
	cmd.Flags().StringVar(policy, "retention", "", "JSON file that says which tags and untagged manifests to remove (default: none)")
}

// newCollector returns a collector of a store, with the policy in a file, or none.
func newCollector(st *store, c gc.Config, policyFile string) (*gc.Collector, error) {
	var err error
	if c.Policy, err = readPolicy(policyFile); err != nil {
		return nil, err
	}
	c.Metadata, c.Objects, c.Blobs = st.meta, st.blobs.Driver(), st.blobs
	return gc.New(c)
}

// readPolicy reads the policy in a file, or none where that has no name.
func readPolicy(file string) (gc.Policy, error) {
	if file == "" {
		return gc.Policy{}, nil
	}
	f, err := os.Open(file)
	if err != nil {
		return gc.Policy{}, fmt.Errorf("open retention policy: %w", err)
	}
	defer f.Close()
	policy, err := gc.ReadPolicy(f)
	if err != nil {
		return gc.Policy{}, fmt.Errorf("%s: %w", file, err)
	}
	return policy, nil
}

func printCollection(w io.Writer, r gc.Result, dry bool) {
	done := "removed"
	if dry {
		done = "would be removed"
	}
	for _, line := range []struct {
		n    int
		what string
	}{
		{r.Tags, "tags"}, {r.Uploads, "expired uploads"}, {r.Reviewed.Manifests, "manifests"},
		{r.Reviewed.Links, "blobs, out of their repository"}, {r.Reviewed.Blobs, "blobs, to the trash"},
		{r.Repacked.Packs, "packs that are mostly unread, for what is read of them,"}, {r.Orphans, "orphaned objects, to the trash"}, {r.Removed, "objects, out of the trash"},
	} {
		fmt.Fprintf(w, "%8d %s %s\n", line.n, line.what, done)
	}
	fmt.Fprintf(w, "%8d bytes will be free once the trash is emptied\n", r.Reviewed.Bytes)
}
