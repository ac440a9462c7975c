package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/cloudlets/cloudlets/client"
	"github.com/cloudlets/cloudlets/image/cloudlet"
)

// manifestFlag is the flag of all commands that take an image for its cloudlet
// manifest.
type manifestFlag struct{ file string }

const manifestHelp = `With --manifest the cloudlet manifest is read from a file and not from the image,
and IMAGE may be left out.`

func (f *manifestFlag) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.file, "manifest", "", "file with the cloudlet manifest, instead of the image's own")
}

// args checks the arguments of a command that takes an image first.
func (f *manifestFlag) args(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if f.file != "" && len(args) == len(names)-1 {
			return nil
		}
		return exactly(names...)(cmd, args)
	}
}

// open opens the image that a command was given, or returns nil where it was
// given none, and what its cloudlet manifest says as it was written.
func (f *manifestFlag) open(g *globals, cmd *cobra.Command, images []string) (i *client.Image, raw []byte, err error) {
	if len(images) > 0 {
		if i, err = openImage(g, cmd, images[0], false); err != nil {
			return nil, nil, err
		}
	}
	if f.file != "" {
		raw, err = readManifestFile(f.file)
	} else {
		raw, err = i.ManifestFile(cmd.Context())
	}
	if err == nil && raw == nil {
		raw = []byte("{}\n")
	}
	if err != nil && i != nil {
		err = errors.Join(err, i.Close())
	}
	return i, raw, err
}

// parse returns the cloudlet manifest of the image that a command was given.
func (f *manifestFlag) parse(g *globals, cmd *cobra.Command, images []string) (*cloudlet.Manifest, error) {
	i, raw, err := f.open(g, cmd, images)
	if err != nil {
		return nil, err
	}
	if i != nil {
		err = i.Close()
	}
	m, parseErr := cloudlet.ParseManifest(raw)
	return m, errors.Join(parseErr, err)
}

func readManifestFile(path string) ([]byte, error) {
	return readLimited(path, cloudlet.MaxManifestSize)
}

// readLimited reads a file, of which one byte more than the limit is enough to
// refuse it.
func readLimited(path string, limit int64) (raw []byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return io.ReadAll(io.LimitReader(f, limit+1))
}

func newManifest(g *globals) *cobra.Command {
	var flag manifestFlag
	var upgrade bool
	cmd := &cobra.Command{
		Use:   "manifest IMAGE",
		Short: "Print the cloudlet manifest of an image",
		Long: `Print the cloudlet manifest of an image, as it was written. With --upgrade it is
printed in the present form, whichever it was written in: format 0.0.4, or
arguments in an older draft of JSON schema.

` + imageHelp + "\n\n" + manifestHelp,
		Example: `  cloudlets manifest ./rootfs --upgrade`,
		Args:    flag.args("IMAGE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			i, raw, err := flag.open(g, cmd, args)
			if err != nil {
				return err
			}
			if i != nil {
				defer func() { _ = i.Close() }()
			}
			if !upgrade {
				_, err := cmd.OutOrStdout().Write(raw)
				return err
			}
			return printUpgraded(cmd.OutOrStdout(), raw)
		},
	}
	flag.register(cmd)
	cmd.Flags().BoolVar(&upgrade, "upgrade", false, "print the present form")
	return cmd
}

func printUpgraded(w io.Writer, raw []byte) error {
	m, err := cloudlet.ParseManifest(raw)
	if err != nil {
		return err
	}
	if m, err = m.Upgrade(); err != nil {
		return err
	}
	data, err := m.MarshalJSON()
	if err != nil {
		return err
	}
	return printIndented(w, data)
}

// printIndented prints JSON for people.
func printIndented(w io.Writer, data []byte) error {
	var b bytes.Buffer
	if err := json.Indent(&b, data, "", "  "); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w, b.String())
	return err
}
