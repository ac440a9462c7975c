package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/cobra"

	"github.com/cloudlets/cloudlets/api"
	"github.com/cloudlets/cloudlets/client"
)

func newInspect(g *globals) *cobra.Command {
	var raw bool
	cmd := &cobra.Command{
		Use:   "inspect REFERENCE",
		Short: "Show what an image is, and what was rendered from it",
		Long: `Show what an image is: its platform, date, annotations and layers; what was
rendered from it, and what else refers to it, such as signatures. Of an index the
platform and the digest of each image are shown.

With --json the words are those of skopeo inspect where it has them.`,
		Example: `  cloudlets inspect localhost:5000/golden/debian:12
  cloudlets inspect localhost:5000/golden/debian:12 --json`,
		Args: exactly("REFERENCE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			repo, err := g.repository(cmd, args[0])
			if err != nil {
				return err
			}
			if raw {
				m, err := repo.Manifest(cmd.Context())
				if err != nil {
					return err
				}
				_, err = cmd.OutOrStdout().Write(m.Raw)
				return err
			}
			summary, err := repo.Inspect(cmd.Context())
			if err != nil {
				return err
			}
			return g.print(cmd, summary, func(w io.Writer) { printSummary(w, summary) })
		},
	}
	cmd.Flags().BoolVar(&raw, "raw", false, "print the manifest, byte for byte")
	return cmd
}

func printSummary(w io.Writer, s *client.Summary) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, value string) {
		if value != "" {
			fmt.Fprintf(t, "%s\t%s\n", name, value)
		}
	}
	row("Name", s.Name)
	row("Digest", s.Digest.String())
	row("MediaType", s.MediaType)
	row("ArtifactType", s.ArtifactType)
	row("ImageType", string(s.ImageType))
	row("ContainerFormat", string(s.ContainerFormat))
	row("Architecture", s.Architecture)
	row("Os", s.Os)
	if s.Created != nil {
		row("Created", s.Created.UTC().Format("2006-01-02 15:04:05 MST"))
	}
	if s.Subject != nil {
		row("Subject", s.Subject.Digest.String())
	}
	for _, key := range slices.Sorted(maps.Keys(s.Annotations)) {
		if key != api.AnnotationManifest && key != ocispec.AnnotationCreated { // too long; a row of its own
			row("Annotation", printable(key+"="+s.Annotations[key]))
		}
	}
	for _, m := range s.Manifests {
		row("Manifest", fmt.Sprintf("%s  %s", m.Digest, printable(client.PlatformName(m.Platform))))
	}
	for _, l := range s.Layers {
		row("Layer", fmt.Sprintf("%s  %s  %s", l.Digest, human(l.Size), l.MediaType))
	}
	for _, r := range s.Derived {
		row("Derived", fmt.Sprintf("%s  %s", r.Digest, r.ArtifactType))
	}
	for _, a := range s.Attached {
		row("Attached", fmt.Sprintf("%s  %s", a.Digest, a.Tag))
	}
	t.Flush()
}

// printable returns a text of others as it is, or quoted where it would do
// something to a terminal or take several lines.
func printable(text string) string {
	if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(text)
	}
	return text
}
