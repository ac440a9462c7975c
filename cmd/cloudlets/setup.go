package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cloudlets/cloudlets/client"
	"github.com/cloudlets/cloudlets/image/cloudlet"
)

// setupFlags are the flags of all commands that configure an image on this
// machine.
type setupFlags struct {
	manifestFlag
	config string
	env    []string
}

const configHelp = "the configuration: a file, - for the standard input, or the JSON itself"

func (f *setupFlags) register(cmd *cobra.Command) {
	f.registerWithoutConfig(cmd)
	cmd.Flags().StringVar(&f.config, "config", "", configHelp)
}

// registerWithoutConfig is register for commands whose configuration is an
// argument.
func (f *setupFlags) registerWithoutConfig(cmd *cobra.Command) {
	f.manifestFlag.register(cmd)
	cmd.Flags().StringArrayVarP(&f.env, "env", "e", nil, "NAME=VALUE for the environment that templates see, or NAME to pass it on; may be repeated")
}

// given reports whether any of the flags was, but for the configuration.
func (f *setupFlags) given() bool { return f.file != "" || len(f.env) > 0 }

// read returns what an image is configured with.
func (f *setupFlags) read(cmd *cobra.Command, i *client.Image) (s client.Setup, err error) {
	if s.Manifest, err = f.of(cmd, i); err != nil {
		return s, err
	}
	if s.Config, err = readConfig(cmd, f.config); err != nil {
		return s, err
	}
	s.Env, err = environment(f.env)
	return s, err
}

// of returns the cloudlet manifest of an image that is open.
func (f *manifestFlag) of(cmd *cobra.Command, i *client.Image) (*cloudlet.Manifest, error) {
	if f.file == "" {
		return i.CloudletManifest(cmd.Context())
	}
	raw, err := readManifestFile(f.file)
	if err != nil {
		return nil, err
	}
	m, err := cloudlet.ParseManifest(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.file, err)
	}
	return m, nil
}

// environment returns the variables that flags name.
func environment(given []string) (map[string]string, error) {
	env := make(map[string]string)
	for _, v := range given {
		name, value, ok := strings.Cut(v, "=")
		if name == "" {
			return nil, usageError{fmt.Errorf("--env %q: expected NAME=VALUE or NAME", v)}
		}
		if !ok {
			if value, ok = os.LookupEnv(name); !ok {
				continue
			}
		}
		env[name] = value
	}
	return env, nil
}

// tellUnused says which parts of a configuration have no effect.
func tellUnused(cmd *cobra.Command, unused []string) {
	for _, part := range unused {
		fmt.Fprintf(cmd.ErrOrStderr(), "note: the part %s of the configuration has no effect: no template of the image uses it\n", part)
	}
}
