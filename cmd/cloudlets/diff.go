package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/cloudlets/cloudlets/client"
)

// errDiffer makes the exit code 1 where --exit-code was given.
var errDiffer = errors.New("the images differ")

func newDiff(g *globals) *cobra.Command {
	var o client.DiffOptions
	var stat, patch, exitCode bool
	cmd := &cobra.Command{
		Use:   "diff IMAGE OTHER",
		Short: "Show which files differ between two images",
		Long: `Show which files differ between two images: A for added, D for removed, M for
changed, and what has changed: content, size, mode, owner, xattrs, links.

` + imageHelp + `

Of images in a registry no content is read: frames are compared by their digests.`,
		Example: `  cloudlets diff localhost:5000/golden/debian:11 localhost:5000/golden/debian:12 --stat
  cloudlets diff localhost:5000/golden/debian:12 ./rootfs --patch`,
		Args: exactly("IMAGE", "OTHER"),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			a, err := openImage(g, cmd, args[0], false)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, a.Close()) }()
			b, err := openImage(g, cmd, args[1], false)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, b.Close()) }()
			o.Patch = patch
			d, err := client.Diff(cmd.Context(), a, b, o)
			if err != nil {
				return err
			}
			err = g.print(cmd, d, func(w io.Writer) { printDiff(w, d, stat) })
			if err == nil && exitCode && len(d.Files) > 0 {
				err = errDiffer
			}
			return err
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&stat, "stat", false, "show counts and sizes")
	flags.BoolVarP(&patch, "patch", "p", false, "show how text has changed")
	flags.BoolVar(&o.Times, "times", false, "count files that differ in their time only")
	flags.BoolVar(&o.Exact, "exact", false, "read content whose frames differ: other versions of the encoder may have written it")
	flags.BoolVar(&exitCode, "exit-code", false, "exit with 1 where there are differences")
	return cmd
}

func printDiff(w io.Writer, d *client.Difference, stat bool) {
	for _, f := range d.Files {
		if f.Patch != "" {
			fmt.Fprint(w, f.Patch)
			continue
		}
		fmt.Fprintf(w, "%s %s", f.Change, printable("/"+f.Path))
		if f.What != "" {
			fmt.Fprintf(w, "  %s", f.What)
		}
		if stat && f.OldSize != f.NewSize {
			fmt.Fprintf(w, "  %d → %d", f.OldSize, f.NewSize)
		}
		fmt.Fprintln(w)
	}
	if stat {
		fmt.Fprintf(w, "%d added, %d removed, %d changed; %+d bytes\n", d.Added, d.Removed, d.Changed, d.Bytes)
	}
}
