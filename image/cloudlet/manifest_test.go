package cloudlet

import (
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

func mustParse(t *testing.T, data string) *Manifest {
	t.Helper()
	m, err := ParseManifest([]byte(data))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// sample is a manifest of format 0.0.4 as its tool came with.
const sample = `{
	"author": "Somebody <somebody@example.com>", "description": "Debian (Lenny/5.0) base system for i386", "arch": "i386", "name": "debian-5.0",
	"args": {"hostname": {"type": "string", "default": "debian-host"}},
	"templates": ["/etc/hostname"], "persistent": ["/var/log"],
	"volatile": ["/etc/rc6.d/S00vzreboot$", "/var/log/(?!apt).+", "/var/log/apt/.+", "/tmp/.+", "/etc/mtab$", "/usr/lib/python2.6/.+\\.pyc", "/var/lib/apt/lists/(?!partial).+"]
}`

func TestOldManifestsAreReadAsTheyAre(t *testing.T) {
	for name, c := range map[string]struct{ old, want string }{
		"nothing":            {`{}`, `{}`},
		"null is missing":    {`{"name": null, "templates": null, "args": null}`, `{}`},
		"bare arguments":     {`{"args": {"a": {"type": "string"}}}`, `{"args":{"$schema":"` + draft + `","additionalProperties":false,"properties":{"a":{"type":"string"}},"required":["a"],"type":"object"}}`},
		"optional":           {`{"args": {"a": {"type": "string", "optional": true}, "b": {"type": "string", "default": "x"}}}`, `{"args":{"$schema":"` + draft + `","additionalProperties":false,"properties":{"a":{"type":"string"},"b":{"default":"x","type":"string"}},"type":"object"}}`},
		"bare inside":        {`{"args": {"db": {"host": {"type": "string"}}}}`, `{"args":{"$schema":"` + draft + `","additionalProperties":false,"properties":{"db":{"additionalProperties":false,"properties":{"host":{"type":"string"}},"required":["host"],"type":"object"}},"required":["db"],"type":"object"}}`},
		"names of keywords":  {`{"args": {"type": {"type": "string"}, "items": {"type": "array", "optional": true}}}`, `{"args":{"$schema":"` + draft + `","additionalProperties":false,"properties":{"items":{"type":"array"},"type":{"type":"string"}},"required":["type"],"type":"object"}}`},
		"draft 3":            {`{"args": {"type": "object", "properties": {"n": {"type": "integer", "required": true, "divisibleBy": 2, "minimum": 0, "exclusiveMinimum": true}, "m": {"type": "any"}}}}`, `{"args":{"$schema":"` + draft + `","additionalProperties":false,"properties":{"m":{},"n":{"exclusiveMinimum":0,"multipleOf":2,"type":"integer"}},"required":["n"],"type":"object"}}`},
		"by the letter":      {`{"args": {"$schema": "` + draft + `", "type": "object", "properties": {"a": {"type": "string"}}}}`, `{"args":{"$schema":"` + draft + `","additionalProperties":false,"properties":{"a":{"type":"string"}},"type":"object"}}`},
		"tuples":             {`{"args": {"a": {"type": "array", "items": [{"type": "string"}], "additionalItems": false, "optional": true}}}`, `{"args":{"$schema":"` + draft + `","additionalProperties":false,"properties":{"a":{"items":false,"prefixItems":[{"type":"string"}],"type":"array"}},"type":"object"}}`},
		"entry points":       {`{"entry_points": {"chroot": {"command": "/bin/sh -l", "enter": "mount /proc"}, "init": {"kernel": {"version": "2.6.26-2-686"}}, "kernel": {"version": "2.6.26", "os": "linux"}}}`, `{"entrypoints":{"chroot":{"command":["/bin/sh","-l"],"enter":["mount","/proc"]},"init":{"requires":{"kernel":">= 2.6.26"}},"kernel":{"os":"linux","version":"2.6.26"}}}`},
		"short entry points": {`{"entrypoints": {"init": true, "chroot": "/bin/sh", "kernel": ["/sbin/init"]}}`, `{"entrypoints":{"chroot":{"command":["/bin/sh"]},"init":{},"kernel":{"command":["/sbin/init"]}}}`},
		"unknown fields":     {`{"x-n": 1.000000000000000000001e5, "name": "a", "Name": [1, 2], "entrypoints": {"init": {"x": 1.0, "requires": {"y": 2.50}}}}`, `{"name":"a","entrypoints":{"init":{"requires":{"y":2.50},"x":1.0}},"Name":[1,2],"x-n":1.000000000000000000001e5}`},
		"dependencies":       {`{"args": {"type": "object", "properties": {}, "dependencies": {"a": "b", "c": ["d"], "e": {"minProperties": 2}}}}`, `{"args":{"$schema":"` + draft + `","dependentRequired":{"a":["b"],"c":["d"]},"dependentSchemas":{"e":{"minProperties":2}},"properties":{},"type":"object","unevaluatedProperties":false}}`},
	} {
		t.Run(name, func(t *testing.T) {
			upgraded, err := mustParse(t, c.old).Upgrade()
			if err != nil {
				t.Fatal(err)
			}
			got, err := marshal(upgraded)
			if err != nil || string(got) != c.want {
				t.Errorf("got  %s, %v\nwant %s", got, err, c.want)
			}
			again, err := mustParse(t, string(got)).Upgrade()
			if err != nil {
				t.Fatal(err)
			}
			if twice, err := marshal(again); err != nil || string(twice) != string(got) {
				t.Errorf("upgraded twice it is %s, %v", twice, err)
			}
		})
	}
}

func TestBadManifestsAreRefused(t *testing.T) {
	deep := strings.Repeat("[", 5000)
	laughs := `{"args": {"$schema": "` + draft + `", "$ref": "#/$defs/l0", "$defs": {`
	for i := range 40 {
		laughs += strings.ReplaceAll(`"lA": {"allOf": [{"$ref": "#/$defs/lB"}, {"$ref": "#/$defs/lB"}]},`, "A", itoa(i))
		laughs = strings.ReplaceAll(laughs, "lB", "l"+itoa(i+1))
	}
	laughs += `"l40": {}}}}`
	start := time.Now()
	for name, c := range map[string]struct{ manifest, want string }{
		"a list":                 {`[]`, "expected a JSON object"},
		"half":                   {`{"name":`, "ends too early"},
		"two":                    {`{} {}`, "something follows"},
		"nothing":                {``, "ends too early"},
		"not UTF-8":              {"{\"name\": \"\xff\"}", "UTF-8"},
		"a key twice":            {`{"name": "a", "args": {"b": 1, "b": 2}}`, "/args/b: a key stands once"},
		"too large":              {strings.Repeat(" ", 100<<20), "limit"},
		"too deep":               {`{"x": ` + deep, "in each other"},
		"a huge number":          {`{"x": 1e1000000000}`, "exponent"},
		"a long number":          {`{"x": ` + strings.Repeat("9", 1000) + `}`, "digits"},
		"all at once":            {`{"name": 5, "templates": [7]}`, "/name: found 5: expected string (type)\n/templates/0: found 7"},
		"a relative template":    {`{"templates": ["etc/x"]}`, "/templates/0"},
		"a template above":       {`{"templates": ["/etc/../../x"]}`, `".."`},
		"a NUL":                  {`{"persistent": ["/a\u0000b"]}`, "NUL"},
		"a reserved path":        {`{"templates": ["/.cloudlet/manifest"]}`, "reserved"},
		"an expression":          {`{"volatile": ["/a", "(b"]}`, "/volatile/1: the expression \"(b\""},
		"a URL":                  {`{"args": {"a": {"$ref": "http://127.0.0.1:1/x"}}}`, "/args/properties/a/$ref: found \"http://127.0.0.1:1/x\": it leads out"},
		"a file":                 {`{"args": {"a": {"$ref": "file:///etc/passwd"}}}`, "leads out"},
		"a relative reference":   {`{"args": {"a": {"$ref": "other.json#/x"}}}`, "leads out"},
		"another draft":          {`{"args": {"$schema": "http://example.com/mine", "type": "object"}}`, "/args/$schema"},
		"another base":           {`{"args": {"$schema": "` + draft + `", "properties": {"a": {"$id": "http://example.com/"}}}}`, "$id is not supported"},
		"a reference to nothing": {`{"args": {"a": {"$ref": "#/$defs/b"}}}`, "no such place"},
		"recursion":              {`{"args": {"a": {"type": "object", "properties": {"b": {"$ref": "#/properties/a"}}}}}`, "refers to itself"},
		"a billion laughs":       {laughs, "at most 4096 schemas"},
		"a pattern":              {`{"args": {"a": {"type": "string", "pattern": "(a"}}}`, "/args/properties/a/pattern"},
		"not a schema":           {`{"args": {"a": {"type": "string", "minLength": "x"}}}`, "/args"},
		"arguments of a list":    {`{"args": {"type": "array"}}`, "arguments have names"},
		"arguments that are 5":   {`{"args": 5}`, "/args: found 5: expected object"},
		"an entry point":         {`{"entrypoints": {"init": {"requires": {"kernel": "new"}}}}`, "/entrypoints/init/requires/kernel"},
		"an image type":          {`{"type": "floppy"}`, "/type: found \"floppy\": expected one of"},
		"a format without type":  {`{"containerFormat": "raw"}`, "there must be type"},
		"many problems":          {`{"templates": [` + strings.Repeat("1,", 5000) + `1]}`, "problems more"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := ParseManifest([]byte(c.manifest)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("want an error with %q, got %v", c.want, err)
			} else if len(err.Error()) > 50_000 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
		})
	}
	if took := time.Since(start); took > time.Minute {
		t.Errorf("it took %v", took)
	}
}

func itoa(i int) string { return string(rune('0'+i/10)) + string(rune('0'+i%10)) }

func TestSampleManifestIsUnderstood(t *testing.T) {
	m := mustParse(t, sample)
	if m.Name != "debian-5.0" || len(m.Volatile) != 7 || m.Arch != "i386" {
		t.Errorf("got %+v", m)
	}
	c, err := m.Configure([]byte(`{"dns": {"nameservers": ["0.0.0.0"]}, "ip": {"interfaces": []}}`))
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Clear()
	if want := `{"args":{"hostname":"debian-host"},"dns":{"nameservers":["0.0.0.0"],"search":[]},"ip":{"interfaces":[]}}`; err != nil || string(got) != want {
		t.Errorf("got %s, %v\nwant %s", got, err, want)
	}
}

func TestRequirementsAreChecked(t *testing.T) {
	for _, c := range []struct {
		r            Requirements
		arch, kernel string
		want         string
	}{
		{Requirements{}, "x86_64", "5.10", ""},
		{Requirements{Arch: "x86_64"}, "amd64", "", ""},
		{Requirements{Arch: "arm64"}, "amd64", "", "requires the architecture arm64"},
		{Requirements{Kernel: ">= 5.10"}, "", "6.1.0-32-amd64", ""},
		{Requirements{Kernel: ">= 5.10"}, "", "5.9.99", "requires a kernel >= 5.10, the machine's is 5.9.99"},
		{Requirements{Kernel: ">= 5.10"}, "", "5.10.0", ""},
		{Requirements{Kernel: ">= 5.10.1"}, "", "5.10", "requires a kernel"},
		{Requirements{Kernel: ">= 5.10"}, "", "", ""},
	} {
		err := c.r.Check(c.arch, c.kernel)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v on %s, %s: got %v", c.r, c.arch, c.kernel, err)
		}
	}
}

