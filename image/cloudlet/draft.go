package cloudlet

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
)

// kinds of JSON values, as bits.
const (
	aString = 1 << iota
	aNumber
	aBool
	aList
	anObject
	aMap // an object whose values are schemas
)

// keywords are those of JSON schema that tell a schema from bare properties,
// each with the kinds of values it can have there.
var keywords = map[string]int{
	"$ref": aString, "$comment": aString, "type": aString | aList, "enum": aList, "title": aString, "description": aString,
	"format": aString, "pattern": aString, "optional": aBool, "required": aBool | aList, "writeOnly": aBool, "readOnly": aBool, "deprecated": aBool,
	"examples": aList, "default": aString | aNumber | aBool | aList, "const": aString | aNumber | aBool | aList,
	"allOf": aList, "anyOf": aList, "oneOf": aList, "not": anObject, "if": anObject, "items": anObject | aList, "prefixItems": aList,
	"properties": aMap, "patternProperties": aMap, "additionalProperties": aBool | anObject, "$defs": aMap, "definitions": aMap,
	"minimum": aNumber, "maximum": aNumber, "minLength": aNumber, "maxLength": aNumber, "minItems": aNumber, "maxItems": aNumber,
	"multipleOf": aNumber, "divisibleBy": aNumber, "uniqueItems": aBool, "exclusiveMinimum": aNumber | aBool, "exclusiveMaximum": aNumber | aBool,
}

func kindOf(value any) int {
	switch value := value.(type) {
	case string:
		return aString
	case json.Number:
		return aNumber
	case bool:
		return aBool
	case []any:
		return aList
	case object:
		for _, v := range value {
			if _, isBool := v.(bool); kindOf(v)&anObject == 0 && !isBool {
				return anObject
			}
		}
		return anObject | aMap
	}
	return 0
}

// isBare reports whether an object is the properties of a schema without the
// schema around them: none of its keys is used as a keyword.
func isBare(o object) bool {
	for key, value := range o {
		if keywords[key]&kindOf(value) != 0 {
			return false
		}
	}
	return len(o) > 0
}

// isBareRoot is isBare for args itself, where a schema that says nothing of its
// properties makes no sense: an argument may be called items.
func isBareRoot(o object) bool {
	for _, key := range []string{"$schema", "type", "properties", "$ref", "allOf", "anyOf", "oneOf", "required", "optional"} {
		if value, ok := o[key]; ok && (key == "$schema" || keywords[key]&kindOf(value) != 0) {
			return false
		}
	}
	return true
}

// isPresentDraft reports whether a schema says that it is of the draft 2020-12.
// Then it is taken by the letter.
func isPresentDraft(o object) bool {
	name, _ := o["$schema"].(string)
	return strings.TrimSuffix(name, "#") == draft
}

// presentSchema returns the schema that args means, in the draft 2020-12.
func presentSchema(args object) object {
	o, _ := clone(args).(object)
	if !isPresentDraft(o) {
		if isBareRoot(o) {
			o = object{"type": "object", "properties": o}
		}
		upgradeSchema(o)
	}
	o["$schema"] = draft
	if _, ok := o["type"]; !ok {
		o["type"] = "object"
	}
	closeObject(o)
	return o
}

// closeObject makes arguments that a schema does not know errors, unless it
// says otherwise.
func closeObject(o object) {
	for _, key := range []string{"additionalProperties", "unevaluatedProperties"} {
		if _, ok := o[key]; ok {
			return
		}
	}
	for _, key := range []string{"$ref", "allOf", "anyOf", "oneOf", "if", "dependentSchemas"} {
		if _, ok := o[key]; ok {
			o["unevaluatedProperties"] = false
			return
		}
	}
	o["additionalProperties"] = false
}

// closeOld closes an object in the arguments, and those in a list, as the
// arguments themselves.
func closeOld(o object) {
	if _, ok := o["properties"]; ok {
		closeObject(o)
	}
	if items, ok := o["items"].(object); ok {
		closeOld(items)
	}
}

// upgradeSchema changes a schema of an older draft (02 to 07) into one of the
// draft 2020-12, with all that is in it.
func upgradeSchema(o object) {
	upgradeProperties(o)
	for _, key := range []string{"patternProperties", "definitions", "$defs", "dependencies"} {
		upgradeAll(o[key])
	}
	for _, key := range []string{"allOf", "anyOf", "oneOf", "not", "if", "then", "else", "items", "additionalItems", "additionalProperties", "contains", "propertyNames", "extends", "disallow", "type"} {
		upgradeAll(o[key])
		if sub, ok := o[key].(object); ok {
			upgradeSchema(sub)
		}
	}
	upgradeNumbers(o)
	upgradeType(o)
	upgradeItems(o)
	upgradeDependencies(o)
	upgradeIdentity(o)
}

// upgradeAll upgrades the schemas of an object or a list.
func upgradeAll(values any) {
	switch values := values.(type) {
	case []any:
		for _, v := range values {
			if sub, ok := v.(object); ok {
				upgradeSchema(sub)
			}
		}
	case object:
		for _, v := range values {
			if sub, ok := v.(object); ok && kindOf(values)&aMap != 0 {
				upgradeSchema(sub)
			}
		}
	}
}

