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

// schemaDialect names the version of JSON schemas.
const schemaDialect = "https://json-schema.org/draft/2020-12/schema"

// schema is a JSON schema, as far as it is needed here.
type schema struct {
	Schema      string             `json:"$schema,omitempty"`
	Title       string             `json:"title,omitempty"`
	Description string             `json:"description,omitempty"`
	Type        string             `json:"type,omitempty"`
	Default     any                `json:"default,omitempty"`
	Enum        []string           `json:"enum,omitempty"`
	Pattern     string             `json:"pattern,omitempty"`
	Properties  map[string]*schema `json:"properties,omitempty"`
	Required    []string           `json:"required,omitempty"`
	Items       *schema            `json:"items,omitempty"`
	Additional  any                `json:"additionalProperties,omitempty"` // false, or a schema
}

func objectSchema() *schema {
	return &schema{Type: "object", Properties: map[string]*schema{}, Additional: false}
}

// schemaOf returns the schema of an object with fields.
func schemaOf(fields []Field) *schema {
	root := objectSchema()
	for _, f := range fields {
		at := root
		for _, part := range f.Path[:len(f.Path)-1] {
			if at.Properties[part] == nil {
				at.Properties[part] = objectSchema()
			}
			at = at.Properties[part]
		}
		name := f.Path[len(f.Path)-1]
		at.Properties[name] = f.schema()
		if f.Required {
			at.Required = append(at.Required, name)
		}
	}
	return root
}

// Schema returns the JSON schema of the file.
func Schema() ([]byte, error) {
	root := schemaOf(Fields())
	root.Schema = schemaDialect
	root.Title = "Configuration of cloudlets serve"
	b, err := json.MarshalIndent(root, "", "  ")
	return append(b, '\n'), err
}

func (f Field) schema() *schema {
	s := &schema{Type: "string", Description: f.Help, Enum: f.Enum}
	if f.Default != "" {
		s.Default = f.Default
	}
	switch {
	case f.FromFile:
	case f.list():
		s.Type, s.Items = "array", schemaOf(f.items())
	case f.texts():
		s.Type, s.Enum, s.Items = "array", nil, &schema{Type: "string", Enum: f.Enum}
	case f.typ == secretsType:
		s.Type, s.Additional = "object", &schema{Type: "string"}
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
	writeExample(&b, Fields(), "")
	return b.String()
}

// writeExample writes fields, each line after a prefix. The form of a list's items
// is written as a comment.
func writeExample(b *strings.Builder, fields []Field, prefix string) {
	var section string
	for _, f := range fields {
		if f.FromFile {
			continue
		}
		fmt.Fprintln(b, strings.TrimRight(prefix, " "))
		indent := prefix
		if len(f.Path) > 1 {
			indent += "  "
			if f.Path[0] != section {
				fmt.Fprintf(b, "%s%s:\n", prefix, f.Path[0])
			}
		}
		section = f.Path[0]
		fmt.Fprintf(b, "%s# %s.%s\n%s%s: %s\n", indent, f.Help, f.remark(), indent, f.Path[len(f.Path)-1], f.exampleValue())
		if f.list() {
			fmt.Fprintf(b, "%s# Each has the form:\n%s#   -\n", indent, indent)
			writeExample(b, f.items(), indent+"#     ")
		}
	}
}

// exampleValue returns the default as it stands in a file.
func (f Field) exampleValue() string {
	switch {
	case f.list(), f.texts():
		return "[]"
	case f.typ == secretsType:
		return "{}"
	case f.Default == "" || f.typ.Kind() == reflect.String:
		return strconv.Quote(f.Default)
	}
	return f.Default
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
		f.writeRow(&b, f.Key(), "`--"+f.Flag()+"`", "`"+f.Env()+"`", f.Reloadable)
		if !f.list() {
			continue
		}
		for _, item := range f.items() {
			item.writeRow(&b, f.Key()+"[]."+item.Key(), "", "", f.Reloadable)
		}
	}
	return b.String()
}

func (f Field) writeRow(b *strings.Builder, key, flag, variable string, reloadable bool) {
	reload, value := "", f.Default
	if reloadable {
		reload = "yes"
	}
	if value != "" {
		value = "`" + value + "`"
	}
	help := f.Help
	if len(f.Enum) > 0 {
		help += ": " + strings.Join(f.Enum, ", ")
	}
	fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s | %s |\n", key, flag, variable, value, reload, help)
}
