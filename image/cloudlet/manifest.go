package cloudlet

import (
	_ "embed" // the schema
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/cloudlets/cloudlets/image/pattern"
)

// MaxManifestSize bounds a cloudlet manifest, in bytes.
const MaxManifestSize = 1 << 20

// reservedDirectory is the image format's own.
const reservedDirectory = "/.cloudlet"

// Manifest is a cloudlet manifest. The zero value is that of an image without
// one. What is written of it is the present form: see [Manifest.Upgrade] for args.
type Manifest struct {
	Name        string `json:"name,omitempty"`
	Description string `json:"description,omitempty"`
	Author      string `json:"author,omitempty"`
	Arch        string `json:"arch,omitempty"`

	// Args is a JSON schema of the arguments a user gives at render time, as it
	// stands in the manifest: perhaps only its properties, or of an old draft.
	Args json.RawMessage `json:"args,omitempty"`
	// Templates are the absolute paths of the files that are rendered with them.
	Templates []string `json:"templates,omitempty"`
	// Persistent are absolute paths whose content outlives an upgrade, and that
	// of what is in them.
	Persistent []string `json:"persistent,omitempty"`
	// Volatile are expressions, as in Python, of paths that are left out of
	// outputs, each matched at the start of the absolute path.
	Volatile []string `json:"volatile,omitempty"`
	// Entrypoints say how the image can be started, by kind.
	Entrypoints map[string]*Entrypoint `json:"entrypoints,omitempty"`

	Type            string `json:"type,omitempty"`            // the image type
	ContainerFormat string `json:"containerFormat,omitempty"` // what the image is packed in

	// Unknown are the fields that this version does not know, as they stand.
	Unknown map[string]json.RawMessage `json:"-"`

	persistent []string
	volatile   []*pattern.Pattern
	args       *argsSchema
}

//go:embed manifest.schema.json
var manifestSchema []byte

// ManifestSchema returns the JSON schema (draft 2020-12) of cloudlet manifests.
func ManifestSchema() []byte { return slices.Clone(manifestSchema) }

// compiledManifestSchema is made once: nothing changes it.
var compiledManifestSchema = sync.OnceValues(func() (*jsonschema.Schema, error) {
	document, err := decode(manifestSchema, MaxManifestSize, "schema of cloudlet manifests")
	if err != nil {
		return nil, err
	}
	return compileSchema(document, new(patternErrors))
})

