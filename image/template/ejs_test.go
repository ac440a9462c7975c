package template

import (
	"encoding/json"
	"os"
	"testing"
)

// golden is testdata/ejs.json: templates, and what Node's ejs makes of them.
type golden struct {
	Scope struct {
		Args, DNS, IP, Manifest, Env json.RawMessage
	}
	Cases []struct {
		Name, Template, Output string
		Fails                  bool
	}
}

func readGolden(t testing.TB) golden {
	t.Helper()
	data, err := os.ReadFile("testdata/ejs.json")
	if err != nil {
		t.Fatal(err)
	}
	var g golden
	if err := json.Unmarshal(data, &g); err != nil {
		t.Fatal(err)
	}
	if len(g.Cases) == 0 {
		t.Fatal("testdata/ejs.json has no cases")
	}
	return g
}

func (g golden) scope() Scope {
	return Scope{Args: g.Scope.Args, DNS: g.Scope.DNS, IP: g.Scope.IP, Manifest: g.Scope.Manifest, Env: g.Scope.Env}
}

func TestRendersAsEJS(t *testing.T) {
	g := readGolden(t)
	for _, c := range g.Cases {
		t.Run(c.Name, func(t *testing.T) {
			output, err := new(Runner).Render(t.Context(), []Template{{"file", []byte(c.Template)}}, g.scope())
			if c.Fails {
				if err == nil {
					t.Errorf("%q gives %q, ejs refuses it", c.Template, output)
				}
				return
			}
			if err != nil {
				t.Fatalf("%q: %v", c.Template, err)
			}
			if string(output[0]) != c.Output {
				t.Errorf("%q gives\n%q, ejs gives\n%q", c.Template, output[0], c.Output)
			}
		})
	}
}
