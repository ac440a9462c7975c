package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/cloudlets/cloudlets/registry/gc"
	"github.com/cloudlets/cloudlets/registry/journal"
	"github.com/cloudlets/cloudlets/registry/metadata"
)

func newFsck(g *globals) *cobra.Command {
	var at storeFlags
	var options gc.CheckOptions
	var rebuild bool
	cmd := &cobra.Command{
		Use:   "fsck",
		Short: "Compare metadata and blobs, or rebuild lost metadata",
		Long: `Compare metadata and blobs in both directions: every blob must have its object,
of the right size, and every object something that refers to it. With --verify the
content of all blobs is read, too, and must have its digest. Blobs that the server
has put in quarantine are listed in any case.

With --repair what is damaged goes into quarantine, where it is not served, unless
the store has another object of the same digest that is whole, and what is sound
leaves it. Objects that nothing refers to are only counted: the collector removes
them once nobody can be writing them any more.

With --rebuild an empty database is filled from the store: the server keeps
beside the blobs, in journals, what the database alone says. What was changed in
the last seconds before the database was lost is missing, and so is the history
of tags, what was deleted and could have been restored, and uploads that were not
done. It says what it could not rebuild. A database that holds anything is
refused. Restore a backup instead if there is a recent one.

With PostgreSQL it may run beside servers, --repair and --rebuild only without. A
SQLite database is used by one process: stop the server first.

The exit code is 1 where a blob stays damaged, or something was not rebuilt.`,
		Example: `  cloudlets fsck --data /var/lib/cloudlets
  mv /var/lib/cloudlets/metadata.sqlite* /somewhere/else/ && cloudlets fsck --data /var/lib/cloudlets --rebuild`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if rebuild {
				return runRebuild(g, cmd, at)
			}
			return runCheck(g, cmd, at, options)
		},
	}
	at.register(cmd)
	cmd.Flags().BoolVar(&options.Verify, "verify", false, "read the content of all blobs")
	cmd.Flags().BoolVar(&options.Repair, "repair", false, "let whole objects stand for damaged ones")
	cmd.Flags().BoolVar(&rebuild, "rebuild", false, "fill an empty database from the store")
	cmd.MarkFlagsMutuallyExclusive("repair", "rebuild")
	return cmd
}

func runCheck(g *globals, cmd *cobra.Command, at storeFlags, options gc.CheckOptions) (err error) {
	st, err := at.open(cmd.Context(), metadata.Options{Exclusive: options.Repair})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	found, err := gc.Check(cmd.Context(), st.meta, st.blobs, options)
	if err != nil {
		return err
	}
	if err := g.print(cmd, found, func(w io.Writer) { printFindings(w, found) }); err != nil {
		return err
	}
	if !found.Sound() {
		return errors.New("there are damaged blobs: push them again, or restore their objects from a backup")
	}
	return nil
}

func runRebuild(g *globals, cmd *cobra.Command, at storeFlags) (err error) {
	st, err := at.openUnbound(cmd.Context(), metadata.Options{Exclusive: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	id, err := st.objects.id(cmd.Context())
	if err != nil {
		return err
	}
	report, err := journal.Rebuild(cmd.Context(), at.journals(st), id)
	if errors.Is(err, metadata.ErrNotEmpty) {
		return fmt.Errorf("%w: name a new one, or move the file away; nothing was changed", err)
	}
	if err != nil {
		return err
	}
	if err := g.print(cmd, report, func(w io.Writer) { printReport(w, report) }); err != nil {
		return err
	}
	if len(report.Lost)+len(report.Problems) > 0 {
		return errors.New("not everything was rebuilt; the rest can be used")
	}
	return nil
}

func printReport(w io.Writer, r journal.Report) {
	for _, p := range r.Problems {
		fmt.Fprintf(w, "problem: %s\n", p)
	}
	for _, l := range r.Lost {
		fmt.Fprintf(w, "lost: %s %s of %s: %s\n", l.Kind, l.Reference, l.Repository, l.Why)
	}
	for _, line := range []struct {
		n    int
		what string
	}{
		{r.Repositories, "repositories"}, {r.Manifests, "manifests"}, {r.Tags, "tags"}, {r.Links, "blobs in repositories"},
		{r.Blobs, "blobs"}, {r.Renders, "renders"}, {r.Holds, "holds"},
	} {
		fmt.Fprintf(w, "%8d %s rebuilt\n", line.n, line.what)
	}
	fmt.Fprintf(w, "%8d journals read, %d things lost\n", r.Journals, len(r.Lost))
}

func printFindings(w io.Writer, f gc.Findings) {
	for _, d := range f.Damaged {
		fmt.Fprintf(w, "damaged: %s\n  %s\n  in: %s\n", d.Digest, d.Problem, strings.Join(d.Repositories, ", "))
		if d.Quarantined != nil {
			fmt.Fprintf(w, "  in quarantine since %s\n", d.Quarantined.Format(time.RFC3339))
		}
		if d.Repaired != "" {
			fmt.Fprintf(w, "  repaired: it is read from %s now\n", d.Repaired)
		}
	}
	for _, key := range f.LostJournals {
		fmt.Fprintf(w, "lost journal: %s (the next --repair, or server, begins with a complete one)\n", key)
	}
	fmt.Fprintf(w, "%d blobs, %d of them damaged; %d objects, %d of them orphaned (%d bytes)\n",
		f.Blobs, len(f.Damaged), f.Objects, f.Orphans, f.Bytes)
}
