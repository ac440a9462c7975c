package cloudlet

import (
	"maps"
	"regexp"
	"strings"
)

// oldEntrypoints are the names that format 0.0.4 and its tool had for
// entrypoints.
var oldEntrypoints = []string{"entry_points", "entry points"}

// present returns the fields of a manifest in the present form, except for
// args. Fields that are null are missing.
func present(fields object) object {
	p := object{}
	for key, value := range fields {
		if value != nil {
			p[key] = value
		}
	}
	for _, old := range oldEntrypoints {
		value, ok := p[old]
		if !ok {
			continue
		}
		if _, both := p["entrypoints"]; !both {
			p["entrypoints"] = value
		}
		delete(p, old)
	}
	if kinds, ok := p["entrypoints"].(object); ok {
		p["entrypoints"] = presentEntrypoints(kinds)
	}
	return p
}

func presentEntrypoints(kinds object) object {
	p := object{}
	for kind, value := range kinds {
		switch value := value.(type) {
		case nil:
			continue
		case bool:
			if value {
				p[kind] = object{}
			}
		case string, []any:
			p[kind] = object{"command": presentCommand(value)}
		case object:
			p[kind] = presentEntrypoint(value)
		default:
			p[kind] = value
		}
	}
	return p
}

// presentEntrypoint knows what the old tool had: commands as one string, and
// for init the kernel that it needs as {"os", "version", "flavor"}.
func presentEntrypoint(old object) object {
	p := object{}
	for key, value := range old {
		if value != nil {
			p[key] = value
		}
	}
	for _, key := range []string{"command", "enter", "exit"} {
		if command, ok := p[key]; ok {
			if p[key] = presentCommand(command); p[key] == nil {
				delete(p, key)
			}
		}
	}
	requires, _ := p["requires"].(object)
	requires = without(requires)
	if kernel, ok := p["kernel"].(object); ok {
		if version, ok := kernel["version"].(string); ok && requires["kernel"] == nil {
			requires["kernel"] = version
			if p["kernel"] = without(kernel, "version"); len(kernel) == 1 {
				delete(p, "kernel")
			}
		}
	}
	if kernel, ok := requires["kernel"].(string); ok {
		requires["kernel"] = presentKernel(kernel)
	}
	if len(requires) > 0 {
		p["requires"] = requires
	}
	return p
}

// without returns a copy of an object without some of its keys.
func without(o object, keys ...string) object {
	c := maps.Clone(o)
	if c == nil {
		c = object{}
	}
	for _, key := range keys {
		delete(c, key)
	}
	return c
}

// presentCommand splits a command at white space, as the old tool did. It
// returns nil for an empty one.
func presentCommand(command any) any {
	text, ok := command.(string)
	if !ok {
		return command
	}
	var words []any
	for _, word := range strings.Fields(text) {
		words = append(words, word)
	}
	if words == nil {
		return nil
	}
	return words
}

// kernelVersion is a version with or without the comparison before it, and with
// what uname -r has after it.
var kernelVersion = regexp.MustCompile(`^\s*(?:>=)?\s*([0-9]+(?:\.[0-9]+){0,3})(?:[-+].*)?\s*$`)

// presentKernel returns a requirement as ">= 5.10". What it cannot read is left
// for the schema to refuse.
func presentKernel(kernel string) string {
	if m := kernelVersion.FindStringSubmatch(kernel); m != nil {
		return ">= " + m[1]
	}
	return kernel
}
