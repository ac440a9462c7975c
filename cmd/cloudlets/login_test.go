package main

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

const password = "correct horse"

// startLocked starts a registry where only alice may do anything.
func startLocked(t *testing.T) *server {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	users := mustWrite(t, filepath.Join(t.TempDir(), "htpasswd"), "alice:"+string(hash)+"\n")
	return startServer(t, t.TempDir(), "sh", "-c", `exec "$@" --htpasswd '`+users+`'`, "sh")
}

// in runs a command with docker's configuration in a directory.
func in(t *testing.T, config, stdin string, args ...string) result {
	t.Helper()
	cmd := command(t.Context(), args...)
	cmd.Env = append(cmd.Env, "DOCKER_CONFIG="+config, "PATH="+config+":"+os.Getenv("PATH"))
	cmd.Stdin = strings.NewReader(stdin)
	r := finish(t, cmd)
	if strings.Contains(r.stdout+r.stderr, password) {
		t.Errorf("the password is told:\n%s%s", r.stdout, r.stderr)
	}
	return r
}

func TestLoginIsDockers(t *testing.T) {
	s := startLocked(t)
	rootfs := writeTar(t, smallRootfs())
	config := t.TempDir()
	in(t, config, "", "push", rootfs, s.ref("golden/small:1")).mustFail(t, exitFailed, "cloudlets login")
	in(t, config, "wrong", "login", s.host, "-u", "alice", "--password-stdin").mustFail(t, exitFailed, "log in to "+s.host)
	in(t, config, password, "login", s.host, "-u", "eve", "--password-stdin").mustFail(t, exitFailed, "log in to "+s.host)
	in(t, config, password, "login", s.host, "--password-stdin").mustFail(t, exitUsage, "--username")
	in(t, config, "", "login", s.host, "-u", "alice").mustFail(t, exitUsage, "--password-stdin")
	if r := in(t, config, password+"\n", "login", s.host, "-u", "alice", "--password-stdin"); r.code != 0 {
		t.Fatal(r.stderr)
	}
	if r := in(t, config, "", "push", rootfs, s.ref("golden/small:1")); r.code != 0 {
		t.Fatal(r.stderr)
	}
	// What is kept is what docker keeps, so others find it.
	find(t, "skopeo")
	skopeo := exec.CommandContext(t.Context(), "skopeo", "inspect", "--tls-verify=false", "--authfile", filepath.Join(config, "config.json"), "docker://"+s.ref("golden/small:1"))
	if out, err := skopeo.CombinedOutput(); err != nil {
		t.Errorf("skopeo: %v\n%s", err, out)
	}
	if r := in(t, config, "", "logout", s.host); r.code != 0 {
		t.Fatal(r.stderr)
	}
	in(t, config, "", "ls", s.ref("golden/small")).mustFail(t, exitFailed, "cloudlets login")
	if log := s.logged(); strings.Contains(log, password) {
		t.Errorf("the log tells the password:\n%s", log)
	}
}

func TestOthersLoginIsOurs(t *testing.T) {
	s := startLocked(t)
	config := t.TempDir()
	tool(t, "skopeo", "login", "--tls-verify=false", "--authfile", filepath.Join(config, "config.json"), "-u", "alice", "-p", password, s.host)
	if r := in(t, config, "", "push", writeTar(t, smallRootfs()), s.ref("golden/small:1")); r.code != 0 {
		t.Error(r.stderr)
	}
}

