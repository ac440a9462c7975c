package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"
)

func lookup(m map[string]string) func(string) (string, bool) {
	return func(name string) (string, bool) { v, ok := m[name]; return v, ok }
}

func write(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "cloudlets.yaml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFlagWinsOverEnvironmentOverFileOverDefault(t *testing.T) {
	env, flag := map[string]string{"CLOUDLETS_LOG_LEVEL": "warn"}, map[string]string{"log-level": "error"}
	for _, c := range []struct {
		name, file, want string
		env, flag        map[string]string
	}{
		{name: "default", want: "info"},
		{name: "empty file", file: "# nothing\n", want: "info"},
		{name: "empty section", file: "log:\n", want: "info"},
		{name: "file", file: "log: {level: debug}\n", want: "debug"},
		{name: "environment", file: "log: {level: debug}\n", env: env, want: "warn"},
		{name: "flag", file: "log: {level: debug}\n", env: env, flag: flag, want: "error"},
		{name: "flag without file", flag: flag, want: "error"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Load(Sources{File: write(t, c.file), Getenv: lookup(c.env), Flag: lookup(c.flag)})
			if err != nil || got.Log.Level != c.want {
				t.Errorf("%+v, %v; want level %s", got, err, c.want)
			}
		})
	}
}

func TestFaultsAreToldWithTheirPlace(t *testing.T) {
	for _, c := range []struct{ name, file, want string }{
		{"unknown key", "listen: a:1\nlisen: b:2\n", ":2: lisen: there is no such key"},
		{"unknown key in a section", "log:\n  level: info\n  lvl: info\n", ":3: log.lvl: there is no such key"},
		{"bad choice", "\n\nlog:\n  level: loud\n", ":4: log.level: expected one of debug, info, warn, error, found \"loud\""},
		{"bad duration", "idleTimeout: soon\n", ":1: idleTimeout: expected a duration such as 30s or 2m, found \"soon\""},
		{"bad switch", "log:\n  access: perhaps\n", ":2: log.access: expected true or false, found \"perhaps\""},
		{"twice", "listen: a:1\nlisten: b:2\n", ":2: listen: expected once, found before on line 1"},
		{"value for a section", "log: info\n", ":1: log: expected keys with values, found a single value"},
		{"section for a value", "listen:\n  a: b\n", ":2: listen: expected a single value, found keys with values"},
		{"no value", "listen:\n", ":1: listen: expected a single value, found nothing"},
		{"no mapping", "- a\n", ":1: expected keys with values, found a list"},
		{"no YAML", "listen: [\n", "cloudlets.yaml: "},
		{"bad address", "listen: nowhere\n", "listen: expected HOST:PORT, found \"nowhere\""},
		{"a bucket nowhere", "s3: {bucket: b}\n", "s3: expected both endpoint and bucket or neither"},
		{"no time", "shutdownTimeout: 0s\n", "shutdownTimeout: expected a duration above zero"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Load(Sources{File: write(t, c.file)})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %s", err, c.want)
			}
		})
	}
	for want, s := range map[string]Sources{
		"CLOUDLETS_LOG_ACCESS: expected true or false": {Getenv: lookup(map[string]string{"CLOUDLETS_LOG_ACCESS": "x"})},
		"--idle-timeout: expected a duration":          {Flag: lookup(map[string]string{"idle-timeout": "x"})},
	} {
		if _, err := Load(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestAllFaultsAreToldAtOnce(t *testing.T) {
	_, err := Load(Sources{File: write(t, "a: 1\nb: 2\n")})
	if err == nil || strings.Count(err.Error(), "\n") != 1 {
		t.Errorf("%v, want two lines", err)
	}
}

// holder is a configuration with a secret.
type holder struct {
	Token Secret `key:"token"`
}

func TestSecretsComeFromFilesAndShowThemselvesNowhere(t *testing.T) {
	const secret = "correct horse"
	path := write(t, secret+"\n")
	for name, s := range map[string]Sources{
		"value":       {File: write(t, "token: "+secret+"\n")},
		"file":        {File: write(t, "tokenFile: "+path+"\n")},
		"environment": {Getenv: lookup(map[string]string{"CLOUDLETS_TOKEN_FILE": path})},
		"flag":        {Flag: lookup(map[string]string{"token-file": path})},
	} {
		var h holder
		if err := load(reflect.ValueOf(&h).Elem(), s); err != nil || h.Token.Reveal() != secret {
			t.Errorf("%s: %q, %v", name, h.Token.Reveal(), err)
		}
		var shown bytes.Buffer
		slog.New(slog.NewJSONHandler(&shown, nil)).Info("x", "holder", h, "token", h.Token)
		fmt.Fprintf(&shown, "%v %+v %#v %s %q", h, h, h, h.Token, h.Token)
		b, err := json.Marshal(h)
		shown.Write(b)
		if err != nil || strings.Contains(shown.String(), "horse") {
			t.Errorf("%s: %s, %v", name, shown.String(), err)
		}
	}
	var h holder
	err := load(reflect.ValueOf(&h).Elem(), Sources{File: write(t, "token: a\ntokenFile: b\n")})
	if err == nil || !strings.Contains(err.Error(), "found both") {
		t.Errorf("both: %v", err)
	}
}

func TestSchemaTakesTheExampleAndRefusesWhatLoadRefuses(t *testing.T) {
	raw, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("schema.json", document); err != nil {
		t.Fatal(err)
	}
	compiled, err := compiler.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		text  string
		valid bool
	}{
		{Example(), true},
		{"log: {level: debug}", true},
		{"lisen: a:1", false},
		{"log: {level: loud}", false},
		{"idleTimeout: soon", false},
		{"log: {access: perhaps}", false},
		{"events: {endpoints: [" + fullEndpoint + "]}", true},
		{"events: {endpoints: []}", true},
		{"events: {endpoints: {name: ci}}", false},
		{"events: {endpoints: [{name: ci}]}", false},
		{"events: {endpoints: [{name: ci, url: 'http://a', uri: x}]}", false},
		{"events: {endpoints: [{name: ci, url: 'http://a', ignore: {actions: [pulling]}}]}", false},
		{"events: {endpoints: [{name: ci, url: 'http://a', headers: {A: [b]}}]}", false},
	} {
		var value any
		if err := yaml.Load([]byte(c.text), &value); err != nil {
			t.Fatal(err)
		}
		_, loaded := Load(Sources{File: write(t, c.text)})
		if err := compiled.Validate(value); (err == nil) != c.valid || (loaded == nil) != c.valid {
			t.Errorf("%s: schema %v, load %v", c.text, err, loaded)
		}
	}
}

func TestExampleIsTheDefaults(t *testing.T) {
	want, err := Load(Sources{})
	if err != nil {
		t.Fatal(err)
	}
	got, err := Load(Sources{File: write(t, Example())})
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
}

func TestChangedTellsWhatDiffers(t *testing.T) {
	a := &Config{Listen: "a:1", IdleTimeout: time.Second}
	b := *a
	b.Listen, b.Log.Level = "b:1", "debug"
	changed := Changed(a, &b)
	if len(changed) != 2 || changed[0].Key() != "listen" || changed[0].Reloadable || changed[1].Key() != "log.level" || !changed[1].Reloadable {
		t.Errorf("%+v", changed)
	}
}

func TestManualHasTheTable(t *testing.T) {
	manual, err := os.ReadFile("../docs/operation.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(manual), Table()) {
		t.Errorf("docs/operation.md is out of date; its table is\n%s", Table())
	}
}
