package access

import (
	"fmt"

	"go.yaml.in/yaml/v4"
)

// Parse reads a configuration in YAML. Keys that are not known are refused, and
// so is an empty file: one that was cut short must not let everybody in.
func Parse(content []byte) (Config, error) {
	var c Config
	if err := yaml.Load(content, &c, yaml.WithKnownFields(true)); err != nil {
		return Config{}, fmt.Errorf("access: %w", err)
	}
	return c, nil
}