func TestPathsHaveTheirClasses(t *testing.T) {
	m := mustParse(t, `{"templates": ["/etc/hostname", "/var/log/t"], "persistent": ["/var/log", "/home/"], "volatile": ["/var/log/(?!apt).+", "/tmp"]}`)
	classifier := m.Classifier()
	for path, want := range map[string]Class{
		"/etc/hostname":    Templates,
		"/etc/hostname2":   Other,
		"/etc":             Other,
		"/var/log":         Persistent,
		"/var/log/apt":     Persistent,
		"/var/log/syslog":  Persistent | Volatile,
		"/var/log/t":       Persistent | Volatile | Templates,
		"/var/logs":        Other,
		"/home":            Persistent,
		"/home/a":          Persistent,
		"/tmp":             Volatile,
		"/tmpfiles":        Volatile,
		"/.cloudlet":       Other,
		"/etc/hostname/no": Other,
	} {
		if got, err := classifier.Classes(path); got != want || err != nil {
			t.Errorf("%s: got %s, want %s, %v", path, got, want, err)
		}
	}
	everything := mustParse(t, `{"persistent": ["/"]}`).Classifier()
	if got, _ := everything.Classes("/a"); got != Persistent {
		t.Errorf("with / persistent, /a is %s", got)
	}
}

