package tarball

import (
	"bytes"
	"os/exec"
	"testing"
)

// debianPackages says which Debian package has a tool.
var debianPackages = map[string]string{
	"tar": "tar", "bsdtar": "libarchive-tools", "setfacl": "acl", "getfacl": "acl",
	"setfattr": "attr", "getfattr": "attr",
	"gzip": "gzip", "zstd": "zstd", "xz": "xz-utils", "bzip2": "bzip2",
}

// run runs a tool in dir and returns what it prints. A tool that is missing or
// fails ends the test.
func run(t testing.TB, dir string, stdin []byte, name string, args ...string) []byte {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Fatalf("this test needs %s: install the Debian package %s", name, debianPackages[name])
	}
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	cmd.Env = append(cmd.Environ(), "LC_ALL=C", "TZ=UTC")
	cmd.Stdin = bytes.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, stderr.Bytes())
	}
	return stdout.Bytes()
}
