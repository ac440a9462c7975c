package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/spf13/cobra"

	"github.com/cloudlets/cloudlets/api"
	"github.com/cloudlets/cloudlets/client"
	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/image/kind"
)

func newInspect(g *globals) *cobra.Command {
	var raw bool
	var disk diskFlags
	cmd := &cobra.Command{
		Use:   "inspect REFERENCE|DISK",
		Short: "Show what an image is and what was rendered from it, or what is on a disk",
		Long: `Show what an image is: its platform, date, annotations and layers; what was
rendered from it, and what else refers to it, such as signatures. Of an index the
platform and the digest of each image are shown.

With --json the words are those of skopeo inspect where it has them.

What exists as a file is taken for a disk, raw or in a container that is read:
its partition table is shown, and what is in each partition; of a file that leaves
content to a parent, the name that it has for that. Where files is yes,
cloudlets import --files can make an image of them.`,
		Example: `  cloudlets inspect localhost:5000/golden/debian:12
  cloudlets inspect localhost:5000/golden/debian:12 --json
  cloudlets inspect debian.vmdk`,
		Args: exactly("REFERENCE|DISK"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if info, err := os.Stat(args[0]); err == nil && !info.IsDir() {
				return inspectDisk(g, cmd, args[0], disk.file(kind.Kind{}))
			}
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
	disk.registerDisk(cmd)
	cmd.Flags().BoolVar(&raw, "raw", false, "print the manifest, byte for byte")
	return cmd
}

// inspectDisk shows what is on a disk.
func inspectDisk(g *globals, cmd *cobra.Command, path string, opening client.FileOptions) error {
	c, err := g.client(cmd)
	if err != nil {
		return err
	}
	d, err := c.OpenDisk(cmd.Context(), path, nil, opening)
	var over *container.ParentError
	if errors.As(err, &over) {
		return g.print(cmd, over, func(w io.Writer) {
			fmt.Fprintf(w, "a file that holds only what differs from its parent, %s\n", printable(over.Name))
		})
	}
	if err != nil {
		return err
	}
	return errors.Join(g.print(cmd, d, func(w io.Writer) { printDisk(w, d) }), d.Close())
}

func printDisk(w io.Writer, d *client.Disk) {
	fmt.Fprintf(w, "%s disk of %s, partition table %s %s\n", d.Format, human(d.Size), d.Table, d.ID)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NUMBER\tSTART\tSIZE\tTYPE\tNAME\tFILESYSTEM\tLABEL\tUUID\tFILES")
	for _, p := range d.Partitions {
		files := "no"
		if p.Files {
			files = "yes"
		}
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", p.Number, human(p.Start), human(p.Size),
			p.Type, printable(p.Name), p.Filesystem, printable(p.Label), printable(p.UUID), files)
	}
	t.Flush()
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

// plain returns a text of others, of any number of lines, without what would do
// something to a terminal.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) || r == '\n' || r == '\t' {
			return r
		}
		return unicode.ReplacementChar
	}, text)
}

// printable returns a text of others as it is, or quoted where it would do
// something to a terminal or take several lines.
func printable(text string) string {
	if strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) }) {
		return strconv.Quote(text)
	}
	return text
}
