package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime/debug"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/cloudlets/cloudlets/client"
)

// globals are the flags that every command has.
type globals struct {
	json      bool
	quiet     bool
	plainHTTP bool
	tls       client.TLS
}

// registerConnection adds the flags of commands that ask a registry.
func (g *globals) registerConnection(flags *pflag.FlagSet) {
	g.registerServer(flags)
	flags.StringVar(&g.tls.CertFile, "cert", "", "file of a client certificate in PEM, to prove who you are")
	flags.StringVar(&g.tls.KeyFile, "key", "", "file of the private key of --cert in PEM")
}

// registerServer adds the flags of commands that ask a registry and have keys of
// their own: those that say how to know the server.
func (g *globals) registerServer(flags *pflag.FlagSet) {
	flags.BoolVar(&g.plainHTTP, "plain-http", false, "use HTTP without TLS (implied for localhost, unless another of these flags is given)")
	flags.StringVar(&g.tls.CAFile, "ca-file", "", "file of authorities in PEM to trust besides the system's")
	flags.BoolVar(&g.tls.Insecure, "insecure", false, "take any certificate for the registry's")
}

func newCommand() *cobra.Command {
	g := new(globals)
	root := &cobra.Command{
		Use:   "cloudlets",
		Short: "A content-addressed registry for bootable server images",
		Long: `cloudlets keeps golden images: root filesystems that are pushed once and
pulled in whatever form a cloud wants — a container, a qcow2, a raw disk — or
booted by digest.

  cloudlets serve                                            # a registry on localhost:5000
  cloudlets push rootfs.tar localhost:5000/golden/debian:12
  cloudlets render localhost:5000/golden/debian:12 --format qcow2 -o debian.qcow2
  cloudlets boot localhost:5000/golden/debian:12`,
		Version:       version(),
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return usageError{fmt.Errorf("unknown command %q: see %s --help", args[0], cmd.CommandPath())}
		},
	}
	flags := root.PersistentFlags()
	flags.BoolVar(&g.json, "json", false, "print the result as JSON")
	flags.BoolVarP(&g.quiet, "quiet", "q", false, "show no progress")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(newServe(), newConfig(g), newGC(g), newFsck(g), newLogout(g), newSpecs(), newGit(), newBundle(g), newFormats(g), newExitCodes())
	for _, cmd := range []*cobra.Command{
		newPush(g),
		newImport(g),
		newPull(g),
		newTar(g),
		newFind(g),
		newRaw(g),
		newManifest(g),
		newSchema(g),
		newValidate(g),
		newValidateArgs(g),
		newRender(g),
		newBoot(g),
		newNBD(g),
		newTrace(g),
		newList(g),
		newInspect(g),
		newLint(g),
		newIndex(g),
		newBootkit(g),
		newCommit(g),
		newCheckout(g),
		newLog(g),
		newDiff(g),
		newMerge(g),
		newRevert(g),
		newFork(g),
		newTag(g),
		newRemove(g),
		newHistory(g),
		newRetention(g),
		newLogin(g),
	} {
		g.registerConnection(cmd.PersistentFlags())
		root.AddCommand(cmd)
	}
	return root
}

// version returns the version the binary was built as.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "(devel)"
	}
	return info.Main.Version
}

func newExitCodes() *cobra.Command {
	return &cobra.Command{
		Use:   "exit-codes",
		Short: "What the exit codes mean",
		Long: fmt.Sprintf(`  0    done
  %-4d failed: the message says what was expected, what was found, and what to do
  %-4d the command line is wrong
  %-4d an image, a file or a repository does not exist
  %-4d interrupted`, exitFailed, exitUsage, exitNotFound, exitInterrupted),
	}
}

// exactly is cobra.ExactArgs with an error that names what is expected.
func exactly(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == len(names) {
			return nil
		}
		return usageError{fmt.Errorf("expected %d arguments (%s), got %d: see %s --help", len(names), names, len(args), cmd.CommandPath())}
	}
}

// atLeast is exactly for a command whose last argument may be repeated.
func atLeast(n int, names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) >= n {
			return nil
		}
		return usageError{fmt.Errorf("expected %d arguments or more (%s), got %d: see %s --help", n, names, len(args), cmd.CommandPath())}
	}
}

// client returns a client that shows its progress on the command's stderr.
func (g *globals) client(cmd *cobra.Command) (*client.Client, error) {
	var progress client.Progress = client.Silent{}
	if !g.quiet {
		progress = newProgress(cmd.ErrOrStderr())
	}
	return client.New(client.Options{
		PlainHTTP: g.plainHTTP, TLS: g.tls, UserAgent: "cloudlets/" + version(), Progress: progress,
		Warn: func(text string) { fmt.Fprintln(cmd.ErrOrStderr(), "warning:", text) },
	})
}

// repository returns what a reference names.
func (g *globals) repository(cmd *cobra.Command, reference string) (*client.Repository, error) {
	c, err := g.client(cmd)
	if err != nil {
		return nil, err
	}
	repo, err := c.Repository(reference)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, err
	case err != nil:
		return nil, usageError{err}
	}
	return repo, nil
}

// print writes a result: as JSON where that was asked for, else as text.
func (g *globals) print(cmd *cobra.Command, result any, text func(io.Writer)) error {
	out := cmd.OutOrStdout()
	if !g.json {
		text(out)
		return nil
	}
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(result)
}
