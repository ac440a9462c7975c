package cloudlet

import (
	"errors"
	"fmt"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/cloudlets/cloudlets/image/pattern"
)

// draft is the only draft of JSON schema that is written.
const draft = "https://json-schema.org/draft/2020-12/schema"

// schemaName names a schema while it is compiled. It is never opened.
const schemaName = "urn:cloudlets:schema"

// compileSchema compiles a decoded schema. Nothing it refers to is fetched.
// Matches that take too long are kept in failed.
func compileSchema(document any, failed *patternErrors) (*jsonschema.Schema, error) {
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	c.UseLoader(noLoader{})
	c.UseRegexpEngine(failed.compile)
	if err := c.AddResource(schemaName, document); err != nil {
		return nil, err
	}
	return c.Compile(schemaName)
}

// noLoader refuses to open what a schema refers to.
type noLoader struct{}

func (noLoader) Load(url string) (any, error) {
	return nil, fmt.Errorf("%s is outside of the schema: nothing is fetched", url)
}

// patternErrors collects the errors of matches, which the validator has no
// place for. It is for one validation at a time.
type patternErrors struct{ err error }

// patternSteps bounds all matches of one validation together.
const patternSteps = 4_000_000

func (f *patternErrors) compile(expr string) (jsonschema.Regexp, error) {
	p, err := pattern.Compile(expr, pattern.ECMAScript)
	if err != nil {
		return nil, err
	}
	return boundPattern{p, pattern.NewBudget(patternSteps), f}, nil
}

type boundPattern struct {
	pattern *pattern.Pattern
	budget  *pattern.Budget
	failed  *patternErrors
}

func (p boundPattern) String() string { return p.pattern.String() }

func (p boundPattern) MatchString(text string) bool {
	matches, err := p.pattern.Search(text, p.budget)
	if err != nil && p.failed.err == nil {
		// Without the text, which may be secret.
		p.failed.err = fmt.Errorf("pattern %q: %w", p.pattern, pattern.ErrTooMuchWork)
	}
	return matches
}

// secrecy says which values must not be shown.
type secrecy interface {
	// hides reports whether the value at a path of keys is secret or may hold
	// secrets.
	hides(keys []string) bool
}

type nothingSecret struct{}

func (nothingSecret) hides([]string) bool { return false }

// explain returns what a validator found wrong with a document.
func explain(err error, document any, s secrecy) Problems {
	var invalid *jsonschema.ValidationError
	if !errors.As(err, &invalid) {
		return Problems{{Rule: err.Error()}}
	}
	e := explainer{document: document, secrecy: s}
	e.explain(invalid)
	return e.problems
}