// upgradeProperties makes nested bare properties whole, and moves what they say
// of being optional or required to where the draft 2020-12 has it. In the
// draft that format 0.0.4 was made with, a property is required unless it is
// optional; one with a default is never missing.
func upgradeProperties(o object) {
	properties, ok := o["properties"].(object)
	if !ok || kindOf(properties)&aMap == 0 {
		dropMarks(o)
		return
	}
	listed, isListed := o["required"].([]any)
	draft3 := false
	for _, value := range properties {
		if p, ok := value.(object); ok {
			_, isBool := p["required"].(bool)
			draft3 = draft3 || isBool
		}
	}
	required := slices.Clone(listed)
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		p, ok := properties[name].(object)
		if !ok {
			continue
		}
		if isBare(p) {
			p = object{"type": "object", "properties": p}
			properties[name] = p
		}
		if isRequired(p, isListed, draft3) && !slices.Contains(required, any(name)) {
			required = append(required, name)
		}
		upgradeSchema(p)
		closeOld(p)
	}
	dropMarks(o)
	if len(required) > 0 {
		o["required"] = required
	}
}

// isRequired reports whether a property of an old schema is.
func isRequired(p object, listed, draft3 bool) bool {
	if optional, ok := p["optional"].(bool); ok {
		return !optional
	}
	if marked, ok := p["required"].(bool); ok {
		return marked
	}
	_, hasDefault := p["default"]
	return !listed && !draft3 && !hasDefault
}

// dropMarks removes what older drafts say inside of a property.
func dropMarks(o object) {
	if _, ok := o["optional"].(bool); ok {
		delete(o, "optional")
	}
	if _, ok := o["required"].(bool); ok {
		delete(o, "required")
	}
}

// upgradeNumbers renames divisibleBy (draft 03) and makes exclusive bounds
// numbers (drafts 03 and 04).
func upgradeNumbers(o object) {
	rename(o, "divisibleBy", "multipleOf")
	for _, b := range []struct{ bound, exclusive, canEqual string }{
		{"minimum", "exclusiveMinimum", "minimumCanEqual"}, {"maximum", "exclusiveMaximum", "maximumCanEqual"},
	} {
		excludes, isBool := o[b.exclusive].(bool)
		canEqual, old := o[b.canEqual].(bool)
		delete(o, b.canEqual)
		if isBool {
			delete(o, b.exclusive)
		}
		if value, ok := o[b.bound]; ok && (excludes || old && !canEqual) {
			o[b.exclusive] = value
			delete(o, b.bound)
		}
	}
}

// upgradeType turns the type any into none, schemas among types into anyOf,
// disallow into not and extends into allOf (draft 03).
func upgradeType(o object) {
	if union, ok := o["type"].([]any); ok && slices.ContainsFunc(union, isSchema) {
		var alternatives []any
		for _, t := range union {
			if !isSchema(t) {
				t = object{"type": t}
			}
			alternatives = append(alternatives, t)
		}
		delete(o, "type")
		addAllOf(o, object{"anyOf": alternatives})
	}
	types, _ := o["type"].([]any)
	if o["type"] == "any" || slices.Contains(types, any("any")) {
		delete(o, "type")
	}
	if disallow, ok := o["disallow"]; ok {
		delete(o, "disallow")
		not := object{"type": disallow}
		upgradeType(not)
		addAllOf(o, object{"not": not})
	}
	if extends, ok := o["extends"]; ok {
		delete(o, "extends")
		if list, ok := extends.([]any); ok {
			addAllOf(o, list...)
		} else {
			addAllOf(o, extends)
		}
	}
}

func isSchema(value any) bool {
	_, ok := value.(object)
	return ok
}

func addAllOf(o object, schemas ...any) {
	all, _ := o["allOf"].([]any)
	o["allOf"] = append(slices.Clone(all), schemas...)
}

// upgradeItems gives lists of items their name (draft 2020-12).
func upgradeItems(o object) {
	items, isList := o["items"].([]any)
	if !isList {
		delete(o, "additionalItems")
		return
	}
	o["prefixItems"] = items
	delete(o, "items")
	rename(o, "additionalItems", "items")
}

// upgradeDependencies takes apart what the draft 2019-09 took apart.
func upgradeDependencies(o object) {
	dependencies, ok := o["dependencies"].(object)
	if !ok {
		return
	}
	delete(o, "dependencies")
	required, schemas := object{}, object{}
	for key, value := range dependencies {
		switch value := value.(type) {
		case string:
			required[key] = []any{value}
		case []any:
			required[key] = value
		default:
			schemas[key] = value
		}
	}
	if len(required) > 0 {
		o["dependentRequired"] = required
	}
	if len(schemas) > 0 {
		o["dependentSchemas"] = schemas
	}
}

// upgradeIdentity removes the name that a schema gives itself. What refers to
// it by that name is refused, as all that leads out of the schema.
func upgradeIdentity(o object) {
	for _, key := range []string{"id", "$id", "$schema"} {
		if _, ok := o[key].(string); ok {
			delete(o, key)
		}
	}
}

func rename(o object, from, to string) {
	if value, ok := o[from]; ok {
		if _, taken := o[to]; !taken {
			o[to] = value
		}
		delete(o, from)
	}
}
