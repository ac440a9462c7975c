package main

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestGitOnARootfsEndsAsGitDoes(t *testing.T) {
	for _, v := range []string{"AUTHOR", "COMMITTER"} {
		t.Setenv("GIT_"+v+"_NAME", "A Tester")
		t.Setenv("GIT_"+v+"_EMAIL", "tester@example.org")
	}
	dir := t.TempDir()
	mustWrite(t, filepath.Join(dir, "hostname"), "golden\n")
	fails(t, exitNotFound, []string{"init"}, "git", dir, "--", "status")
	fails(t, exitUsage, []string{"arguments of git"}, "git", dir, "status")
	ok(t, "git", dir, "--", "init", "-q", "-b", "main")
	for _, test := range []struct {
		code int
		args []string
	}{
		{128, []string{"log"}}, // there is no commit yet
		{0, []string{"add", "-A"}},
		{0, []string{"commit", "-q", "-m", "version"}},
		{0, []string{"diff", "--exit-code"}},
		{1, []string{"rev-parse", "--verify", "-q", "nothing"}},
		{129, []string{"status", "--no-such-option"}},
	} {
		r := cloudlets(t, append([]string{"git", dir, "--"}, test.args...)...)
		if r.code != test.code || strings.Contains(r.stderr, "cloudlets:") {
			t.Errorf("git %q: exit code %d, expected %d\n%s", test.args, r.code, test.code, r.stderr)
		}
	}
	mustWrite(t, filepath.Join(dir, "hostname"), "other\n")
	if r := cloudlets(t, "git", dir, "--", "diff", "--exit-code", "--stat", "--", "hostname"); r.code != 1 || !strings.Contains(r.stdout, "hostname") {
		t.Errorf("a changed file: exit code %d\n%s%s", r.code, r.stdout, r.stderr)
	}
}