func TestSelectionsChoose(t *testing.T) {
	for _, c := range []struct {
		only  string
		class Class
		want  bool
	}{
		{"persistent", Persistent | Volatile, true},
		{"templates,persistent,other", Persistent | Volatile, false},
		{"templates,persistent,other", Other, true},
		{"other", Templates, false},
		{"volatile", Other, false},
		{"templates, persistent,volatile,other", Volatile, true},
	} {
		s, err := ParseOnly(c.only)
		if err != nil || s.Includes(c.class) != c.want {
			t.Errorf("%s and %s: want %v, %v", c.only, c.class, c.want, err)
		}
	}
	for _, bad := range []string{"", "tmp", "templates,"} {
		if _, err := ParseOnly(bad); err == nil || !strings.Contains(err.Error(), "expected some of") {
			t.Errorf("%q: got %v", bad, err)
		}
	}
}

func TestHostileExpressionsEndOverAllPaths(t *testing.T) {
	for _, expr := range []string{`/(?=a)(a+)+$b`, `/(?!b)(?:a|a)*$b`, `((?:a?){60000}){60000}(?!x)b`, `/(?:.{1000}){3}b`} {
		m := mustParse(t, `{"volatile": ["`+expr+`"]}`)
		classifier := m.Classifier()
		var err error
		start := time.Now()
		for range 20_000 {
			if _, err = classifier.Classes("/" + strings.Repeat("a", 200)); err != nil {
				break
			}
		}
		if err != nil && !strings.Contains(err.Error(), "/volatile/0") {
			t.Errorf("%s: %v", expr, err)
		}
		if took := time.Since(start); took > 2*time.Minute {
			t.Errorf("%s took %v", expr, took)
		}
	}
}

