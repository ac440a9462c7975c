package config

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
)

// durationPattern is what time.ParseDuration takes, above zero.
const durationPattern = `^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`

// schema is a JSON schema, as far as it is needed here
// (https://json-schema.org/draft/2020-12/schema).
type schema struct {
	Schema      string             `json:"$schema,omitempty"`
	Title       string             `json:"title,omitempty"`
	Description string             `json:"description,omitempty"`
	Type        string             `json:"type"`
	Default     any                `json:"default,omitempty"`
	Enum        []string           `json:"enum,omitempty"`
	Pattern     string             `json:"pattern,omitempty"`
	Properties  map[string]*schema `json:"properties,omitempty"`
	Additional  *bool              `json:"additionalProperties,omitempty"`
}

func objectSchema() *schema {
	return &schema{Type: "object", Properties: map[string]*schema{}, Additional: new(bool)}
}

// Schema returns the JSON schema of the file.
func Schema() ([]byte, error) {
	root := objectSchema()
	root.Schema = "https://json-schema.org/draft/2020-12/schema"
	root.Title = "Configuration of cloudlets serve"
	for _, f := range Fields() {
		at := root
		for _, part := range f.Path[:len(f.Path)-1] {
			if at.Properties[part] == nil {
				at.Properties[part] = objectSchema()
			}
			at = at.Properties[part]
		}
		at.Properties[f.Path[len(f.Path)-1]] = f.schema()
	}
	b, err := json.MarshalIndent(root, "", "  ")
	return append(b, '\n'), err
}

func (f Field) schema() *schema {
	s := &schema{Type: "string", Description: f.Help, Enum: f.Enum}
	if f.Default != "" {
		s.Default = f.Default
	}
	switch {
	case f.typ == durationType:
		s.Pattern = durationPattern
	case f.typ.Kind() == reflect.Bool:
		s.Type = "boolean"
		s.Default = f.Default == "true"
	case f.typ.Kind() == reflect.Int, f.typ.Kind() == reflect.Int64:
		s.Type = "integer"
		s.Default = json.Number(f.Default)
	}
	return s
}

// Example returns a file with every key at its default, and what it is for.
func Example() string {
	var b strings.Builder
	b.WriteString("# Configuration of cloudlets serve. Every key is at its default.\n")
	var section string
	for _, f := range Fields() {
		if f.FromFile {
			continue
		}
		indent := ""
		if len(f.Path) > 1 {
			indent = "  "
			if f.Path[0] != section {
				fmt.Fprintf(&b, "\n%s:", f.Path[0])
			}
		}
		section = f.Path[0]
		value := f.Default
		if value == "" || f.typ.Kind() == reflect.String {
			value = strconv.Quote(value)
		}
		fmt.Fprintf(&b, "\n%s# %s.%s\n%s%s: %s\n", indent, f.Help, f.remark(), indent, f.Path[len(f.Path)-1], value)
	}
	return b.String()
}

// remark tells of a field what its type does not.
func (f Field) remark() string {
	remark := ""
	if len(f.Enum) > 0 {
		remark = " One of " + strings.Join(f.Enum, ", ") + "."
	}
	if f.Reloadable {
		remark += " Can be reloaded."
	}
	return remark
}

// Table returns all keys as a table in Markdown.
func Table() string {
	var b strings.Builder
	b.WriteString("| key | flag | variable | default | reload | meaning |\n|---|---|---|---|---|---|\n")
	for _, f := range Fields() {
		reload, value := "", f.Default
		if f.Reloadable {
			reload = "yes"
		}
		if value != "" {
			value = "`" + value + "`"
		}
		help := f.Help
		if len(f.Enum) > 0 {
			help += ": " + strings.Join(f.Enum, ", ")
		}
		fmt.Fprintf(&b, "| `%s` | `--%s` | `%s` | %s | %s | %s |\n", f.Key(), f.Flag(), f.Env(), value, reload, help)
	}
	return b.String()
}
