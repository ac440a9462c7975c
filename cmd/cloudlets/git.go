package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/cloudlets/cloudlets/image/gitdir"
)

func newGit() *cobra.Command {
	return &cobra.Command{
		Use:   "git DIR -- ARGUMENT...",
		Short: "Run git on a directory that holds a root filesystem",
		Long: `Run git on a directory that holds a root filesystem. What git does not keep is
kept beside it, in the file /.cloudlet/metadata that git tracks: owners, modes,
times, extended attributes, devices, FIFOs, hard links, holes and empty
directories. It is written before git looks at the directory, committed with
every commit, and the directory is made to be so after git changed it. Volatile
paths of the cloudlet manifest are ignored; .gitignore and .gitattributes files
in the root filesystem have no effect. The exit code is git's.

Owners and devices are restored for root only; for other users they are kept as
they were committed.`,
		Example: `  cloudlets git ./rootfs -- init
  cloudlets git ./rootfs -- add -A
  cloudlets git ./rootfs -- commit -m 'Debian 12'
  cloudlets git ./copy -- clone https://git.example.org/rootfs.git .
  cloudlets git ./rootfs -- merge security-updates`,
		Args: func(cmd *cobra.Command, args []string) error {
			if cmd.ArgsLenAtDash() != 1 || len(args) < 2 {
				return usageError{fmt.Errorf("expected a directory, -- and the arguments of git: see %s --help", cmd.CommandPath())}
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return gitdir.Run(cmd.Context(), args[0], args[1:], gitdir.Options{
				Stdin: cmd.InOrStdin(), Stdout: cmd.OutOrStdout(), Stderr: cmd.ErrOrStderr(),
				Warn: warnings(cmd),
			})
		},
	}
}
