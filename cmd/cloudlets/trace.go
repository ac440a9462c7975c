package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"
)

func newTrace(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "trace",
		Short: "Publish what a boot reads, so that the next one need not wait for it",
		Long: `A trace lists which content was read while an image was booted, in the order in
which it was first read. cloudlets nbd serve and cloudlets boot --lazy write one
with --record. When it is pushed, it is an artifact with the image as its subject;
both commands find it there, and fetch what it lists before it is read.

A trace names content by the digests of layers. It is good for every disk that is
rendered of the image, in any size, format and configuration.`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newTracePush(g))
	return cmd
}

func newTracePush(g *globals) *cobra.Command {
	var arch string
	cmd := &cobra.Command{
		Use:   "push FILE REFERENCE",
		Short: "Push a trace, with an image as its subject",
		Long: `Push a trace that --record has written, with the image that REFERENCE names as
its subject. What is printed is the digest of the artifact. The latest trace of an
image counts.`,
		Example: `  cloudlets boot --lazy localhost:5000/golden/debian:12 --record boot.trace --until login:
  cloudlets trace push boot.trace localhost:5000/golden/debian:12`,
		Args: exactly("FILE", "REFERENCE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := readTrace(args[0])
			if err != nil {
				return err
			}
			repo, err := g.repository(cmd, args[1])
			if err != nil {
				return err
			}
			d, err := repo.PushTrace(cmd.Context(), t, arch)
			if err != nil {
				return err
			}
			return g.print(cmd, d, func(w io.Writer) { fmt.Fprintln(w, d.Digest) })
		},
	}
	cmd.Flags().StringVar(&arch, "arch", "", "architecture of the image, where REFERENCE names an index (default amd64)")
	return cmd
}
