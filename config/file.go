package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v4"
)

// document sets fields from a YAML file.
type document struct {
	root   reflect.Value
	path   string // of the file, for errors; empty where there is none
	prefix string // of the keys, for errors
	fields map[string]Field
	parts  map[string]bool // keys that hold further keys
	errs   []error
}

// applyFile sets what a YAML file has. Its errors name the file, the line and
// the key.
func applyFile(root reflect.Value, fields []Field, path string, content []byte) []error {
	d := newDocument(root, fields, path, "")
	node, err := parse(content)
	if err != nil {
		return []error{fmt.Errorf("%s: %w", path, err)}
	}
	for _, top := range node.Content {
		if top.Tag != "!!null" {
			d.section("", top)
		}
	}
	return d.errs
}

func newDocument(root reflect.Value, fields []Field, path, prefix string) *document {
	d := &document{root: root, path: path, prefix: prefix, fields: map[string]Field{}, parts: map[string]bool{}}
	for _, f := range fields {
		d.fields[f.Key()] = f
		for i := 1; i < len(f.Path); i++ {
			d.parts[strings.Join(f.Path[:i], ".")] = true
		}
	}
	return d
}

// parse reads the one document of a file, which may be empty.
func parse(content []byte) (yaml.Node, error) {
	var node, next yaml.Node
	loader, err := yaml.NewLoader(bytes.NewReader(content))
	if err != nil {
		return node, err
	}
	if err := loader.Load(&node); err != nil && !errors.Is(err, io.EOF) {
		return node, err
	}
	if err := loader.Load(&next); !errors.Is(err, io.EOF) {
		return node, errors.Join(errors.New("expected one document, found more"), err)
	}
	return node, nil
}

func (d *document) failf(n *yaml.Node, key, format string, args ...any) {
	if key = d.prefix + key; key != "" {
		key = strings.TrimSuffix(key, ".") + ": "
	}
	place := d.path + ":"
	if d.path == "" {
		place = "line "
	}
	d.errs = append(d.errs, fmt.Errorf("%s%d: %s%w", place, n.Line, key, fmt.Errorf(format, args...)))
}

// section sets what a mapping has.
func (d *document) section(prefix string, n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		d.failf(n, prefix, "expected keys with values, found %s", describe(n))
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		key := name.Value
		if prefix != "" {
			key = prefix + "." + key
		}
		if line, again := seen[key]; again {
			d.failf(name, key, "expected once, found before on line %d", line)
			continue
		}
		seen[key] = name.Line
		d.entry(key, name, value)
	}
	d.checkTwins(prefix, n, seen)
}

// entry sets what one key has.
func (d *document) entry(key string, name, value *yaml.Node) {
	f, known := d.fields[key]
	switch {
	case d.parts[key]:
		if value.Tag != "!!null" {
			d.section(key, value)
		}
	case !known:
		d.failf(name, key, "there is no such key: see cloudlets config example")
	case f.structured() && !f.FromFile:
		d.structure(f, key, value)
	case value.Kind != yaml.ScalarNode || value.Tag == "!!null":
		d.failf(value, key, "expected a single value, found %s", describe(value))
	default:
		if err := f.set(d.root, value.Value); err != nil {
			d.failf(value, key, "%w", err)
		}
	}
}

// checkTwins refuses a secret that is given twice.
func (d *document) checkTwins(prefix string, n *yaml.Node, seen map[string]int) {
	for key, line := range seen {
		if _, twice := seen[key+fileSuffix]; twice && d.fields[key+fileSuffix].FromFile {
			d.failf(n, prefix, "expected %s or %s%s, found both (line %d)", key, key, fileSuffix, line)
		}
	}
}

// describe says what a node is, without its value, which may be a secret.
func describe(n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "keys with values"
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case n.Kind == yaml.AliasNode:
		return "an alias"
	case n.Tag == "!!null":
		return "nothing"
	}
	return "a single value"
}
