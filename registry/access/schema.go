package access

import (
	"reflect"

	"github.com/cloudlets/cloudlets/config"
)

// Schema returns the JSON schema of the file that [Parse] reads.
func Schema() ([]byte, error) {
	return config.SchemaOf(reflect.TypeFor[Config](), "Who may do what in a cloudlets registry")
}
