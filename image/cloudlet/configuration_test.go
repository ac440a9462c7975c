package cloudlet

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"os/exec"
	"strings"
	"testing"
)

const wiki = `{"args": {
	"title": {"type": "string", "default": "Wiki"},
	"port": {"type": "integer", "minimum": 1, "maximum": 65535, "default": 80},
	"db": {"type": "object", "properties": {
		"host": {"type": "string", "default": "localhost"},
		"password": {"type": "string", "minLength": 8, "writeOnly": true, "optional": true}
	}},
	"admins": {"type": "array", "optional": true, "items": {"type": "object", "properties": {"name": {"type": "string"}, "key": {"type": "string", "writeOnly": true}}}},
	"email": {"type": "string", "format": "email"}
}}`

func TestConfigurationsAreFilledIn(t *testing.T) {
	for name, c := range map[string]struct{ manifest, given, want string }{
		"nothing": {`{}`, ``, `{"args":{},"dns":{"nameservers":[],"search":[]},"ip":{"interfaces":[]}}`},
		"defaults, nested too": {wiki, `{"args": {"email": "a@b.c"}}`,
			`{"args":{"db":{"host":"localhost"},"email":"a@b.c","port":80,"title":"Wiki"},"dns":{"nameservers":[],"search":[]},"ip":{"interfaces":[]}}`},
		"in what is given": {wiki, `{"args": {"email": "a@b.c", "db": {"password": "<longenough>"}, "port": 81}, "hostname": "web-1"}`,
			`{"args":{"db":{"host":"localhost","password":"<longenough>"},"email":"a@b.c","port":81,"title":"Wiki"},"dns":{"nameservers":[],"search":[]},"hostname":"web-1","ip":{"interfaces":[]}}`},
		"interfaces": {`{}`, `{"ip": {"interfaces": [{"name": "eth0", "dhcp4": true}, {"name": "eth1", "addresses": ["192.0.2.10/24", "2001:db8::10/64"], "gateway4": "192.0.2.1", "gateway6": "fe80::1", "routes": [{"to": "198.51.100.0/24", "via": "192.0.2.2"}]}]}}`,
			`{"args":{},"dns":{"nameservers":[],"search":[]},"ip":{"interfaces":[{"addresses":[],"dhcp4":true,"dhcp6":false,"name":"eth0","routes":[]},{"addresses":["192.0.2.10/24","2001:db8::10/64"],"dhcp4":false,"dhcp6":false,"gateway4":"192.0.2.1","gateway6":"fe80::1","name":"eth1","routes":[{"to":"198.51.100.0/24","via":"192.0.2.2"}]}]}}`},
		"through references": {`{"args": {"$schema": "` + draft + `", "properties": {"a": {"$ref": "#/$defs/x"}, "b": {"allOf": [{"$ref": "#x"}]}}, "$defs": {"x": {"$anchor": "x", "type": "integer", "default": 7}}}}`, `{}`,
			`{"args":{"a":7,"b":7},"dns":{"nameservers":[],"search":[]},"ip":{"interfaces":[]}}`},
		"not what could not be": {`{"args": {"o": {"type": "object", "optional": true, "properties": {"a": {"type": "string"}, "b": {"default": 1}}}}}`, `{}`,
			`{"args":{},"dns":{"nameservers":[],"search":[]},"ip":{"interfaces":[]}}`},
	} {
		t.Run(name, func(t *testing.T) {
			m := mustParse(t, c.manifest)
			got, err := m.Configure([]byte(c.given))
			if err != nil {
				t.Fatal(err)
			}
			text, err := got.Clear()
			if err != nil || string(text) != c.want {
				t.Errorf("got  %s, %v\nwant %s", text, err, c.want)
			}
		})
	}
}

