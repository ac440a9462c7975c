package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/cloudlets/cloudlets/config"
	"github.com/cloudlets/cloudlets/registry/access"
)

// configVariable names the configuration file in the environment.
const configVariable = "CLOUDLETS_CONFIG"

// What `cloudlets config` prints.
const (
	configSchema       = "schema"
	configExample      = "example"
	configAccessSchema = "access-schema"
)

func newConfig() *cobra.Command {
	return &cobra.Command{
		Use:   "config WHAT",
		Short: "Print what the server's configuration file may hold",
		Long: `Print what the configuration file of cloudlets serve may hold. WHAT is schema,
for its JSON schema, example, for a file with every key at its default, or
access-schema, for the JSON schema of the file that --access names.`,
		Example: `  cloudlets config example > cloudlets.yaml
  cloudlets serve --config cloudlets.yaml`,
		Args: exactly("WHAT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var text []byte
			var err error
			switch args[0] {
			case configExample:
				text = []byte(config.Example())
			case configSchema:
				text, err = config.Schema()
			case configAccessSchema:
				text, err = access.Schema()
			default:
				return usageError{fmt.Errorf("expected %s, %s or %s, found %q", configSchema, configExample, configAccessSchema, args[0])}
			}
			if err == nil {
				_, err = cmd.OutOrStdout().Write(text)
			}
			return err
		},
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
