package cloudlet

import (
	_ "embed" // the schema
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// MaxConfigurationSize bounds a configuration, in bytes.
const MaxConfigurationSize = 256 << 10

//go:embed configuration.schema.json
var configurationSchema []byte

// Configuration is what an image is rendered with: valid for its manifest, with
// all defaults. It does not print or marshal its secrets; [Configuration.Clear]
// alone gives them.
type Configuration struct {
	value   object
	secrets [][]string // paths of keys
}

// ConfigurationSchema returns the JSON schema (draft 2020-12) of configurations
// of the image: dns, ip, and args as the manifest has them.
func (m *Manifest) ConfigurationSchema() ([]byte, error) {
	schema, err := m.configurationSchema()
	if err != nil {
		return nil, err
	}
	return marshal(schema)
}

func (m *Manifest) configurationSchema() (object, error) {
	value, err := decode(configurationSchema, MaxManifestSize, "schema of configurations")
	if err != nil {
		return nil, err
	}
	schema, _ := value.(object)
	properties, _ := schema["properties"].(object)
	args := object{"type": "object", "additionalProperties": false}
	if m.args != nil {
		args = m.args.rebased("/properties/args")
	}
	properties["args"] = args
	// Missing arguments are told as such, not as a missing args.
	if required, _ := args["required"].([]any); len(required) > 0 {
		schema["required"] = []any{"args"}
	}
	return schema, nil
}

// HasSecrets reports whether the image takes secret arguments.
func (m *Manifest) HasSecrets() bool { return m.args != nil && m.args.reachesSecret(m.args.root) }

// ReadConfiguration reads a configuration as [Manifest.Configure] does.
func (m *Manifest) ReadConfiguration(r io.Reader) (*Configuration, error) {
	data, err := readAtMost(r, MaxConfigurationSize, "configuration")
	if err != nil {
		return nil, err
	}
	return m.Configure(data)
}

// Configure reads a configuration for the image, fills in the defaults and
// checks it. Where it is not valid, the error wraps [Problems]. No data is the
// empty configuration.
func (m *Manifest) Configure(data []byte) (*Configuration, error) {
	if len(data) == 0 {
		data = []byte("{}")
	}
	value, err := decode(data, MaxConfigurationSize, "configuration")
	if err != nil {
		return nil, err
	}
	schema, err := m.configurationSchema()
	if err != nil {
		return nil, err
	}
	// The schema of the whole is walked like that of arguments: both end.
	whole := &argsSchema{root: schema, anchors: anchorsOf(schema)}
	if value, err = fillConfiguration(whole, value); err != nil {
		return nil, err
	}
	if err := check(whole, value); err != nil {
		return nil, fmt.Errorf("the configuration is not valid: %w", err)
	}
	fields, _ := value.(object)
	return &Configuration{value: fields, secrets: whole.secrets(value)}, nil
}

// fillConfiguration fills in defaults. Without args there are those that have
// defaults, so that templates find all that the manifest promises.
func fillConfiguration(whole *argsSchema, value any) (any, error) {
	fields, ok := value.(object)
	if !ok {
		return value, nil
	}
	for _, part := range []string{"args", "dns", "ip"} {
		if _, given := fields[part]; !given {
			fields[part] = object{}
		}
	}
	f := filler{schema: whole, left: 4 * maxValues}
	filled := f.fill(whole.root, fields)
	if f.left < 0 {
		return nil, fmt.Errorf("the configuration has too many values with the defaults of the image: %d are the limit", 4*maxValues)
	}
	return filled, nil
}

// check returns all that is wrong with a configuration.
func check(whole *argsSchema, value any) error {
	failed := new(patternErrors)
	compiled, err := compileSchema(clone(whole.root), failed)
	if err != nil {
		return err
	}
	var problems Problems
	err = compiled.Validate(value)
	if failed.err != nil {
		return failed.err
	}
	if err != nil {
		problems = explain(err, value, whole)
		problems.suggest(whole)
	}
	checkNetwork(value, &problems)
	return problems.orNil()
}

// suggest tells which arguments there are where one is not known.
func (p Problems) suggest(whole *argsSchema) {
	args, _ := lookup(whole.root, []string{"properties", "args", "properties"})
	properties, _ := args.(object)
	names := slices.Sorted(maps.Keys(properties))
	for i, problem := range p {
		if problem.Rule == ruleMissing && isArgument(problem.Pointer) {
			p[i].Advice = "give this argument: the image has no default for it"
		}
		if problem.Rule != ruleUnknown || !isArgument(problem.Pointer) {
			continue
		}
		if len(names) == 0 {
			p[i].Advice = "the image takes no arguments"
			continue
		}
		p[i].Advice = "the image takes the arguments " + joinShort(names)
	}
}

// isArgument reports whether a pointer is that of an argument itself.
func isArgument(pointer string) bool {
	name, ok := strings.CutPrefix(pointer, "/args/")
	return ok && !strings.Contains(name, "/")
}

// joinShort joins names, of which it shows the first ones.
func joinShort(names []string) string {
	const shown = 20
	if len(names) > shown {
		names = append(slices.Clone(names[:shown]), "...")
	}
	return strings.Join(names, ", ")
}

// Clear returns the configuration in its canonical form with its secrets in
// clear: for templates, and for nothing that is kept or shown.
func (c *Configuration) Clear() ([]byte, error) { return marshal(c.value) }

// Value returns one part of the configuration (hostname, dns, ip, args) as
// decoded JSON with [json.Number], its secrets in clear. It must not be changed.
func (c *Configuration) Value(part string) any { return c.value[part] }

// Hostname returns the host name, or "".
func (c *Configuration) Hostname() string {
	name, _ := c.value["hostname"].(string)
	return name
}

// Secrets returns the JSON pointers of the secrets in the configuration.
func (c *Configuration) Secrets() []string {
	pointers := make([]string, 0, len(c.secrets))
	for _, keys := range c.secrets {
		pointers = append(pointers, pointer(keys))
	}
	slices.Sort(pointers)
	return pointers
}

// Redacted returns the configuration in its canonical form with "(secret)" in
// the place of each secret.
func (c *Configuration) Redacted() ([]byte, error) {
	return c.withSecrets(func([]string, any) (any, error) { return "(secret)", nil })
}

// withSecrets returns the canonical form with something in the place of secrets.
func (c *Configuration) withSecrets(instead func(keys []string, secret any) (any, error)) ([]byte, error) {
	copied := clone(c.value)
	for _, keys := range c.secrets {
		secret, _ := lookup(copied, keys)
		value, err := instead(keys, secret)
		if err != nil {
			return nil, err
		}
		holder, _ := lookup(copied, keys[:len(keys)-1])
		replace(holder, keys[len(keys)-1], value)
	}
	return marshal(copied)
}

func replace(holder any, key string, value any) {
	switch holder := holder.(type) {
	case object:
		holder[key] = value
	case []any:
		if i, ok := listIndex(key, len(holder)); ok {
			holder[i] = value
		}
	}
}

// MarshalJSON returns the redacted form.
func (c *Configuration) MarshalJSON() ([]byte, error) { return c.Redacted() }

// Format prints the redacted form, whatever the verb.
func (c *Configuration) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, c.redactedText()) }

// LogValue logs the redacted form.
func (c *Configuration) LogValue() slog.Value { return slog.StringValue(c.redactedText()) }

func (c *Configuration) redactedText() string {
	redacted, err := c.Redacted()
	if err != nil {
		return "(configuration)"
	}
	return string(redacted)
}

// members returns what is in an object or a list, with keys, in order.
func members(value any) iter.Seq2[string, any] {
	return func(yield func(string, any) bool) {
		switch value := value.(type) {
		case object:
			for _, key := range slices.Sorted(maps.Keys(value)) {
				if !yield(key, value[key]) {
					return
				}
			}
		case []any:
			for i, v := range value {
				if !yield(strconv.Itoa(i), v) {
					return
				}
			}
		}
	}
}

// CheckDefaults returns which defaults of the arguments are not valid.
func (m *Manifest) CheckDefaults() Problems {
	var problems Problems
	_, err := m.Configure(nil)
	if err == nil {
		return nil
	}
	if !errors.As(err, &problems) {
		return Problems{{Pointer: "/args", Rule: err.Error()}}
	}
	return slices.DeleteFunc(problems, func(p Problem) bool { return p.Rule == ruleMissing })
}