func TestBadConfigurationsAreRefusedWithAllThatIsWrong(t *testing.T) {
	iface := func(fields string) string { return `{"ip": {"interfaces": [{"name": "eth0", ` + fields + `}]}}` }
	for _, c := range []struct {
		manifest, given string
		want            []string
	}{
		{wiki, `{"args": {"port": 99999, "titel": "x", "email": "nobody"}, "dns": {"nameservers": ["1.2.3"]}}`, []string{
			"/args/port: found 99999: expected at most 65535 (maximum)",
			"/args/titel: it is not known here; the image takes the arguments admins, db, email, port, title",
			"/args/email: found \"nobody\": expected the format email (format)",
			"/dns/nameservers/0: found \"1.2.3\": expected an IPv4 or IPv6 address",
		}},
		{wiki, `{}`, []string{"/args/email: it is required, and missing; give this argument"}},
		{`{}`, `{"args": {"a": 1}}`, []string{"/args/a: it is not known here; the image takes no arguments"}},
		{`{}`, `{"arg": {}}`, []string{"/arg: it is not known here"}},
		{`{}`, `5`, []string{"(document): found 5: expected object"}},
		{`{}`, `{"args": null}`, []string{"/args: found null: expected object"}},
		{`{}`, `{`, []string{"ends too early"}},
		{`{}`, `{"hostname": "-a"}`, []string{`/hostname: found "-a": expected what matches`}},
		{`{}`, `{"dns": {"nameservers": "192.0.2.1"}}`, []string{`/dns/nameservers: found "192.0.2.1": expected array`}},
		{`{}`, iface(`"dhcp4": true, "addresses": ["192.0.2.10/24"]`), []string{"/ip/interfaces/0/addresses/0: found \"192.0.2.10/24\": a static address and dhcp4 exclude each other"}},
		{`{}`, iface(`"addresses": ["192.0.2.10"]`), []string{"length of its prefix"}},
		{`{}`, iface(`"addresses": ["192.0.2.10/33"]`), []string{"length of its prefix"}},
		{`{}`, iface(`"addresses": ["192.0.2.255/24", "192.0.2.0/24", "224.0.0.1/24"]`), []string{"/0/addresses/0: found \"192.0.2.255/24\": the first and the last", "/addresses/1", "one machine"}},
		{`{}`, iface(`"addresses": ["192.0.2.10/24", "192.0.2.10/24"]`), []string{"there twice"}},
		{`{}`, iface(`"addresses": ["192.0.2.10/24"], "gateway4": "198.51.100.1"`), []string{"/gateway4: found \"198.51.100.1\": expected a router in the subnet"}},
		{`{}`, iface(`"addresses": ["192.0.2.10/24"], "gateway4": "192.0.2.10"`), []string{"own address"}},
		{`{}`, iface(`"gateway4": "2001:db8::1"`), []string{"expected an IPv4 address"}},
		{`{}`, iface(`"dhcp4": true, "gateway4": "192.0.2.1"`), []string{"comes from DHCP"}},
		{`{}`, iface(`"dhcp4": true, "routes": [{"to": "198.51.100.1/24", "via": "192.0.2.1"}, {"to": "2001:db8::/32", "via": "192.0.2.1"}, {"to": "x", "via": "y!"}]`), []string{
			"/routes/0/to: found \"198.51.100.1/24\": expected the subnet's own address: 198.51.100.0/24", "/routes/1/to", "different families", "/routes/2/to", "/routes/2/via"}},
		{`{}`, `{"ip": {"interfaces": [{"name": "eth0"}, {"name": "eth0"}, {"name": "a/b"}, {}]}}`, []string{
			"/ip/interfaces/1/name: found \"eth0\": /ip/interfaces/0 has the same name", "/ip/interfaces/2/name", "/ip/interfaces/3/name: it is required"}},
		{`{"args": {"a": {"anyOf": [{"type": "string"}, {"type": "integer"}]}}}`, `{"args": {"a": true}}`, []string{"/args/a: found true: none of the alternatives fits: expected string (type), or expected integer (type)"}},
		{`{"args": {"a": {"type": "string", "pattern": "^(?=.*\\d)(?:a|a)*(?!b)$"}}}`, `{"args": {"a": "` + strings.Repeat("a", 60) + `1!"}}`, []string{"backtracks too much"}},
		{`{}`, strings.Repeat(" ", MaxConfigurationSize+1), []string{"limit"}},
	} {
		_, err := mustParse(t, c.manifest).Configure([]byte(c.given))
		if err == nil {
			t.Errorf("%s was taken", c.given)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%.80s: want an error with %q, got %v", c.given, want, err)
			}
		}
	}
}

