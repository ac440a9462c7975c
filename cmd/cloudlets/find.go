package main

import (
	"bufio"
	"errors"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cloudlets/cloudlets/client"
	"github.com/cloudlets/cloudlets/image"
	"github.com/cloudlets/cloudlets/image/cloudlet"
)

const onlyHelp = "classes of paths, with commas between them: templates, persistent, volatile, other"

// onlyFlag is the flag of all commands that choose files by their classes.
type onlyFlag struct{ classes string }

func (f *onlyFlag) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.classes, "only", cloudlet.DefaultSelection.String(), onlyHelp)
}

func (f *onlyFlag) selection() (cloudlet.Selection, error) {
	s, err := cloudlet.ParseOnly(f.classes)
	if err != nil {
		return 0, usageError{err}
	}
	return s, nil
}

// foundPath is a path as JSON.
type foundPath struct {
	Path    string   `json:"path"`
	Classes []string `json:"classes"`
}

func newFind(g *globals) *cobra.Command {
	var manifest manifestFlag
	var only onlyFlag
	var zero bool
	end := map[bool]string{false: "\n", true: "\x00"}
	cmd := &cobra.Command{
		Use:   "find IMAGE",
		Short: "List the files of an image by their classes",
		Long: `List the files of an image by their classes: all but the volatile ones, unless
--only says otherwise. A path is in the classes that the cloudlet manifest gives
it, and in other where that is none.

With other among the classes, all paths are listed but those in a class that is
not named; without, those in a class that is.

` + imageHelp,
		Example: `  cloudlets find ./rootfs --only templates
  cloudlets find localhost:5000/golden/debian:12 --only persistent,volatile -0 | xargs -0 -n1 echo`,
		Args: exactly("IMAGE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			selection, err := only.selection()
			if err != nil {
				return err
			}
			return withImage(g, cmd, args[0], false, func(i *client.Image) error {
				m, err := manifest.of(cmd, i)
				if err != nil {
					return err
				}
				if g.json {
					return printFound(g, cmd, i.Tree, m, selection)
				}
				return writePaths(cmd.OutOrStdout(), i.Tree, m, selection, end[zero])
			})
		},
	}
	manifest.register(cmd)
	only.register(cmd)
	cmd.Flags().BoolVarP(&zero, "null", "0", false, "end each path with NUL, as paths may hold line ends")
	return cmd
}

// writePaths writes the paths of a selection, each with an end.
func writePaths(w io.Writer, t *image.Tree, m *cloudlet.Manifest, s cloudlet.Selection, end string) error {
	out := bufio.NewWriter(w)
	for found, err := range image.Select(t, m, s) {
		if err != nil {
			return errors.Join(out.Flush(), err)
		}
		if _, err := out.WriteString(found.Path + end); err != nil {
			return err
		}
	}
	return out.Flush()
}

func printFound(g *globals, cmd *cobra.Command, t *image.Tree, m *cloudlet.Manifest, s cloudlet.Selection) error {
	paths := []foundPath{}
	for found, err := range image.Select(t, m, s) {
		if err != nil {
			return err
		}
		paths = append(paths, foundPath{found.Path, strings.Split(found.Class.String(), ",")})
	}
	return g.print(cmd, paths, nil)
}
