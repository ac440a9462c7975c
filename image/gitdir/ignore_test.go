package gitdir

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// write makes files of a rootfs, with their directories.
func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// tracked returns the files that git keeps.
func tracked(t *testing.T, dir string) []string {
	t.Helper()
	return strings.Split(strings.Trim(git(t, dir, "ls-files", "-z"), "\x00"), "\x00")
}

func TestVolatilePathsAreIgnored(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{
		".cloudlet/manifest":   `{"volatile": ["/tmp/.+", "/var/log/(?!apt).+"]}`,
		"etc/hostname":         "golden\n",
		"tmp/a/b":              "volatile",
		"var/log/apt/history":  "kept",
		"var/log/[*]? \\n.log": "volatile, with all that patterns know",
		"var/log/new\nline":    "volatile",
	})
	git(t, dir, "init", "-q")
	git(t, dir, "add", "-A")
	git(t, dir, "commit", "-q", "-m", "version")
	want := []string{".cloudlet/manifest", MetadataPath, "etc/hostname", "var/log/apt/history"}
	if got := tracked(t, dir); !slices.Equal(got, want) {
		t.Errorf("git keeps %q, expected %q", got, want)
	}
	committed, err := parseMetadata([]byte(git(t, dir, "show", "HEAD:"+MetadataPath)))
	if err != nil {
		t.Fatal(err)
	}
	for path := range committed {
		if strings.HasPrefix(path, "tmp/") || strings.HasPrefix(path, "var/log/") && !strings.HasPrefix(path, "var/log/apt") {
			t.Errorf("the metadata speaks of /%s", path)
		}
	}
	write(t, dir, map[string]string{"tmp/c": "another", "tmp/a/b": "changed", "var/log/syslog": "another"})
	if status := git(t, dir, "status", "--porcelain"); status != "" {
		t.Errorf("volatile files are changes:\n%s", status)
	}
	git(t, dir, "checkout", "-q", "-f", "HEAD")
	if _, err := os.Stat(filepath.Join(dir, "tmp/c")); err != nil {
		t.Error(err)
	}
}

func TestIgnoreFilesInTheRootfsAreContent(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string]string{
		".gitignore":        "*.pyc\n/opt\n",
		"opt/app/main":      "hidden by the root",
		"usr/lib/a.pyc":     "hidden by the root",
		"srv/x/.gitignore":  "*\n",
		"srv/x/secret":      "hidden beside it",
		"srv/x/y/z/further": "hidden below it",
	})
	git(t, dir, "init", "-q")
	git(t, dir, "add", "-A")
	want := []string{MetadataPath, ".gitignore", "opt/app/main", "srv/x/.gitignore", "srv/x/secret", "srv/x/y/z/further", "usr/lib/a.pyc"}
	if got := tracked(t, dir); !slices.Equal(got, want) {
		t.Errorf("git keeps %q, expected %q", got, want)
	}
	git(t, dir, "commit", "-q", "-m", "version")
	if status := git(t, dir, "status", "--porcelain"); status != "" {
		t.Errorf("after a commit there are changes:\n%s", status)
	}
}
