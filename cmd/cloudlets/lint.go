package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cloudlets/cloudlets/client"
	"github.com/cloudlets/cloudlets/converter/lint"
)

// errDoesNotBoot makes the exit code of lint. The findings say why.
var errDoesNotBoot = errors.New("the image does not boot there: see the errors above")

func newLint(g *globals) *cobra.Command {
	var format string
	var manifest manifestFlag
	cmd := &cobra.Command{
		Use:   "lint IMAGE",
		Short: "Say what an image lacks for a provider",
		Long: `Say what an image lacks for a provider: drivers in the kernel and the initrd, a
bootloader for its firmware, its agent, a console, something that grows the root
filesystem and asks for an address; and what no image should have: identities and
keys that all instances would share.

An error keeps the image from booting; a warning says what it will lack. Each
finding says why, what to do, and what was looked for and where. With --format the
exit code is 1 where there is an error; without, all providers are shown.

Volatile paths of the cloudlet manifest are left out, as in render.

` + imageHelp,
		Example: `  cloudlets lint localhost:5000/golden/debian:12 --format azure
  cloudlets lint ./rootfs --json`,
		Args: exactly("IMAGE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withImage(g, cmd, args[0], false, func(i *client.Image) error {
				m, err := manifest.of(cmd, i)
				if err != nil {
					return err
				}
				report, err := i.Lint(cmd.Context(), m, format)
				if errors.Is(err, lint.ErrProvider) {
					return usageError{err}
				}
				if err != nil {
					return err
				}
				if err := g.print(cmd, report, func(w io.Writer) { printLint(w, report) }); err != nil {
					return err
				}
				if format != "" && !report.Boots() {
					return errDoesNotBoot
				}
				return nil
			})
		},
	}
	manifest.register(cmd)
	cmd.Flags().StringVar(&format, "format", "", "the provider, one of "+strings.Join(lint.Providers(), ", ")+" (default: all)")
	return cmd
}

// printLint prints each finding once, with the providers that it is about.
func printLint(w io.Writer, report lint.Report) {
	var findings []lint.Finding
	about := make(map[lint.Finding][]string)
	var boots, fails []string
	for _, p := range report.Providers {
		if p.Boots {
			boots = append(boots, p.Provider)
		} else {
			fails = append(fails, p.Provider)
		}
		for _, f := range p.Findings {
			if about[f] == nil {
				findings = append(findings, f)
			}
			about[f] = append(about[f], p.Provider)
		}
	}
	slices.SortStableFunc(findings, func(a, b lint.Finding) int { return strings.Compare(string(a.Severity), string(b.Severity)) })
	for _, f := range findings {
		fmt.Fprintf(w, "%s: %s (%s)\n  why:    %s\n  do:     %s\n  looked: %s\n\n", f.Severity, f.What, strings.Join(about[f], " "), f.Why, f.Do, f.Looked)
	}
	fmt.Fprintf(w, "boots:         %s\n", orNone(boots))
	fmt.Fprintf(w, "does not boot: %s\n", orNone(fails))
}

func orNone(list []string) string {
	if len(list) == 0 {
		return "-"
	}
	return strings.Join(list, " ")
}
