package registry_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// tool runs a program that Debian has in the named package.
func tool(t *testing.T, debian, name string, args ...string) []byte {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is missing: apt-get install %s", name, debian)
	}
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out.Bytes(), errs.Bytes())
	}
	return out.Bytes()
}

func skopeo(t *testing.T, args ...string) []byte {
	t.Helper()
	return tool(t, "skopeo", "skopeo", append([]string{"--insecure-policy"}, args...)...)
}

func TestSkopeoCopiesBothWays(t *testing.T) {
	f := start(t, nil)
	layout := filepath.Join(t.TempDir(), "layout")
	want := writeLayout(t, layout)
	skopeo(t, "copy", "--dest-tls-verify=false", "--preserve-digests", "oci:"+layout+":v1", "docker://"+f.host+"/golden/debian:12")
	out := t.TempDir()
	skopeo(t, "copy", "--src-tls-verify=false", "--preserve-digests", "docker://"+f.host+"/golden/debian:12", "dir:"+out)
	got, err := os.ReadFile(filepath.Join(out, "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("the manifest came back as\n%s\nwant\n%s", got, want)
	}
}
