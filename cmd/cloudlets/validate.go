package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/cloudlets/cloudlets/image"
	"github.com/cloudlets/cloudlets/image/cloudlet"
)

// validity is the result of commands that validate, as JSON.
type validity struct {
	Valid    bool              `json:"valid"`
	Problems cloudlet.Problems `json:"problems"`
	// Configuration is what was validated, with defaults and without secrets.
	Configuration *cloudlet.Configuration `json:"configuration,omitempty"`
}

func newValidate(g *globals) *cobra.Command {
	var flag manifestFlag
	cmd := &cobra.Command{
		Use:   "validate IMAGE",
		Short: "Check the cloudlet manifest of an image",
		Long: `Check the cloudlet manifest of an image: that it keeps to the schema, that its
expressions and its arguments are sound, and that the files it names are in the
image. All problems are told at once, each with its place.

` + imageHelp + "\n\n" + manifestHelp,
		Example: `  cloudlets validate ./rootfs
  cloudlets validate --manifest manifest.json`,
		Args: flag.args("IMAGE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return printValidity(g, cmd, validity{}, flag.validate(g, cmd, args), "the cloudlet manifest is valid")
		},
	}
	flag.register(cmd)
	return cmd
}

// validate returns what is wrong with a cloudlet manifest and its image.
func (f *manifestFlag) validate(g *globals, cmd *cobra.Command, images []string) (err error) {
	i, raw, err := f.open(g, cmd, images)
	if err != nil {
		return err
	}
	m, err := cloudlet.ParseManifest(raw)
	if i == nil {
		if err == nil {
			err = asError(m.CheckDefaults())
		}
		return err
	}
	if err == nil {
		err = asError(image.Validate(i.Tree, m))
	}
	return errors.Join(err, i.Close())
}

func asError(problems cloudlet.Problems) error {
	if len(problems) == 0 {
		return nil
	}
	return problems
}

// printValidity prints the result of a validation, which failed where err is not
// nil. Problems are for standard output as JSON, and errors as all errors.
func printValidity(g *globals, cmd *cobra.Command, result validity, err error, valid string) error {
	result.Valid, result.Problems = err == nil, cloudlet.Problems{}
	known := errors.As(err, &result.Problems)
	if err != nil && (!known || !g.json) {
		return err
	}
	if err := g.print(cmd, result, func(w io.Writer) { fmt.Fprintln(w, valid) }); err != nil {
		return err
	}
	if !result.Valid {
		return errors.New("not valid")
	}
	return nil
}
