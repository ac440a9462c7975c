package cloudlet

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/cloudlets/cloudlets/image/pattern"
)

// argsSchema is the schema of an image's arguments, in the draft 2020-12. It
// refers to nothing but itself and is not recursive, so that following it ends.
type argsSchema struct {
	root    object
	anchors map[string]any
}

// maxSchemaSize bounds the schemas in a schema, each counted as often as it is
// referred to. It bounds the work that one value takes.
const maxSchemaSize = 4096

// forbidden are keywords that change where references lead, or that lead out.
var forbidden = []string{"$id", "$vocabulary", "$dynamicRef", "$dynamicAnchor", "$recursiveRef", "$recursiveAnchor"}

// newArgsSchema returns the schema that args means and adds what is wrong with
// it to the problems.
func newArgsSchema(args object, problems *Problems) *argsSchema {
	if name, ok := args["$schema"]; ok && !isKnownDraft(name) {
		problems.add("/args/$schema", name, "expected %s, or none", draft)
		return nil
	}
	root := presentSchema(args)
	s := &argsSchema{root: root, anchors: anchorsOf(root)}
	c := schemaChecker{schema: s, sizes: map[string]int{}}
	c.check(s.root, []string{"args"})
	if s.root["type"] != "object" {
		c.problems.add("/args/type", s.root["type"], `expected "object": arguments have names`)
	}
	if len(c.problems) == 0 {
		// The validator knows what else a schema must be.
		if _, err := compileSchema(clone(s.root), new(patternErrors)); err != nil {
			c.problems.add("/args", nil, "%v: expected a JSON schema of the draft 2020-12", err)
		}
	}
	*problems = append(*problems, c.problems...)
	return s
}

// anchorsOf returns the schemas in a schema that have a name.
func anchorsOf(root object) map[string]any {
	anchors := map[string]any{}
	for _, o := range eachSchema(root, nil) {
		if name, ok := o["$anchor"].(string); ok {
			anchors[name] = o
		}
	}
	return anchors
}

// isKnownDraft reports whether a schema's $schema names a draft of JSON schema.
func isKnownDraft(name any) bool {
	text, _ := name.(string)
	text = strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(text, "https://"), "http://"), "#")
	switch text {
	case "json-schema.org/draft/2020-12/schema", "json-schema.org/draft/2019-09/schema", "json-schema.org/schema",
		"json-schema.org/draft-07/schema", "json-schema.org/draft-06/schema", "json-schema.org/draft-04/schema",
		"json-schema.org/draft-03/schema", "json-schema.org/draft-02/schema", "json-schema.org/draft-01/schema":
		return true
	}
	return false
}

// Where a schema has schemas in it.
var (
	schemaKeys = []string{
		"not", "if", "then", "else", "items", "contains", "propertyNames", "additionalProperties", "unevaluatedItems", "unevaluatedProperties", "contentSchema",
	}
	schemaLists = []string{"allOf", "anyOf", "oneOf", "prefixItems"}
	schemaMaps  = []string{"properties", "patternProperties", "dependentSchemas", "$defs", "definitions"}
)

// children returns the schemas directly in a schema, with the keys that lead to
// them.
func children(o object) iter.Seq2[[]string, any] {
	return func(yield func([]string, any) bool) {
		for _, key := range schemaKeys {
			if sub, ok := o[key]; ok && !yield([]string{key}, sub) {
				return
			}
		}
		for _, key := range schemaLists {
			list, _ := o[key].([]any)
			for i, sub := range list {
				if !yield([]string{key, strconv.Itoa(i)}, sub) {
					return
				}
			}
		}
		for _, key := range schemaMaps {
			subs, _ := o[key].(object)
			for _, name := range slices.Sorted(maps.Keys(subs)) {
				if !yield([]string{key, name}, subs[name]) {
					return
				}
			}
		}
	}
}

// eachSchema returns a schema and all that are in it, with their keys.
func eachSchema(schema any, keys []string) iter.Seq2[string, object] {
	return func(yield func(string, object) bool) { walkSchemas(schema, keys, yield) }
}

