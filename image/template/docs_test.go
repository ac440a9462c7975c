package template

import (
	"encoding/json"
	"os"
	"regexp"
	"testing"
)

var codeBlock = regexp.MustCompile("(?s)```(json|ejs|text)\n(.*?)```\n")

func TestExamplesOfTheDocs(t *testing.T) {
	page, err := os.ReadFile("../../docs/templates.md")
	if err != nil {
		t.Fatal(err)
	}
	var scope struct{ Args, DNS, IP json.RawMessage }
	var templates []Template
	var want []string
	for _, block := range codeBlock.FindAllSubmatch(page, -1) {
		switch string(block[1]) {
		case "json":
			if err := json.Unmarshal(block[2], &scope); err != nil {
				t.Fatal(err)
			}
		case "ejs":
			templates = append(templates, Template{"example", block[2]})
		case "text":
			want = append(want, string(block[2]))
		}
	}
	if len(templates) < 4 || len(templates) != len(want) {
		t.Fatalf("%d templates with %d results", len(templates), len(want))
	}
	outputs, err := new(Runner).Render(t.Context(), templates, Scope{Args: scope.Args, DNS: scope.DNS, IP: scope.IP})
	if err != nil {
		t.Fatal(err)
	}
	for i, output := range outputs {
		if string(output) != want[i] {
			t.Errorf("%s gives\n%s, want\n%s", templates[i].Text, output, want[i])
		}
	}
}
