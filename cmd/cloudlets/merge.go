package main

import (
	"fmt"
	"io"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"

	"github.com/cloudlets/cloudlets/client"
	"github.com/cloudlets/cloudlets/image/diff"
)

// sides are the values of --favour.
var sides = map[string]diff.Side{"": diff.Neither, "ours": diff.Ours, "theirs": diff.Theirs}

// mergeFlags are the flags of merge and revert.
type mergeFlags struct {
	versionFlags
	favour string
}

func (f *mergeFlags) register(cmd *cobra.Command) {
	f.versionFlags.register(cmd)
	cmd.Flags().StringVar(&f.favour, "favour", "", "who wins where both changed the same: ours or theirs (default: nothing is pushed)")
}

func (f *mergeFlags) options(message string) (client.MergeOptions, error) {
	if f.message == "" {
		f.message = message
	}
	version, err := f.versionFlags.options()
	if err != nil {
		return client.MergeOptions{}, err
	}
	side, ok := sides[f.favour]
	if !ok {
		return client.MergeOptions{}, usageError{fmt.Errorf("--favour %q: expected ours or theirs", f.favour)}
	}
	return client.MergeOptions{VersionOptions: version, Favour: side}, nil
}

func newMerge(g *globals) *cobra.Command {
	var flags mergeFlags
	cmd := &cobra.Command{
		Use:   "merge REFERENCE OTHER",
		Short: "Merge another version of an image into one",
		Long: `Make the next version of the image that REFERENCE's tag leads to, with what OTHER
has changed since both were one version. Files are merged as wholes: where one
side changed a file's content and the other its mode, both count; where both
changed its content, there is a conflict, and nothing is pushed.

OTHER may be in another repository or registry: it is copied first, with its
history.`,
		Example: "  cloudlets merge localhost:5000/golden/debian:12 localhost:5000/golden/debian:hardened",
		Args:    exactly("REFERENCE", "OTHER"),
		RunE: func(cmd *cobra.Command, args []string) error {
			repo, other, err := g.two(cmd, args)
			if err != nil {
				return err
			}
			o, err := flags.options("Merge " + args[1])
			if err != nil {
				return err
			}
			theirs, err := client.Fetch(cmd.Context(), other, repo)
			if err != nil {
				return err
			}
			merged, err := repo.Merge(cmd.Context(), theirs, o)
			return g.printMerged(cmd, merged, err)
		},
	}
	flags.register(cmd)
	return cmd
}

func newRevert(g *globals) *cobra.Command {
	var flags mergeFlags
	cmd := &cobra.Command{
		Use:   "revert REFERENCE DIGEST",
		Short: "Take back what one version of an image changed",
		Long: `Make the next version of the image that REFERENCE's tag leads to, without what the
version DIGEST changed. What was changed since stays; where it was changed
again, there is a conflict, and nothing is pushed.`,
		Example: "  cloudlets revert localhost:5000/golden/debian:12 sha256:3502…",
		Args:    exactly("REFERENCE", "DIGEST"),
		RunE: func(cmd *cobra.Command, args []string) error {
			repo, err := g.repository(cmd, args[0])
			if err != nil {
				return err
			}
			if err := wantTag(repo, args[0]); err != nil {
				return err
			}
			undo, err := digest.Parse(args[1])
			if err != nil {
				return usageError{fmt.Errorf("version %q: expected a digest, as cloudlets log shows: %w", args[1], err)}
			}
			o, err := flags.options("Revert " + args[1])
			if err != nil {
				return err
			}
			merged, err := repo.Revert(cmd.Context(), undo, o)
			return g.printMerged(cmd, merged, err)
		},
	}
	flags.register(cmd)
	return cmd
}

// two returns what two references name; the first one by a tag.
func (g *globals) two(cmd *cobra.Command, args []string) (repo, other *client.Repository, err error) {
	if repo, err = g.repository(cmd, args[0]); err != nil {
		return nil, nil, err
	}
	if err := wantTag(repo, args[0]); err != nil {
		return nil, nil, err
	}
	other, err = g.repository(cmd, args[1])
	return repo, other, err
}

func (g *globals) printMerged(cmd *cobra.Command, m client.Merged, err error) error {
	if err != nil {
		return err
	}
	for _, c := range m.Conflicts {
		fmt.Fprintln(cmd.ErrOrStderr(), "settled:", c)
	}
	if m.UpToDate {
		fmt.Fprintln(cmd.ErrOrStderr(), "already up to date")
	}
	return g.print(cmd, m, func(w io.Writer) { fmt.Fprintln(w, m.Digest) })
}
