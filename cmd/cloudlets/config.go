package main

import (
	"os"

	"github.com/spf13/cobra"

	"github.com/cloudlets/cloudlets/config"
	"github.com/cloudlets/cloudlets/registry/access"
)

// configVariable names the configuration file in the environment.
const configVariable = "CLOUDLETS_CONFIG"

// newServerConfig returns the commands that print what the server's configuration
// may hold.
func newServerConfig() []*cobra.Command {
	printer := func(use, short string, describe func() ([]byte, error)) *cobra.Command {
		return &cobra.Command{
			Use: use, Short: short, Args: exactly(),
			RunE: func(cmd *cobra.Command, _ []string) error {
				text, err := describe()
				if err == nil {
					_, err = cmd.OutOrStdout().Write(text)
				}
				return err
			},
		}
	}
	return []*cobra.Command{
		printer("example", "Print a configuration file for serve, with every key at its default",
			func() ([]byte, error) { return []byte(config.Example()), nil }),
		printer("schema", "Print the JSON schema of the configuration file of serve", config.Schema),
		printer("access-schema", "Print the JSON schema of the file that serve --access names", access.Schema),
	}
}

// registerConfig adds a flag for every key to a command, and returns how to read
// the configuration once the flags are parsed.
func registerConfig(cmd *cobra.Command) (load func() (*config.Config, error)) {
	flags := cmd.Flags()
	file := flags.String("config", "", "YAML file to read the configuration from (or "+configVariable+")")
	for _, f := range config.Fields() {
		if f.Bool() {
			flags.Bool(f.Flag(), f.Default == "true", f.Help)
			continue
		}
		flags.String(f.Flag(), f.Default, f.Help)
	}
	return func() (*config.Config, error) {
		path := *file
		if !flags.Changed("config") {
			path = os.Getenv(configVariable)
		}
		return config.Load(config.Sources{File: path, Getenv: os.LookupEnv, Flag: func(name string) (string, bool) {
			return flags.Lookup(name).Value.String(), flags.Changed(name)
		}})
	}
}

// storeOf returns where a configured server keeps what it has.
func storeOf(c *config.Config) storeFlags {
	at := storeFlags{data: c.Data, database: c.Database.Reveal(), s3: c.S3}
	if at.data == "" {
		at.data = defaultData()
	}
	return at
}