const password = "hunter2-hunter2"

func TestSecretsAreNotShown(t *testing.T) {
	m := mustParse(t, wiki)
	c, err := m.Configure([]byte(`{"args": {"email": "a@b.c", "db": {"password": "` + password + `"}, "admins": [{"name": "ada", "key": "` + password + `"}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(c.Secrets(), " "); got != "/args/admins/0/key /args/db/password" {
		t.Errorf("the secrets are %s", got)
	}
	var logged bytes.Buffer
	slog.New(slog.NewJSONHandler(&logged, nil)).Info("configured", "configuration", c)
	marshaled, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	canonical, err := c.Canonical(bytes.Repeat([]byte{1}, 32))
	if err != nil {
		t.Fatal(err)
	}
	redacted, err := c.Redacted()
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"log": logged.String(), "JSON": string(marshaled), "canonical": string(canonical), "redacted": string(redacted),
		"%v": fmt.Sprintf("%v", c), "%+v": fmt.Sprintf("%+v", c), "%#v": fmt.Sprintf("%#v", c), "%s": fmt.Sprintf("%s", c), "%x": fmt.Sprintf("%x", c),
	} {
		if strings.Contains(text, password) || strings.Contains(text, "68756e746572") {
			t.Errorf("%s shows a secret: %s", name, text)
		}
		if !strings.Contains(text, "ada") {
			t.Errorf("%s shows nothing: %s", name, text)
		}
	}
	if plain, err := c.Clear(); err != nil || !strings.Contains(string(plain), password) {
		t.Errorf("in clear it is %s, %v", plain, err)
	}
}

func TestErrorsDoNotShowSecrets(t *testing.T) {
	const short = "hunter2"
	for _, given := range []string{
		`{"args": {"email": "a@b.c", "db": {"password": "` + short + `"}}}`,
		`{"args": {"email": "a@b.c", "db": {"pasword": "` + short + `"}}}`,
		`{"args": {"email": "a@b.c", "db": "` + short + `"}}`,
		`{"args": {"email": "a@b.c", "pw": "` + short + `"}}`,
		`{"args": "` + short + `"}`,
		`{"password": "` + short + `"}`,
		`"` + short + `"`,
		`["` + short + `"]`,
		`{"args": {"email": "a@b.c", "admins": ["` + short + `"]}}`,
		`{"args": {"email": "a@b.c", "admins": [{"name": "x", "key": ["` + short + `"]}]}}`,
		`{"args": {"email": "a@b.c", "db": {"password": "` + short + `", "password": 1}}}`,
	} {
		_, err := mustParse(t, wiki).Configure([]byte(given))
		if err == nil || strings.Contains(err.Error(), short) {
			t.Errorf("%s: got %v", given, err)
		}
	}
	_, err := mustParse(t, wiki).Configure([]byte(`{"args": {"email": "a@b.c", "db": {"password": "` + short + `"}}}`))
	if want := "/args/db/password: found (secret): expected at least 8 characters (minLength)"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("want %q, got %v", want, err)
	}
}

func TestSecretsAreFoundWhereverASchemaHasThem(t *testing.T) {
	for name, c := range map[string]struct{ args, given, want string }{
		"a reference":        {`{"a": {"$ref": "#/$defs/s"}}, "$defs": {"s": {"writeOnly": true}}`, `{"a": 1}`, "/args/a"},
		"one of several":     {`{"a": {"oneOf": [{"type": "string"}, {"type": "integer", "writeOnly": true}]}}`, `{"a": "x"}`, "/args/a"},
		"all of":             {`{"a": {"allOf": [{"properties": {"b": {"writeOnly": true}}}]}}`, `{"a": {"b": 1, "c": 2}}`, "/args/a/b"},
		"a condition":        {`{"a": {"if": {"type": "string"}, "then": {"writeOnly": true}}}`, `{"a": 1}`, "/args/a"},
		"other keys":         {`{"a": {"properties": {"b": {}}, "additionalProperties": {"writeOnly": true}}}`, `{"a": {"b": 1, "c/d": 2}}`, "/args/a/c~1d"},
		"keys by pattern":    {`{"a": {"patternProperties": {"^p": {"writeOnly": true}}}}`, `{"a": {"p": 1}}`, "/args/a/p"},
		"items":              {`{"a": {"prefixItems": [{}], "items": {"writeOnly": true}}}`, `{"a": [1, 2]}`, "/args/a/1"},
		"a whole object":     {`{"a": {"writeOnly": true, "properties": {"b": {}}}}`, `{"a": {"b": 1}}`, "/args/a"},
		"what is false":      {`{"a": {"writeOnly": false}}`, `{"a": 1}`, ""},
		"dependent on other": {`{"a": {"dependentSchemas": {"x": {"properties": {"b": {"writeOnly": true}}}}}}`, `{"a": {"b": 1}}`, "/args/a/b"},
	} {
		t.Run(name, func(t *testing.T) {
			m := mustParse(t, `{"args": {"$schema": "`+draft+`", "type": "object", "properties": `+c.args+`}}`)
			got, err := m.Configure([]byte(`{"args": ` + c.given + `}`))
			if err != nil {
				t.Fatal(err)
			}
			if secrets := strings.Join(got.Secrets(), " "); secrets != c.want {
				t.Errorf("got %q, want %q", secrets, c.want)
			}
		})
	}
}

func TestCanonicalFormNeedsAKeyForSecrets(t *testing.T) {
	m := mustParse(t, `{"args": {"a": {"writeOnly": true}, "b": {"writeOnly": true}}}`)
	configure := func(text string) *Configuration {
		t.Helper()
		c, err := m.Configure([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	canonical := func(c *Configuration, key byte) string {
		t.Helper()
		text, err := c.Canonical(bytes.Repeat([]byte{key}, 32))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	one := configure(`{"args": {"a": "x", "b": "x"}}`)
	if canonical(one, 1) != canonical(configure(` {"args":{"b":"x","a":"x"}}`), 1) {
		t.Error("equal configurations have different forms")
	}
	if canonical(one, 1) == canonical(one, 2) {
		t.Error("the form does not depend on the key")
	}
	if canonical(one, 1) == canonical(configure(`{"args": {"a": "y", "b": "x"}}`), 1) {
		t.Error("the form does not depend on the secret")
	}
	var form struct{ Args map[string]map[string]string }
	if err := json.Unmarshal([]byte(canonical(one, 1)), &form); err != nil {
		t.Fatal(err)
	}
	if form.Args["a"]["$secret"] == form.Args["b"]["$secret"] {
		t.Error("equal secrets in different places look equal")
	}
	if _, err := one.Canonical([]byte("short")); err == nil {
		t.Error("a short key was taken")
	}
}

func TestDefaultsCannotExplode(t *testing.T) {
	list := `[` + strings.Repeat(`{},`, 99) + `{}]`
	schema := `{}`
	for range 6 {
		schema = `{"type": "array", "default": ` + list + `, "items": {"type": "object", "properties": {"a": ` + schema + `}}}`
	}
	m := mustParse(t, `{"args": {"$schema": "`+draft+`", "properties": {"a": `+schema+`}}}`)
	if _, err := m.Configure(nil); err == nil || !strings.Contains(err.Error(), "too many values") {
		t.Errorf("got %.200v", err)
	}
}

// pythonValidator checks documents against a schema with python3-jsonschema.
const pythonValidator = `
import json, sys, warnings
warnings.simplefilter("ignore")
from jsonschema import Draft202012Validator
task = json.load(sys.stdin)
Draft202012Validator.check_schema(task["schema"])
v = Draft202012Validator(task["schema"])
json.dump([v.is_valid(d) for d in task["documents"]], sys.stdout)
`

func askValidator(t *testing.T, schema []byte, documents []string) []bool {
	t.Helper()
	raw := make([]json.RawMessage, len(documents))
	for i, d := range documents {
		raw[i] = json.RawMessage(d)
	}
	task, err := json.Marshal(map[string]any{"schema": json.RawMessage(schema), "documents": raw})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "/usr/bin/python3", "-c", pythonValidator)
	cmd.Stdin = bytes.NewReader(task)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("python3 (Debian packages python3, python3-jsonschema): %v %s", err, stderr.String())
	}
	var valid []bool
	if err := json.Unmarshal(out, &valid); err != nil {
		t.Fatal(err)
	}
	return valid
}

func TestOtherValidatorsAgree(t *testing.T) {
	m := mustParse(t, `{"args": {"$schema": "`+draft+`", "type": "object", "properties": {"b": {"$ref": "#/$defs/c"}, "d": {"$ref": "#named"}}, "required": ["b"], "$defs": {"c": {"type": "string", "pattern": "^(?!x)"}, "d": {"$anchor": "named", "maxItems": 1}}}}`)
	documents := []string{
		`{"args": {"b": "y"}}`, `{"args": {"b": "x"}}`, `{"args": {"b": 5}}`, `{"args": {}}`, `{"args": {"b": "y", "d": [1]}}`, `{"args": {"b": "y", "d": [1, 2]}}`,
		`{"args": {"b": "y", "z": 1}}`, `{"args": {"b": "y"}, "zzz": 1}`, `{"args": {"b": "y"}, "hostname": "a.b"}`, `{"args": {"b": "y"}, "hostname": "a..b"}`,
		`{"args": {"b": "y"}, "ip": {"interfaces": [{"name": "eth0", "addresses": ["192.0.2.10/24"], "gateway4": "192.0.2.1"}]}}`,
		`{"args": {"b": "y"}, "ip": {"interfaces": [{"addresses": []}]}}`, `{"args": {"b": "y"}, "dns": {"search": ["a b"]}}`, `{"args": {"b": "y"}, "dns": {"search": ["example.com"]}}`,
	}
	schema, err := m.ConfigurationSchema()
	if err != nil {
		t.Fatal(err)
	}
	for i, valid := range askValidator(t, schema, documents) {
		if _, err := m.Configure([]byte(documents[i])); (err == nil) != valid {
			t.Errorf("%s: got %v, python3-jsonschema says it is valid: %v", documents[i], err, valid)
		}
	}
	manifests := []string{sample, wiki, `{}`, `{"name": 5}`, `{"templates": ["x"]}`, `{"type": "disk", "containerFormat": "qcow2"}`, `{"containerFormat": "qcow2"}`, `{"entrypoints": {"init": {"requires": {"kernel": ">= 5.10"}}}}`}
	for i, valid := range askValidator(t, manifestSchema, manifests) {
		if _, err := ParseManifest([]byte(manifests[i])); (err == nil) != valid {
			t.Errorf("%s: got %v, python3-jsonschema says it is valid: %v", manifests[i], err, valid)
		}
	}
}

func FuzzConfigure(f *testing.F) {
	f.Add([]byte(`{"args": {"email": "a@b.c", "db": {"password": "hunter2-hunter2"}}, "ip": {"interfaces": [{"name": "eth0", "addresses": ["192.0.2.10/24"]}]}}`))
	f.Add([]byte(`{"dns": {"nameservers": ["::1"]}, "hostname": "a"}`))
	m, err := ParseManifest([]byte(wiki))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := m.Configure(data)
		if err != nil {
			return
		}
		plain, err := c.Clear()
		if err != nil {
			t.Fatal(err)
		}
		again, err := m.Configure(plain)
		if err != nil {
			t.Fatalf("%s: %v", plain, err)
		}
		if twice, err := again.Clear(); err != nil || !bytes.Equal(plain, twice) {
			t.Fatalf("%s became %s, %v", plain, twice, err)
		}
	})
}

func BenchmarkConfigure(b *testing.B) {
	m, err := ParseManifest([]byte(wiki))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := m.Configure([]byte(`{"args": {"email": "a@b.c"}}`)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseManifest(b *testing.B) {
	for b.Loop() {
		if _, err := ParseManifest([]byte(sample)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkClasses(b *testing.B) {
	m, err := ParseManifest([]byte(sample))
	if err != nil {
		b.Fatal(err)
	}
	classifier := m.Classifier()
	for b.Loop() {
		if _, err := classifier.Classes("/usr/share/doc/libc6/copyright"); err != nil {
			b.Fatal(err)
		}
	}
}