// ParseManifest reads a cloudlet manifest of this format or of format 0.0.4 and
// checks it. Where it is not valid, the error wraps [Problems].
func ParseManifest(data []byte) (*Manifest, error) {
	value, err := decode(data, MaxManifestSize, "cloudlet manifest")
	if err != nil {
		return nil, err
	}
	fields, ok := value.(object)
	if !ok {
		return nil, fmt.Errorf("the cloudlet manifest is not valid: %w",
			Problems{{Value: show(value), Rule: "expected a JSON object"}})
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(data, &raw); err != nil {
		return nil, fmt.Errorf("the cloudlet manifest is not valid JSON: %w", err)
	}
	m, err := newManifest(present(fields), raw)
	if err != nil {
		return nil, fmt.Errorf("the cloudlet manifest is not valid: %w", err)
	}
	return m, nil
}

// newManifest makes a manifest of its fields in the present form. raw are the
// fields as they were written.
func newManifest(fields object, raw map[string]json.RawMessage) (*Manifest, error) {
	schema, err := compiledManifestSchema()
	if err != nil {
		return nil, err
	}
	var problems Problems
	if err := schema.Validate(fields); err != nil {
		problems = explain(err, fields, nothingSecret{})
		return nil, problems.orNil()
	}
	m := new(Manifest)
	if err := m.fill(fields, raw); err != nil {
		return nil, err
	}
	m.checkPaths("templates", m.Templates, &problems)
	m.checkPaths("persistent", m.Persistent, &problems)
	m.compileVolatile(&problems)
	if args, ok := fields["args"].(object); ok {
		m.args = newArgsSchema(args, &problems)
	}
	return m, problems.orNil()
}

// fill sets the fields of a manifest that keeps to the schema.
func (m *Manifest) fill(fields object, raw map[string]json.RawMessage) error {
	known := object{}
	m.Unknown = make(map[string]json.RawMessage)
	for key, value := range raw {
		switch {
		case slices.Contains(knownFields, key):
			if v, ok := fields[key]; ok {
				known[key] = v
			}
		case !slices.Contains(oldEntrypoints, key) || raw["entrypoints"] != nil:
			m.Unknown[key] = value
		}
	}
	known["entrypoints"] = fields["entrypoints"]
	if fields["args"] != nil {
		known["args"] = raw["args"]
	}
	data, err := marshal(known)
	if err != nil {
		return err
	}
	type plain Manifest
	return json.Unmarshal(data, (*plain)(m))
}

// knownFields are the fields of a manifest, in the order they are written in.
var knownFields = []string{
	"name", "description", "author", "arch", "type", "containerFormat", "args", "templates", "persistent", "volatile", "entrypoints",
}

// MarshalJSON writes the known fields in their order and then the others,
// sorted by name.
func (m Manifest) MarshalJSON() ([]byte, error) {
	type plain Manifest
	data, err := marshal(plain(m))
	if err != nil {
		return nil, err
	}
	return mergeFields(data, m.Unknown, knownFields)
}

// UnmarshalJSON does what [ParseManifest] does.
func (m *Manifest) UnmarshalJSON(data []byte) error {
	parsed, err := ParseManifest(data)
	if err == nil {
		*m = *parsed
	}
	return err
}

// mergeFields adds unknown fields to a JSON object. Fields come in the order
// that is given, and the others by name.
func mergeFields(data []byte, unknown map[string]json.RawMessage, order []string) ([]byte, error) {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, err
	}
	maps.Copy(all, unknown)
	var b strings.Builder
	b.WriteByte('{')
	write := func(key string) error {
		name, err := marshal(key)
		if err != nil {
			return err
		}
		value, err := marshal(all[key])
		if err != nil {
			return err
		}
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		b.Write(name)
		b.WriteByte(':')
		b.Write(value)
		delete(all, key)
		return nil
	}
	for _, key := range slices.Concat(order, slices.Sorted(maps.Keys(all))) {
		if _, ok := all[key]; !ok {
			continue
		}
		if err := write(key); err != nil {
			return nil, err
		}
	}
	b.WriteByte('}')
	return []byte(b.String()), nil
}

// checkPaths checks what a schema cannot say of paths.
func (m *Manifest) checkPaths(field string, paths []string, problems *Problems) {
	for i, p := range paths {
		at := fmt.Sprintf("/%s/%d", field, i)
		clean := path.Clean(p)
		switch {
		case strings.ContainsRune(p, 0):
			problems.add(at, p, "a path holds no NUL")
		case slices.Contains(strings.Split(p, "/"), ".."):
			problems.add(at, p, `a path holds no ".." between slashes: write where it leads`)
		case field == "templates" && clean == "/":
			problems.add(at, p, "a template is a file")
		case clean == reservedDirectory || strings.HasPrefix(clean, reservedDirectory+"/"):
			problems.add(at, p, "%s is reserved", reservedDirectory)
		}
		if field == "persistent" {
			m.persistent = append(m.persistent, strings.TrimSuffix(clean, "/"))
		}
	}
}

func (m *Manifest) compileVolatile(problems *Problems) {
	for i, expr := range m.Volatile {
		p, err := pattern.Compile(expr, pattern.Python)
		if err != nil {
			problems.add(fmt.Sprintf("/volatile/%d", i), nil, "%v: expected a regular expression as in Python", err)
			continue
		}
		m.volatile = append(m.volatile, p)
	}
}

// HasVolatile reports whether any path can be volatile.
func (m *Manifest) HasVolatile() bool { return len(m.volatile) > 0 }

// Upgrade returns the manifest with all of it in the present form: args is a
// whole schema of the draft 2020-12, by the letter.
func (m *Manifest) Upgrade() (*Manifest, error) {
	upgraded := *m
	if m.args != nil {
		args, err := marshal(m.args.root)
		if err != nil {
			return nil, err
		}
		upgraded.Args = args
	}
	data, err := marshal(upgraded)
	if err != nil {
		return nil, err
	}
	return ParseManifest(data)
}
