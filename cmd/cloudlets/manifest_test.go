package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const oldManifest = `{"name": "old", "x-mine": 1.50, "templates": ["/etc/hostname"], "volatile": ["/var/log/(?!apt).+"],
	"args": {"title": {"type": "string", "optional": true}, "password": {"type": "string", "writeOnly": true, "minLength": 8}}}`

// manifestDir returns an image that is a directory with nothing but a manifest.
func manifestDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"etc", ".cloudlet"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	mustWrite(t, filepath.Join(dir, ".cloudlet", "manifest"), oldManifest)
	return dir
}

func TestManifestIsPrintedAndUpgraded(t *testing.T) {
	dir := manifestDir(t)
	mustWrite(t, filepath.Join(dir, "etc", "hostname"), "x\n")
	if got := ok(t, "manifest", dir); got != oldManifest {
		t.Errorf("got %s", got)
	}
	upgraded := ok(t, "manifest", "--upgrade", dir)
	for _, want := range []string{`"x-mine": 1.50`, `"$schema": "https://json-schema.org/draft/2020-12/schema"`, `"required": [`} {
		if !strings.Contains(upgraded, want) {
			t.Errorf("%s is not in %s", want, upgraded)
		}
	}
	again := mustWrite(t, filepath.Join(t.TempDir(), "manifest"), upgraded)
	if got := ok(t, "manifest", "--upgrade", "--manifest", again); got != upgraded {
		t.Errorf("upgraded twice: %s", got)
	}
	if got := ok(t, "manifest", t.TempDir()); got != "{}" {
		t.Errorf("an image without one has %q", got)
	}
}

func TestSchemasArePrinted(t *testing.T) {
	file := mustWrite(t, filepath.Join(t.TempDir(), "manifest"), oldManifest)
	for _, args := range [][]string{{"specs"}, {"schema", "--manifest", file}} {
		var schema map[string]any
		if err := json.Unmarshal([]byte(ok(t, args...)), &schema); err != nil || schema["$schema"] == nil {
			t.Errorf("%v: %v, %v", args, schema, err)
		}
	}
	fails(t, exitUsage, []string{"IMAGE"}, "schema")
}

func TestManifestsAreValidated(t *testing.T) {
	dir := manifestDir(t)
	manifest := filepath.Join(dir, ".cloudlet", "manifest")
	fails(t, exitFailed, []string{`/templates/0: found /etc/hostname: expected a file in the image`}, "validate", dir)
	ok(t, "validate", "--manifest", manifest)
	mustWrite(t, filepath.Join(dir, "etc", "hostname"), "x\n")
	ok(t, "validate", dir)
	bad := mustWrite(t, filepath.Join(t.TempDir(), "bad"), `{"name": 5, "templates": ["x"]}`)
	fails(t, exitFailed, []string{"/name: found 5", "/templates/0"}, "validate", dir, "--manifest", bad)
	r := cloudlets(t, "validate", "--json", "--manifest", bad)
	var result struct {
		Valid    bool
		Problems []struct{ Pointer, Rule string }
	}
	if err := json.Unmarshal([]byte(r.stdout), &result); err != nil || r.code != exitFailed || result.Valid || len(result.Problems) != 2 {
		t.Errorf("exit code %d, %+v, %v\n%s", r.code, result, err, r.stdout)
	}
	fails(t, exitNotFound, []string{"none"}, "validate", "--manifest", filepath.Join(dir, "none"))
}

func TestConfigurationsAreValidated(t *testing.T) {
	file := mustWrite(t, filepath.Join(t.TempDir(), "manifest"), oldManifest)
	const secret = "hunter2-hunter2"
	got := ok(t, "validate-args", "--manifest", file, `{"args": {"password": "`+secret+`"}}`)
	if strings.Contains(got, secret) || !strings.Contains(got, "(secret)") {
		t.Errorf("got %s", got)
	}
	config := mustWrite(t, filepath.Join(t.TempDir(), "config"), `{"args": {"password": "`+secret+`"}}`)
	for _, args := range [][]string{{"validate_args", "--manifest", file, config}, {"validate-args", "--json", "--manifest", file, config}} {
		if got := ok(t, args...); strings.Contains(got, secret) {
			t.Errorf("%v: %s", args, got)
		}
	}
	fails(t, exitFailed, []string{"/args/password: found (secret): expected at least 8", "/args/titel: it is not known here; the image takes the arguments password, title"},
		"validate-args", "--manifest", file, `{"args": {"password": "short", "titel": 1}}`)
	cloudletsFrom(t, `{}`, "validate-args", "--manifest", file, "-").mustFail(t, exitFailed, "/args/password: it is required, and missing")
}
