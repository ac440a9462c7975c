package cloudlet

import (
	"slices"
	"strconv"
)

// rebased returns the schema as a part of another one at a JSON pointer.
func (s *argsSchema) rebased(base string) object {
	root, _ := clone(s.root).(object)
	for _, o := range eachSchema(root, nil) {
		ref, ok := o["$ref"].(string)
		if ok && (ref == "#" || len(ref) > 1 && ref[1] == '/') {
			o["$ref"] = "#" + base + ref[1:]
		}
	}
	delete(root, "$schema")
	return root
}

// conditions are the keywords whose schemas may apply to the same value.
var conditions = []string{"allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas"}

// inPlace returns a schema and those that apply to the same value: whatever
// conditions they stand under, so that no secret is missed.
func (s *argsSchema) inPlace(schema any) []object { return s.applying(schema, conditions) }

// conjunction returns a schema and those that hold whenever it does.
func (s *argsSchema) conjunction(schema any) []object { return s.applying(schema, []string{"allOf"}) }

// applying returns a schema, what it refers to, and the schemas under certain
// keywords of each.
func (s *argsSchema) applying(schema any, keywords []string) []object {
	o, ok := schema.(object)
	if !ok {
		return nil
	}
	all := []object{o}
	if ref, ok := o["$ref"].(string); ok {
		if target, err := s.resolve(ref); err == nil {
			all = append(all, s.applying(target, keywords)...)
		}
	}
	for keys, sub := range children(o) {
		if slices.Contains(keywords, keys[0]) {
			all = append(all, s.applying(sub, keywords)...)
		}
	}
	return all
}

// below returns the schemas that may apply to what is at a key of the value
// that o applies to.
func below(o object, key string) []any {
	var all []any
	properties, _ := o["properties"].(object)
	prefix, _ := o["prefixItems"].([]any)
	rest := []string{"contains", "unevaluatedProperties", "unevaluatedItems", "additionalProperties", "items"}
	if sub, ok := properties[key]; ok {
		all, rest = append(all, sub), rest[:1]
	}
	if i, ok := listIndex(key, len(prefix)); ok {
		all, rest = append(all, prefix[i]), rest[:1]
	}
	byPattern, _ := o["patternProperties"].(object)
	for _, sub := range byPattern {
		all = append(all, sub)
	}
	for _, keyword := range rest {
		if sub, ok := o[keyword]; ok {
			all = append(all, sub)
		}
	}
	return all
}

// listIndex returns the index that a key is in a list of some length.
func listIndex(key string, length int) (int, bool) {
	i, err := strconv.Atoi(key)
	return i, err == nil && 0 <= i && i < length && strconv.Itoa(i) == key
}

func isSecret(o object) bool { return o["writeOnly"] == true }

// hides reports whether the value at a path of keys is secret, or has secrets in
// it by the schema.
func (s *argsSchema) hides(keys []string) bool {
	schemas := s.inPlace(s.root)
	for _, key := range keys {
		if slices.ContainsFunc(schemas, isSecret) {
			return true
		}
		var next []object
		for _, o := range schemas {
			for _, sub := range below(o, key) {
				next = append(next, s.inPlace(sub)...)
			}
		}
		schemas = next
	}
	return slices.ContainsFunc(schemas, func(o object) bool { return s.reachesSecret(o) })
}

func (s *argsSchema) reachesSecret(schema any) bool {
	o, ok := schema.(object)
	if !ok {
		return false
	}
	if isSecret(o) {
		return true
	}
	if ref, ok := o["$ref"].(string); ok {
		if target, err := s.resolve(ref); err == nil && s.reachesSecret(target) {
			return true
		}
	}
	for keys, sub := range children(o) {
		if keys[0] != "$defs" && keys[0] != "definitions" && s.reachesSecret(sub) {
			return true
		}
	}
	return false
}

// secrets returns the paths of keys of the secrets in a value.
func (s *argsSchema) secrets(value any) [][]string {
	return s.findSecrets(s.inPlace(s.root), value, nil)
}

func (s *argsSchema) findSecrets(schemas []object, value any, keys []string) [][]string {
	if slices.ContainsFunc(schemas, isSecret) {
		return [][]string{slices.Clone(keys)}
	}
	if len(schemas) == 0 {
		return nil
	}
	var found [][]string
	for key, sub := range members(value) {
		var next []object
		for _, o := range schemas {
			for _, schema := range below(o, key) {
				next = append(next, s.inPlace(schema)...)
			}
		}
		found = append(found, s.findSecrets(next, sub, append(keys[:len(keys):len(keys)], key))...)
	}
	return found
}
