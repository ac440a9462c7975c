package cloudlet

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the reference in docs/ anew")

// The reference stands between these lines of a page.
const (
	referenceBegins = "<!-- The reference is generated from the schema. -->\n"
	referenceEnds   = "<!-- The reference ends. -->\n"
)

// fillReference returns a page with the reference of a schema in its place.
func fillReference(page, schema []byte) ([]byte, error) {
	before, rest, ok := bytes.Cut(page, []byte(referenceBegins))
	_, after, ok2 := bytes.Cut(rest, []byte(referenceEnds))
	if !ok || !ok2 {
		return nil, fmt.Errorf("the page has no place for the reference: expected the line %q", referenceBegins)
	}
	value, err := decode(schema, MaxManifestSize, "schema")
	if err != nil {
		return nil, err
	}
	r := reference{root: value.(object), order: propertyOrder(schema)}
	r.table("", value.(object))
	return slices.Concat(before, []byte(referenceBegins), []byte(r.text.String()), []byte(referenceEnds), after), nil
}

func comparePage(t *testing.T, page string, got, want []byte) {
	t.Helper()
	if *update {
		if err := os.WriteFile(page, want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what the schema says: go test ./image/cloudlet -run %s -update", page, t.Name())
	}
}

// reference writes one table for each object of a schema.
type reference struct {
	root  object
	order []string // all keys of the schema, as they stand in it
	text  strings.Builder
}

func (r *reference) table(path string, o object) {
	properties := r.properties(o)
	if len(properties) == 0 {
		return
	}
	if path != "" {
		fmt.Fprintf(&r.text, "\n### `%s`\n", path)
	}
	r.text.WriteString("\n| field | type | meaning |\n|---|---|---|\n")
	required, _ := o["required"].([]any)
	for _, name := range r.sorted(properties) {
		r.row(name, r.resolved(properties[name]), slices.Contains(required, any(name)))
	}
	for _, name := range r.sorted(properties) {
		p := r.resolved(properties[name])
		at := strings.TrimPrefix(path+"."+name, ".")
		r.table(at, p)
		if items, ok := p["items"].(object); ok {
			r.table(at+"[]", r.resolved(items))
		}
	}
}

func (r *reference) properties(o object) object {
	properties, _ := o["properties"].(object)
	return properties
}

// resolved returns a schema with what it refers to.
func (r *reference) resolved(value any) object {
	o := value.(object)
	ref, ok := o["$ref"].(string)
	if !ok {
		return o
	}
	target, _ := lookup(r.root, strings.Split(strings.TrimPrefix(ref, "#/"), "/"))
	merged := clone(target).(object)
	for key, value := range o {
		if both, ok := merged[key].(object); ok && key == "properties" {
			for name, p := range value.(object) {
				both[name] = p
			}
			continue
		}
		merged[key] = value
	}
	return merged
}

func (r *reference) sorted(properties object) []string {
	var names []string
	for _, name := range r.order {
		if _, ok := properties[name]; ok && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

func (r *reference) row(name string, p object, required bool) {
	meaning, _ := p["description"].(string)
	if required {
		meaning += " Required."
	}
	if value, ok := p["default"]; ok {
		meaning += " Default: `" + compact(value) + "`."
	}
	if examples, ok := p["examples"].([]any); ok {
		var shown []string
		for _, e := range examples {
			shown = append(shown, "`"+compact(e)+"`")
		}
		meaning += " Example: " + strings.Join(shown, ", ") + "."
	}
	fmt.Fprintf(&r.text, "| `%s` | %s | %s |\n", name, r.typeOf(p), strings.ReplaceAll(strings.TrimSpace(meaning), "|", "\\|"))
}

func (r *reference) typeOf(p object) string {
	if values, ok := p["enum"].([]any); ok {
		var names []string
		for _, v := range values {
			names = append(names, "`"+v.(string)+"`")
		}
		return strings.Join(names, ", ")
	}
	kind, _ := p["type"].(string)
	if items, ok := p["items"].(object); ok {
		return "list of " + r.typeOf(r.resolved(items)) + "s"
	}
	if kind == "" {
		return "object"
	}
	return kind
}

func compact(value any) string {
	text, err := marshal(value)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// propertyOrder returns the keys of a document as they stand in it.
func propertyOrder(document []byte) []string {
	d := json.NewDecoder(bytes.NewReader(document))
	var keys []string
	for token, err := d.Token(); err == nil; token, err = d.Token() {
		if key, ok := token.(string); ok {
			keys = append(keys, key)
		}
	}
	return keys
}