func TestAccessFileSaysWhoMayDoWhat(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	mustWrite(t, filepath.Join(dir, "key.pem"), tool(t, "openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"))
	mustWrite(t, filepath.Join(dir, "users"), "alice:"+string(hash)+"\n")
	rules := mustWrite(t, filepath.Join(dir, "access.yaml"), `
users: `+dir+`/users
issuer: {key: `+dir+`/key.pem}
rules:
  - {repositories: [golden/**], principals: [alice], actions: [pull, push]}
  - {repositories: [golden/**], principals: [anonymous], actions: [pull]}
quotas: [{prefix: golden/little, bytes: 0}]
`)
	s := startServer(t, t.TempDir(), "sh", "-c", `exec "$@" --access '`+rules+`'`, "sh")
	config, nobody, rootfs := t.TempDir(), t.TempDir(), writeTar(t, bootableRootfs(t))
	if r := in(t, config, password, "login", s.host, "-u", "alice", "--password-stdin"); r.code != 0 {
		t.Fatal(r.stderr)
	}
	if r := in(t, config, "", "push", rootfs, s.ref("golden/small:1")); r.code != 0 {
		t.Fatal(r.stderr)
	}
	if r := in(t, nobody, "", "pull", s.ref("golden/small:1"), "-o", filepath.Join(dir, "back.tar")); r.code != 0 {
		t.Error(r.stderr)
	}
	in(t, nobody, "", "push", rootfs, s.ref("golden/small:2")).mustFail(t, exitFailed, "401")
	in(t, config, "", "push", rootfs, s.ref("other:1")).mustFail(t, exitFailed, "401")
	// Who may not have the registry render does it here.
	render := []string{"render", s.ref("golden/small:1"), "--format", "raw"}
	in(t, config, "", render...).mustFail(t, exitFailed, "401", "name a file with -o")
	disk, want := filepath.Join(dir, "disk"), filepath.Join(dir, "want")
	for _, options := range [][]string{{"-o", disk}, {"-o", want, "--here"}} {
		if r := in(t, config, "", append(slices.Clone(render), options...)...); r.code != 0 {
			t.Error(r.stderr)
		}
	}
	same(t, disk, want)
	in(t, config, "", "push", rootfs, s.ref("golden/little:1")).mustFail(t, exitFailed, "quota of \"golden/little\" is used up")
}

// helper is a credential helper: a program that keeps one credential in a file
// (docker-credential-helpers, the protocol of get, store and erase).
const helper = `#!/bin/sh
file="$(dirname "$0")/kept"
case "$1" in
store) cat > "$file" ;;
get) cat > /dev/null; if test -f "$file"; then cat "$file"; else echo "credentials not found in native keychain"; exit 1; fi ;;
erase) cat > /dev/null; rm -f "$file" ;;
esac
`

func TestCredentialHelperIsAsked(t *testing.T) {
	s := startLocked(t)
	config := t.TempDir()
	if err := os.WriteFile(filepath.Join(config, "docker-credential-test"), []byte(helper), 0o755); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, filepath.Join(config, "config.json"), `{"credsStore":"test"}`)
	if r := in(t, config, password, "login", s.host, "-u", "alice", "--password-stdin"); r.code != 0 {
		t.Fatal(r.stderr)
	}
	var kept struct{ ServerURL, Username, Secret string }
	if err := json.Unmarshal([]byte(mustRead(t, filepath.Join(config, "kept"))), &kept); err != nil {
		t.Fatal(err)
	}
	if kept.ServerURL != s.host || kept.Username != "alice" || kept.Secret != password {
		t.Errorf("the helper keeps %+v", kept)
	}
	if strings.Contains(mustRead(t, filepath.Join(config, "config.json")), "auth\"") {
		t.Error("the password is in the configuration too")
	}
	if r := in(t, config, "", "push", writeTar(t, smallRootfs()), s.ref("golden/small:1")); r.code != 0 {
		t.Error(r.stderr)
	}
	if r := in(t, config, "", "logout", s.host); r.code != 0 {
		t.Fatal(r.stderr)
	}
	if _, err := os.Stat(filepath.Join(config, "kept")); err == nil {
		t.Error("the helper still has the credential")
	}
}

func TestWarningsOfRegistryAreShown(t *testing.T) {
	rules := mustWrite(t, filepath.Join(t.TempDir(), "access.yaml"), `warnings: [{repositories: [golden/old], text: "use golden/new"}]`+"\n")
	s := startServer(t, t.TempDir(), "sh", "-c", `exec "$@" --access '`+rules+`'`, "sh")
	rootfs := writeTar(t, smallRootfs())
	for repository, want := range map[string]int{"golden/old:1": 1, "golden/new:1": 0} {
		if r := cloudlets(t, "push", "-q", rootfs, s.ref(repository)); r.code != 0 || strings.Count(r.stderr, "warning: use golden/new\n") != want {
			t.Errorf("%s: exit code %d, and\n%s", repository, r.code, r.stderr)
		}
	}
}
