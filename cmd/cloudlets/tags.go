package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"

	"github.com/cloudlets/cloudlets/api"
	"github.com/cloudlets/cloudlets/client"
)

// defaultEvents is how many changes of a tag are shown.
const defaultEvents = 20

// named is repository for commands that never take a tag for granted.
func (g *globals) named(cmd *cobra.Command, reference string) (*client.Repository, error) {
	repo, err := g.repository(cmd, reference)
	if err == nil && repo.Reference.Reference == "" {
		return nil, usageError{fmt.Errorf("reference %s: expected one with a tag or a digest, HOST/REPOSITORY:TAG or HOST/REPOSITORY@DIGEST", reference)}
	}
	return repo, err
}

// changed is the result of a command that changes what a reference names.
type changed struct {
	Reference string        `json:"reference"`
	Digest    digest.Digest `json:"digest,omitempty"`
	Tags      []string      `json:"tags,omitempty"`
}

func newTag(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "tag REFERENCE TAG...",
		Short: "Point tags to what a reference names",
		Long: `Point tags to what a reference names, in the same repository. No content moves;
a tag that was there before keeps its past: see cloudlets history.`,
		Example: "  cloudlets tag localhost:5000/golden/debian@sha256:3502… 12 latest",
		Args:    atLeast(2, "REFERENCE", "TAG..."),
		RunE: func(cmd *cobra.Command, args []string) error {
			repo, err := g.repository(cmd, args[0])
			if err != nil {
				return err
			}
			if err := checkTags(args[1:]); err != nil {
				return err
			}
			d, err := repo.Tag(cmd.Context(), args[1:]...)
			if err != nil {
				return err
			}
			return g.print(cmd, changed{args[0], d, args[1:]}, func(w io.Writer) { fmt.Fprintln(w, d) })
		},
	}
}

// checkTags refuses what looks like a reference where a tag belongs.
func checkTags(tags []string) error {
	for _, tag := range tags {
		if tag == "" || strings.ContainsAny(tag, "/:@") {
			return usageError{fmt.Errorf("%q is not a tag: expected a name such as 12 or latest, of the same repository", tag)}
		}
	}
	return nil
}

func newRemove(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "rm REFERENCE",
		Short: "Delete a tag, or a manifest with all its tags",
		Long: `Delete what a reference names. HOST/REPOSITORY:TAG is the tag alone, its
manifest stays; HOST/REPOSITORY@DIGEST is the manifest with all its tags. A
manifest can be restored for a while: see cloudlets retention restore.`,
		Example: `  cloudlets rm localhost:5000/golden/debian:old
  cloudlets rm localhost:5000/golden/debian@sha256:3502…`,
		Args: exactly("REFERENCE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			repo, err := g.named(cmd, args[0])
			if err != nil {
				return err
			}
			if err := repo.Remove(cmd.Context()); err != nil {
				return err
			}
			return g.print(cmd, changed{Reference: args[0]}, func(w io.Writer) { fmt.Fprintln(w, "deleted", args[0]) })
		},
	}
}

func newHistory(g *globals) *cobra.Command {
	limit := defaultEvents
	cmd := &cobra.Command{
		Use:   "history REFERENCE",
		Short: "Show what a tag pointed to, and since when",
		Long: `Show what a tag pointed to, the newest change first: when, the digest since, and
who changed it, which only those who may push to the repository are told. A
history outlives its tag.`,
		Example: "  cloudlets history localhost:5000/golden/debian:12",
		Args:    exactly("REFERENCE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			repo, err := g.repository(cmd, args[0])
			if err != nil {
				return err
			}
			if repo.Reference.ValidateReferenceAsDigest() == nil {
				return usageError{fmt.Errorf("reference %s: expected a tag: a digest always names the same", args[0])}
			}
			if limit <= 0 {
				return usageError{errors.New("--limit: expected one change or more")}
			}
			repo.Reference.Reference = repo.TagOrDigest()
			events, err := repo.TagHistory(cmd.Context(), limit)
			if err != nil {
				return err
			}
			return g.print(cmd, events, func(w io.Writer) { printEvents(w, events) })
		},
	}
	cmd.Flags().IntVar(&limit, "limit", limit, "show at most so many changes")
	return cmd
}

func printEvents(w io.Writer, events []api.TagEvent) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, e := range events {
		now := e.Digest
		if now == "" {
			now = "deleted"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\n", e.At, now, printable(e.Actor))
	}
	t.Flush()
}
