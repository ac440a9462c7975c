package access

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"
)

func compileSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	raw, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("access.json", document); err != nil {
		t.Fatal(err)
	}
	compiled, err := compiler.Compile("access.json")
	if err != nil {
		t.Fatal(err)
	}
	return compiled
}

// rulesBlock is the example of rules in the manual.
var rulesBlock = regexp.MustCompile(`(?m)^    rules:\n(?:    .*\n)+`)

func TestSchemaTakesWhatIsParsedAndRefusesTheRest(t *testing.T) {
	compiled := compileSchema(t)
	manual, err := os.ReadFile("../../docs/access.md")
	if err != nil {
		t.Fatal(err)
	}
	cases := map[string]bool{
		"users: a\nrates: {requests: {perSecond: 1.5, burst: 3}}": true,
		"groups: {ops: [a, b]}":                                   true,
		"issuer: {key: k, lifetime: 5m}":                          true,
		"quotas: [{prefix: golden, bytes: 100}]":                  true,
		"user: a":                                                 false,
		"rules: [{repository: a}]":                                false,
		"rules: {repositories: [a]}":                              false,
		"issuer: {key: k, lifetime: long}":                        false,
		"quotas: [{prefix: golden, bytes: many}]":                 false,
		"tls: {requireClient: [true]}":                            false,
	}
	example := rulesBlock.FindString(string(manual))
	if example == "" {
		t.Error("docs/access.md has no example")
	}
	cases[example] = true
	for text, valid := range cases {
		var value any
		if err := yaml.Load([]byte(text), &value); err != nil {
			t.Fatal(err)
		}
		_, parsed := Parse([]byte(text))
		if err := compiled.Validate(value); (err == nil) != valid || (parsed == nil) != valid {
			t.Errorf("%s\nschema: %v\nparse: %v", text, err, parsed)
		}
	}
}

func TestSchemaSaysWhatEveryKeyIsFor(t *testing.T) {
	raw, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(raw), `"": {`) {
		t.Error("a field has no yaml tag")
	}
	for _, word := range []string{"htpasswd file", "patterns", "claim iss"} {
		if !strings.Contains(string(raw), word) {
			t.Errorf("the schema does not say %q", word)
		}
	}
}
