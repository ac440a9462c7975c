package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/cloudlets/cloudlets/config"
)

// configVariable names the configuration file in the environment.
const configVariable = "CLOUDLETS_CONFIG"

// What `cloudlets config` prints.
const (
	configSchema  = "schema"
	configExample = "example"
)

func newConfig() *cobra.Command {
	return &cobra.Command{
		Use:   "config WHAT",
		Short: "Print what the server's configuration file may hold",
		Long: `Print what the configuration file of cloudlets serve may hold. WHAT is schema,
for its JSON schema, or example, for a file with every key at its default.`,
		Example: `  cloudlets config example > cloudlets.yaml
  cloudlets serve --config cloudlets.yaml`,
		Args: exactly("WHAT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			out := cmd.OutOrStdout()
			switch args[0] {
			case configExample:
				fmt.Fprint(out, config.Example())
				return nil
			case configSchema:
				schema, err := config.Schema()
				if err != nil {
					return err
				}
				fmt.Fprint(out, string(schema))
				return nil
			}
			return usageError{fmt.Errorf("expected %s or %s, found %q", configSchema, configExample, args[0])}
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