// TestManifestPageIsFresh keeps docs/manifest.md what the schema says.
func TestManifestPageIsFresh(t *testing.T) {
	const page = "../../docs/manifest.md"
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	want, err := fillReference(got, manifestSchema)
	if err != nil {
		t.Fatal(err)
	}
	comparePage(t, page, got, want)
}

// TestConfigurationPageIsFresh keeps docs/configuration.md what the schema says.
func TestConfigurationPageIsFresh(t *testing.T) {
	const page = "../../docs/configuration.md"
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	want, err := fillReference(got, configurationSchema)
	if err != nil {
		t.Fatal(err)
	}
	comparePage(t, page, got, want)
}

func FuzzParseManifest(f *testing.F) {
	f.Add([]byte(sample))
	f.Add([]byte(`{"entry_points": {"init": true}, "args": {"a": {"$ref": "#/$defs/x"}, "$defs": {"x": {}}}, "x": 1.0}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := ParseManifest(data)
		if err != nil {
			return
		}
		written, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseManifest(written); err != nil {
			t.Fatalf("%s: %v", written, err)
		}
		if _, err := m.Upgrade(); err != nil {
			t.Fatalf("upgrade %s: %v", data, err)
		}
		classifier := m.Classifier()
		for _, path := range []string{"/a", "/tmp/a/b"} {
			_, _ = classifier.Classes(path)
		}
	})
}

func FuzzArgsSchema(f *testing.F) {
	f.Add([]byte(`{"a": {"type": "string", "default": "x"}}`), []byte(`{"a": "y"}`))
	f.Add([]byte(`{"type": "object", "properties": {"a": {"allOf": [{"$ref": "#/$defs/b"}]}}, "$defs": {"b": {"writeOnly": true}}}`), []byte(`{"a": 5}`))
	f.Fuzz(func(t *testing.T, args, given []byte) {
		if !json.Valid(args) || !json.Valid(given) {
			return
		}
		m, err := ParseManifest([]byte(`{"args": ` + string(args) + `}`))
		if err != nil {
			return
		}
		c, err := m.Configure([]byte(`{"args": ` + string(given) + `}`))
		var problems Problems
		if err != nil {
			errors.As(err, &problems)
			return
		}
		if _, err := c.Canonical(make([]byte, 32)); err != nil {
			t.Fatal(err)
		}
		plain, err := c.Clear()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Configure(plain); err != nil {
			t.Fatalf("filled in it is refused: %s: %v", plain, err)
		}
	})
}