func walkSchemas(schema any, keys []string, yield func(string, object) bool) bool {
	o, ok := schema.(object)
	if !ok {
		return true
	}
	if !yield(pointer(keys), o) {
		return false
	}
	for more, sub := range children(o) {
		if !walkSchemas(sub, append(keys[:len(keys):len(keys)], more...), yield) {
			return false
		}
	}
	return true
}

// resolve returns what a reference within the schema leads to.
func (s *argsSchema) resolve(ref string) (any, error) {
	fragment, ok := strings.CutPrefix(ref, "#")
	if !ok {
		return nil, fmt.Errorf("it leads out of the manifest: expected a reference within it, such as #/$defs/name")
	}
	if fragment == "" {
		return s.root, nil
	}
	path, ok := strings.CutPrefix(fragment, "/")
	if !ok {
		if schema, ok := s.anchors[fragment]; ok {
			return schema, nil
		}
		return nil, fmt.Errorf("there is no such anchor")
	}
	if strings.Contains(path, "%") {
		return nil, fmt.Errorf("it is written with %%: expected the keys as they are")
	}
	var keys []string
	for key := range strings.SplitSeq(path, "/") {
		keys = append(keys, strings.ReplaceAll(strings.ReplaceAll(key, "~1", "/"), "~0", "~"))
	}
	value, ok := lookup(s.root, keys)
	if !ok {
		return nil, fmt.Errorf("there is no such place")
	}
	switch value.(type) {
	case object, bool:
		return value, nil
	}
	return nil, fmt.Errorf("no schema is there")
}

// schemaChecker checks that following a schema ends, soon, and stays inside.
type schemaChecker struct {
	schema   *argsSchema
	problems Problems
	open     []string       // references that are being followed
	sizes    map[string]int // by reference, when followed
}

// check returns the size of a schema at a path of keys.
func (c *schemaChecker) check(schema any, keys []string) int {
	o, ok := schema.(object)
	if !ok || len(c.problems) > maxProblems {
		return 1
	}
	if len(keys) > maxNesting {
		c.problems.add(pointer(keys), nil, "at most %d schemas may be in each other", maxNesting)
		return 1
	}
	for _, key := range forbidden {
		if value, ok := o[key]; ok {
			c.problems.add(pointer(append(keys, key)), value, "%s is not supported in arguments: leave it out", key)
		}
	}
	c.checkPatterns(o, keys)
	size := 1
	for more, sub := range children(o) {
		size += c.check(sub, append(keys[:len(keys):len(keys)], more...))
	}
	if ref, ok := o["$ref"]; ok {
		size += c.follow(ref, append(keys[:len(keys):len(keys)], "$ref"))
	}
	if size > maxSchemaSize {
		c.problems = append(c.problems[:0], Problem{Pointer: "/args", Rule: fmt.Sprintf("the schema has at most %d schemas in it, those that are referred to counted each time", maxSchemaSize)})
		return 1
	}
	return size
}

func (c *schemaChecker) follow(ref any, keys []string) int {
	text, _ := ref.(string)
	if size, ok := c.sizes[text]; ok {
		return size
	}
	target, err := c.schema.resolve(text)
	if err != nil {
		c.problems.add(pointer(keys), ref, "%v", err)
		return 1
	}
	if slices.Contains(c.open, text) {
		c.problems.add(pointer(keys), ref, "the schema refers to itself: expected one that ends")
		return 1
	}
	c.open = append(c.open, text)
	size := c.check(target, keys)
	c.open = c.open[:len(c.open)-1]
	c.sizes[text] = size
	return size
}

func (c *schemaChecker) checkPatterns(o object, keys []string) {
	try := func(expr string, more ...string) {
		if _, err := pattern.Compile(expr, pattern.ECMAScript); err != nil {
			c.problems.add(pointer(append(keys, more...)), nil, "%v: expected a regular expression of JSON schema (ECMA-262)", err)
		}
	}
	if expr, ok := o["pattern"].(string); ok {
		try(expr, "pattern")
	}
	byPattern, _ := o["patternProperties"].(object)
	for expr := range byPattern {
		try(expr, "patternProperties", expr)
	}
}
