package cloudlet

import (
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// explainer turns the errors of a validator into problems.
type explainer struct {
	document any
	secrecy  secrecy
	problems Problems
}

func (e *explainer) explain(err *jsonschema.ValidationError) {
	at := err.InstanceLocation
	switch k := err.ErrorKind.(type) {
	case *kind.Required:
		for _, name := range k.Missing {
			e.missing(append(slices.Clone(at), name))
		}
	case *kind.AdditionalProperties:
		for _, name := range k.Properties {
			e.unknown(append(slices.Clone(at), name))
		}
	case *kind.FalseSchema:
		e.unknown(at)
	case *kind.AnyOf, *kind.OneOf:
		e.alternatives(err)
	case *kind.PropertyNames:
		e.problems.add(pointer(at), k.Property, "this key is not allowed here: %s", strings.Join(e.rules(err.Causes), ", "))
	default:
		if len(err.Causes) == 0 {
			e.leaf(err)
		}
		for _, cause := range err.Causes {
			e.explain(cause)
		}
	}
}

const (
	ruleMissing = "it is required, and missing"
	ruleUnknown = "it is not known here"
)

func (e *explainer) missing(keys []string) {
	e.problems = append(e.problems, Problem{Pointer: pointer(keys), Rule: ruleMissing, Advice: "add it"})
}

// unknown shows no value, which may be a secret under a wrong name.
func (e *explainer) unknown(keys []string) {
	e.problems = append(e.problems, Problem{Pointer: pointer(keys), Rule: ruleUnknown, Advice: "look for a spelling mistake, or leave it out"})
}

func (e *explainer) alternatives(err *jsonschema.ValidationError) {
	if k, ok := err.ErrorKind.(*kind.OneOf); ok && len(k.Subschemas) > 0 {
		e.add(err.InstanceLocation, "expected exactly one of the alternatives to fit, and several do")
		return
	}
	e.add(err.InstanceLocation, "none of the alternatives fits: "+strings.Join(e.rules(err.Causes), ", or "))
}

// rules returns the rules of the problems that causes have.
func (e *explainer) rules(causes []*jsonschema.ValidationError) []string {
	inner := explainer{document: e.document, secrecy: e.secrecy}
	for _, cause := range causes {
		inner.explain(cause)
	}
	var rules []string
	for _, p := range inner.problems {
		if !slices.Contains(rules, p.Rule) && len(rules) < 10 {
			rules = append(rules, p.Rule)
		}
	}
	return rules
}

func (e *explainer) add(keys []string, rule string) {
	p := Problem{Pointer: pointer(keys), Rule: rule}
	if e.secrecy.hides(keys) {
		p.Value = "(secret)"
	} else if value, ok := lookup(e.document, keys); ok {
		if p.Value = show(value); value == nil {
			p.Value = string(null)
		}
	}
	e.problems = append(e.problems, p)
}

func (e *explainer) leaf(err *jsonschema.ValidationError) {
	e.add(err.InstanceLocation, ruleOf(err.ErrorKind))
}

// ruleOf says what a keyword of a schema demands. It does not say what was
// found, of which even the length may be secret.
func ruleOf(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.Type:
		return "expected " + strings.Join(k.Want, " or ") + " (type)"
	case *kind.Enum:
		var wanted []string
		for _, want := range k.Want {
			wanted = append(wanted, show(want))
		}
		return "expected one of " + strings.Join(wanted, ", ") + " (enum)"
	case *kind.Const:
		return "expected " + show(k.Want) + " (const)"
	case *kind.Format:
		return "expected the format " + k.Want + " (format)"
	case *kind.Pattern:
		return fmt.Sprintf("expected what matches %s (pattern)", k.Want)
	case *kind.Minimum:
		return "expected at least " + decimal(k.Want) + " (minimum)"
	case *kind.Maximum:
		return "expected at most " + decimal(k.Want) + " (maximum)"
	case *kind.ExclusiveMinimum:
		return "expected more than " + decimal(k.Want) + " (exclusiveMinimum)"
	case *kind.ExclusiveMaximum:
		return "expected less than " + decimal(k.Want) + " (exclusiveMaximum)"
	case *kind.MultipleOf:
		return "expected a multiple of " + decimal(k.Want) + " (multipleOf)"
	}
	return ruleOfSize(k)
}

func ruleOfSize(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.MinLength:
		return fmt.Sprintf("expected at least %d characters (minLength)", k.Want)
	case *kind.MaxLength:
		return fmt.Sprintf("expected at most %d characters (maxLength)", k.Want)
	case *kind.MinItems:
		return fmt.Sprintf("expected at least %d items (minItems)", k.Want)
	case *kind.MaxItems:
		return fmt.Sprintf("expected at most %d items (maxItems)", k.Want)
	case *kind.MinProperties:
		return fmt.Sprintf("expected at least %d keys (minProperties)", k.Want)
	case *kind.MaxProperties:
		return fmt.Sprintf("expected at most %d keys (maxProperties)", k.Want)
	case *kind.UniqueItems:
		return fmt.Sprintf("the items %d and %d are the same (uniqueItems)", k.Duplicates[0], k.Duplicates[1])
	case *kind.DependentRequired:
		return fmt.Sprintf("where there is %s there must be %s (dependentRequired)", k.Prop, strings.Join(k.Missing, ", "))
	case *kind.Not:
		return "expected something else (not)"
	}
	return "it breaks the rule " + strings.Join(k.KeywordPath(), "/")
}

// decimal returns a number as people write it.
func decimal(r *big.Rat) string {
	if r.IsInt() {
		return r.Num().String()
	}
	return strings.TrimRight(r.FloatString(20), "0")
}

// lookup returns the value at a path of keys.
func lookup(value any, keys []string) (any, bool) {
	for _, key := range keys {
		switch v := value.(type) {
		case object:
			next, ok := v[key]
			if !ok {
				return nil, false
			}
			value = next
		case []any:
			i, ok := listIndex(key, len(v))
			if !ok {
				return nil, false
			}
			value = v[i]
		default:
			return nil, false
		}
	}
	return value, true
}
