package template

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Template is a file of an image that is rendered when the image is configured.
type Template struct {
	// Path is its place in the rootfs. Only errors use it.
	Path string
	// Text is the file's content. Bytes outside of tags need no encoding.
	Text []byte
}

// Scope is what templates see, each as a variable of the field's name in lower
// case, and all of them in the object locals. An empty field is an empty object.
type Scope struct {
	Args     json.RawMessage
	DNS      json.RawMessage
	IP       json.RawMessage
	Manifest json.RawMessage
	Env      json.RawMessage

	// Secrets are values, among those above, that no error may show. Wherever a
	// run of four bytes of one (or all of it, if shorter) stands in the text of a
	// thrown value, asterisks take its place. A template that disguises a secret
	// before it throws it can still show it.
	Secrets []string
}

// variables are the names in scope, in the order of the fields of Scope.
var variables = [...]string{"args", "dns", "ip", "manifest", "env"}

// object returns the scope as one JSON object of the variables.
func (s Scope) object() ([]byte, error) {
	var b strings.Builder
	separator := "{"
	for i, value := range []json.RawMessage{s.Args, s.DNS, s.IP, s.Manifest, s.Env} {
		if len(value) == 0 {
			value = json.RawMessage("{}")
		}
		if !json.Valid(value) {
			return nil, fmt.Errorf("the variable %s of the templates is not valid JSON", variables[i])
		}
		fmt.Fprintf(&b, "%s%q:%s", separator, variables[i], value)
		separator = ","
	}
	b.WriteString("}")
	return []byte(b.String()), nil
}
