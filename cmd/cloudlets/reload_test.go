package main

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestHangupReloadsWhatTheConfigurationNames changes the rules, the endpoints and
// the retention policy of a registry that serves, and breaks each of their files.
func TestHangupReloadsWhatTheConfigurationNames(t *testing.T) {
	r := newMoodyReceiver(t)
	r.moody = false
	dir := t.TempDir()
	file := func(name, content string) string { return mustWrite(t, filepath.Join(dir, name), content) }
	const everything = "rules: [{repositories: ['**'], principals: [anonymous], actions: ['*']}]\n"
	const pulling = "rules: [{repositories: ['**'], principals: [anonymous], actions: [pull]}]\n"
	access, policy := file("access.yaml", everything), file("retention.json", `{"rules": []}`)
	configuration := func(endpoints string) string {
		return file("cloudlets.yaml", fmt.Sprintf("access: %q\nretention: %q\nevents: {endpoints: [%s]}\n", access, policy, endpoints))
	}
	s := startServer(t, t.TempDir(), "env", configVariable+"="+configuration(""))
	reloads := 0
	hangup := func(outcome string) {
		t.Helper()
		reloads++
		if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		eventually(t, outcome, func() bool {
			log := s.logged()
			return strings.Contains(log, outcome) && strings.Count(log, "configuration reloaded")+strings.Count(log, "configuration not reloaded") == reloads
		})
	}
	n := 0
	push := func(want int) {
		t.Helper()
		n++
		if got := s.try(http.MethodPut, fmt.Sprintf("/v2/a/manifests/t%d", n), ociIndex, index(n)); got != want {
			t.Errorf("push %d is answered %d, want %d", n, got, want)
		}
	}
	push(http.StatusCreated)
	configuration(fmt.Sprintf("{name: ci, url: %q}", r.URL))
	hangup("configuration reloaded")
	push(http.StatusCreated)
	eventually(t, "the new endpoint is told", func() bool { return strings.Join(r.told("a"), " ") == "push t2" })

	file("access.yaml", pulling)
	file("retention.json", `{"rulez": []}`)
	hangup("rulez")
	push(http.StatusCreated) // the rules of a broken set of files are not in force
	file("retention.json", `{"rules": [{"repositories": "**", "keepNewest": 3}]}`)
	file("access.yaml", pulling+"rulez: []\n")
	hangup("access.yaml")
	push(http.StatusCreated)
	file("access.yaml", pulling)
	hangup("configuration reloaded")
	push(http.StatusForbidden)
	eventually(t, "what was pushed meanwhile is told", func() bool { return strings.Join(r.told("a"), " ") == "push t2 push t3 push t4" })
}
