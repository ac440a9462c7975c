package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/cloudlets/cloudlets/converter"
)

// formatLine is a format as it is listed.
type formatLine struct {
	Name        string   `json:"name"`
	Description string   `json:"description"`
	Types       []string `json:"types"`
	Compress    []string `json:"compress,omitempty"`
	Reads       bool     `json:"reads"`
	Needs       string   `json:"needs,omitempty"`
}

func newFormats(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "formats",
		Short: "List the formats that images are rendered into, and what they need",
		Long: `List the formats that images are rendered into: containers of disks, archives of
files, and what each provider takes, under its name. The types are what --type may
be, the first where it is not given; compress is what --compress may be. What a
provider needs of an image, lint looks for.`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			lines := formatLines()
			return g.print(cmd, lines, func(w io.Writer) { printFormats(w, lines) })
		},
	}
}

func formatLines() []formatLine {
	var lines []formatLine
	for _, f := range converter.Formats() {
		line := formatLine{Name: f.Name, Description: f.Description, Types: f.Types, Reads: f.Reads(), Needs: f.Needs}
		for _, c := range f.Compressions {
			line.Compress = append(line.Compress, c.Name)
		}
		lines = append(lines, line)
	}
	return lines
}

func printFormats(w io.Writer, lines []formatLine) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "FORMAT\tTYPES\tCOMPRESS\tREAD\tWHAT IT IS\tNEEDS")
	for _, l := range lines {
		read := ""
		if l.Reads {
			read = "yes"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", l.Name, strings.Join(l.Types, ","), strings.Join(l.Compress, ","), read, l.Description, l.Needs)
	}
	t.Flush()
}
