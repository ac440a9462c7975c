package config

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// list says whether the field is a list of objects.
func (f Field) list() bool {
	return f.typ.Kind() == reflect.Slice && f.typ.Elem().Kind() == reflect.Struct
}

// texts says whether the field is a list of texts.
func (f Field) texts() bool {
	return f.typ.Kind() == reflect.Slice && f.typ.Elem().Kind() == reflect.String
}

// structured says whether the field takes more than a single value. As a flag or
// a variable its text is YAML, of which JSON is a part.
func (f Field) structured() bool { return f.typ == secretsType || f.list() || f.texts() }

// items returns the fields of each object of a list.
func (f Field) items() []Field { return fieldsOf(f.typ.Elem(), nil, nil) }

// setText sets a structured field from YAML, or from a file that holds it. An
// empty text empties it.
func (f Field) setText(root reflect.Value, text string) error {
	if strings.TrimSpace(text) == "" {
		root.FieldByIndex(f.index).SetZero()
		return nil
	}
	content, path := []byte(text), ""
	if f.FromFile {
		var err error
		path = text
		if content, err = readFile(path); err != nil {
			return fmt.Errorf("read secrets: %w", err)
		}
	}
	node, err := parse(content)
	if err != nil || len(node.Content) != 1 {
		return errors.Join(fmt.Errorf("expected YAML, found %d documents", len(node.Content)), err)
	}
	d := newDocument(root, nil, path, "")
	d.structure(f, "", node.Content[0])
	return errors.Join(d.errs...)
}

// structure sets a structured field from a node.
func (d *document) structure(f Field, key string, n *yaml.Node) {
	v := d.root.FieldByIndex(f.index)
	switch {
	case f.typ == secretsType:
		d.secrets(v, key, n)
	case n.Kind != yaml.SequenceNode:
		d.failf(n, key, "expected a list, found %s", describe(n))
	case f.list():
		d.objects(f, v, key, n)
	default:
		d.textList(f, v, key, n)
	}
}

func (d *document) objects(f Field, v reflect.Value, key string, n *yaml.Node) {
	fields := f.items()
	list := reflect.MakeSlice(f.typ, len(n.Content), len(n.Content))
	for i, item := range n.Content {
		element := newDocument(list.Index(i), fields, d.path, fmt.Sprintf("%s%s[%d].", d.prefix, key, i))
		if err := setDefaults(element.root, fields); err != nil {
			d.failf(item, key, "%w", err)
			return
		}
		element.section("", item)
		element.checkRequired(item)
		d.errs = append(d.errs, element.errs...)
	}
	if list.Len() == 0 {
		v.SetZero() // as if it had not been set
		return
	}
	v.Set(list)
}

// checkRequired refuses an object that lacks a value, unless something else is
// wrong with it.
func (d *document) checkRequired(n *yaml.Node) {
	if len(d.errs) > 0 {
		return
	}
	for key, f := range d.fields {
		if f.Required && d.root.FieldByIndex(f.index).IsZero() {
			d.failf(n, key, "expected a value, found none")
		}
	}
}

func (d *document) textList(f Field, v reflect.Value, key string, n *yaml.Node) {
	texts := make([]string, 0, len(n.Content))
	for i, item := range n.Content {
		at := fmt.Sprintf("%s[%d]", key, i)
		switch {
		case item.Kind != yaml.ScalarNode || item.Tag == "!!null":
			d.failf(item, at, "expected a single value, found %s", describe(item))
		case len(f.Enum) > 0 && !slices.Contains(f.Enum, item.Value):
			d.failf(item, at, "expected one of %s, found %q", strings.Join(f.Enum, ", "), item.Value)
		default:
			texts = append(texts, item.Value)
		}
	}
	v.Set(reflect.ValueOf(texts))
}

func (d *document) secrets(v reflect.Value, key string, n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		d.failf(n, key, "expected names with values, found %s", describe(n))
		return
	}
	secrets := Secrets{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		at := strings.TrimPrefix(key+"."+name.Value, ".")
		if _, twice := secrets[name.Value]; twice {
			d.failf(name, at, "expected once, found again")
			continue
		}
		if value.Kind != yaml.ScalarNode || value.Tag == "!!null" {
			d.failf(value, at, "expected a single value, found %s", describe(value))
			continue
		}
		secrets[name.Value] = NewSecret(value.Value)
	}
	v.Set(reflect.ValueOf(secrets))
}
