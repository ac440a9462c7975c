package config

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

// SchemaOf returns the JSON schema of a YAML file that is decoded into a value of
// a type by its yaml tags, with keys that are not known refused. Tags named help
// say what the keys are for.
func SchemaOf(t reflect.Type, title string) ([]byte, error) {
	root, err := describeType(t)
	if err != nil {
		return nil, fmt.Errorf("describe %s: %w", t, err)
	}
	root.Schema, root.Title = schemaDialect, title
	b, err := json.MarshalIndent(root, "", "  ")
	return append(b, '\n'), err
}

// kindTypes are the types of JSON schemas.
var kindTypes = map[reflect.Kind]string{
	reflect.String: "string", reflect.Bool: "boolean", reflect.Int: "integer", reflect.Int64: "integer", reflect.Float64: "number",
}

func describeType(t reflect.Type) (*schema, error) {
	switch {
	case t == durationType:
		return &schema{Type: "string", Pattern: durationPattern}, nil
	case t.Kind() == reflect.Pointer:
		return describeType(t.Elem())
	case t.Kind() == reflect.Struct:
		return describeStruct(t)
	case t.Kind() == reflect.Slice:
		items, err := describeType(t.Elem())
		return &schema{Type: "array", Items: items}, err
	case t.Kind() == reflect.Map:
		values, err := describeType(t.Elem())
		return &schema{Type: "object", Additional: values}, err
	case kindTypes[t.Kind()] == "":
		return nil, fmt.Errorf("%s has no type in a JSON schema", t)
	}
	return &schema{Type: kindTypes[t.Kind()]}, nil
}

func describeStruct(t reflect.Type) (*schema, error) {
	object := objectSchema()
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		value, err := describeType(f.Type)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.Name, err)
		}
		value.Description = f.Tag.Get("help")
		object.Properties[name] = value
	}
	return object, nil
}
