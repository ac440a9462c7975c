package main

import (
	"fmt"
	"io"
	"os"
	"os/user"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"github.com/cloudlets/cloudlets/client"
)

// versionFlags are the flags of all commands that make a version.
type versionFlags struct {
	message, committer string
}

func (f *versionFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&f.message, "message", "m", "", "what changed and why")
	cmd.Flags().StringVar(&f.committer, "committer", "", "who commits (default: the user)")
}

// options returns what a version is called by. Its time is now, or that of
// SOURCE_DATE_EPOCH (reproducible-builds.org).
func (f *versionFlags) options() (client.VersionOptions, error) {
	o := client.VersionOptions{Message: f.message, Committer: f.committer, Time: time.Now()}
	date, err := client.SourceDate(os.Getenv("SOURCE_DATE_EPOCH"))
	if err != nil {
		return o, usageError{err}
	}
	if date != nil {
		o.Time = *date
	}
	if o.Committer == "" {
		if u, err := user.Current(); err == nil {
			o.Committer = u.Username
		}
	}
	return o, nil
}

// commitGCPercent lets the heap of a commit grow to 16 MiB before the first
// collection, and to five times what is in use after it.
const commitGCPercent = 400

func newCommit(g *globals) *cobra.Command {
	var flags versionFlags
	var options client.PushOptions
	cmd := &cobra.Command{
		Use:   "commit DIR REFERENCE",
		Short: "Push a directory as the next version of an image",
		Long: `Push a directory as the next version of the image that a tag leads to. The new
version names the one before it, so that cloudlets log, diff, merge and revert
know the history. Only the frames that the registry lacks are sent.

A directory that did not change since its last commit or checkout is not read,
and makes no version. Where somebody else has committed since, nothing is
pushed: commit to another tag, and merge.`,
		Example: `  cloudlets checkout localhost:5000/golden/debian:12 rootfs
  cloudlets commit rootfs localhost:5000/golden/debian:12 -m "Set the time zone"`,
		Args: exactly("DIR", "REFERENCE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			// A commit of an unchanged directory is over before there is garbage
			// worth collecting.
			debug.SetGCPercent(commitGCPercent)
			repo, err := g.repository(cmd, args[1])
			if err != nil {
				return err
			}
			if err := wantTag(repo, args[1]); err != nil {
				return err
			}
			version, err := flags.options()
			if err != nil {
				return err
			}
			c, err := repo.CommitDir(cmd.Context(), args[0], options, version, warnings(cmd))
			if err != nil {
				return fmt.Errorf("commit %s: %w", args[0], err)
			}
			if c.Unchanged {
				fmt.Fprintln(cmd.ErrOrStderr(), "nothing to commit")
			}
			return g.print(cmd, c, func(w io.Writer) { fmt.Fprintln(w, c.Digest) })
		},
	}
	flags.register(cmd)
	cmd.Flags().StringVar(&options.Arch, "arch", "", "architecture of the image (default: what its cloudlet manifest says, or amd64)")
	return cmd
}

// wantTag refuses a reference by digest, where something is to be put.
func wantTag(repo *client.Repository, reference string) error {
	if repo.Reference.ValidateReferenceAsDigest() == nil {
		return usageError{fmt.Errorf("reference %s: expected a tag: the digest follows from the content", reference)}
	}
	return nil
}

// warnings returns a function that tells on stderr of what could not be kept.
func warnings(cmd *cobra.Command) func(path, what string) {
	return func(path, what string) {
		fmt.Fprintf(cmd.ErrOrStderr(), "warning: %s: %s\n", printable("/"+path), what)
	}
}
