package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/cloudlets/cloudlets/client"
)

// errDiffers makes the exit code of render --verify. What differs is printed.
var errDiffers = errors.New("what was rendered again differs: see above")

// verifyRender renders derived artifacts again and prints what came of it.
func verifyRender(g *globals, cmd *cobra.Command, name, image, kit string) error {
	repo, err := g.repository(cmd, name)
	if err != nil {
		return err
	}
	var from client.Sources
	if image != "" {
		if from.Images, err = g.repository(cmd, image); err != nil {
			return err
		}
	}
	if kit != "" {
		if from.Kits, err = g.repository(cmd, kit); err != nil {
			return err
		}
	}
	list, err := repo.Verify(cmd.Context(), from)
	if err != nil {
		return err
	}
	if err := g.print(cmd, list, func(w io.Writer) { printVerified(w, list) }); err != nil {
		return err
	}
	for _, v := range list {
		if !v.Same() {
			return errDiffers
		}
	}
	return nil
}

// printVerified prints a line for each artifact, and one for each file that is
// not what it should be.
func printVerified(w io.Writer, list []client.Verification) {
	for _, v := range list {
		differs := v.Differs()
		verdict := "the same"
		if !v.Same() {
			verdict = "differs"
		}
		if v.OtherConverter() {
			verdict += fmt.Sprintf(" (made by version %d of the converter, which is another than this one's)", v.Converter)
		}
		fmt.Fprintf(w, "%s %s: %s\n", v.Artifact, v.Format, verdict)
		for _, f := range differs {
			fmt.Fprintf(w, "  %s: it is %s, and should be %s\n", f.Name, f.Digest, f.Rendered)
		}
		if len(differs) == 0 && !v.Same() {
			fmt.Fprintf(w, "  its files are the same, but its manifest says something else of them: it should be %s\n", v.Manifest)
		}
	}
}
