package main

import (
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"

	"github.com/cloudlets/cloudlets/api"
)

func newRetention(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "retention",
		Short: "Hold what must stay, restore what was removed",
		Long: `Hold what must stay, and restore what was removed. The commands ask a running
registry, and all that change something need the right to administer the
repository. What a registry removes by itself is its policy's to say: see
cloudlets gc.`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newHold(g), newRelease(g), newHolds(g), newRemoved(g), newRestore(g))
	return cmd
}

func newHold(g *globals) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "hold REFERENCE",
		Short: "Keep a tag, a manifest or a blob",
		Long: `Keep what a reference names, until it is released: a tag is neither moved nor
deleted, a manifest or a blob (by digest) is not removed, whoever asks.`,
		Example: `  cloudlets retention hold localhost:5000/golden/debian:12 --reason "audit 2026"`,
		Args:    exactly("REFERENCE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			repo, err := g.named(cmd, args[0])
			if err != nil {
				return err
			}
			if reason == "" {
				return usageError{errors.New("--reason: expected why, for whoever is refused")}
			}
			if err := repo.Hold(cmd.Context(), reason); err != nil {
				return err
			}
			return g.print(cmd, changed{Reference: args[0]}, func(w io.Writer) { fmt.Fprintln(w, "on hold:", args[0]) })
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for whoever is refused")
	return cmd
}

func newRelease(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "release REFERENCE",
		Short: "Lift a hold",
		Args:  exactly("REFERENCE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			repo, err := g.named(cmd, args[0])
			if err != nil {
				return err
			}
			if err := repo.Release(cmd.Context()); err != nil {
				return err
			}
			return g.print(cmd, changed{Reference: args[0]}, func(w io.Writer) { fmt.Fprintln(w, "released", args[0]) })
		},
	}
}

func newHolds(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "holds HOST/REPOSITORY",
		Short: "List what is on hold",
		Args:  exactly("HOST/REPOSITORY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			repo, err := g.repository(cmd, args[0])
			if err != nil {
				return err
			}
			holds, err := repo.Holds(cmd.Context())
			if err != nil {
				return err
			}
			return g.print(cmd, holds, func(w io.Writer) { printHolds(w, holds) })
		},
	}
}

func printHolds(w io.Writer, holds []api.Hold) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, h := range holds {
		fmt.Fprintf(t, "%s\t%s\t%s\n", h.Reference, printable(h.Actor), printable(h.Reason))
	}
	t.Flush()
}

func newRemoved(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "removed HOST/REPOSITORY",
		Short: "List manifests that can be restored, and until when",
		Args:  exactly("HOST/REPOSITORY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			repo, err := g.repository(cmd, args[0])
			if err != nil {
				return err
			}
			removed, err := repo.Removed(cmd.Context())
			if err != nil {
				return err
			}
			return g.print(cmd, removed, func(w io.Writer) { printRemoved(w, removed) })
		},
	}
}

func printRemoved(w io.Writer, removed []api.Removed) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, r := range removed {
		fmt.Fprintf(t, "%s\tremoved %s\tuntil %s\t%s\n", r.Digest, r.Removed, r.Until, r.MediaType)
	}
	t.Flush()
}

func newRestore(g *globals) *cobra.Command {
	var tags []string
	cmd := &cobra.Command{
		Use:   "restore REFERENCE",
		Short: "Put a removed manifest again, with its blobs",
		Long: `Put a removed manifest again, with its blobs out of the trash. REFERENCE is
HOST/REPOSITORY@DIGEST; cloudlets retention removed lists what there is.`,
		Example: "  cloudlets retention restore localhost:5000/golden/debian@sha256:3502… --tag 12",
		Args:    exactly("REFERENCE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			repo, err := g.named(cmd, args[0])
			if err != nil {
				return err
			}
			if repo.Reference.ValidateReferenceAsDigest() != nil {
				return usageError{fmt.Errorf("reference %s: expected HOST/REPOSITORY@DIGEST: cloudlets retention removed lists the digests", args[0])}
			}
			if err := checkTags(tags); err != nil {
				return err
			}
			if err := repo.Restore(cmd.Context(), tags...); err != nil {
				return err
			}
			restored := changed{args[0], digest.Digest(repo.Reference.Reference), tags}
			return g.print(cmd, restored, func(w io.Writer) { fmt.Fprintln(w, "restored", args[0]) })
		},
	}
	cmd.Flags().StringArrayVar(&tags, "tag", nil, "point this tag to it too; may be given several times")
	return cmd
}
