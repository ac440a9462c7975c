package main

import (
	"archive/tar"
	"context"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

const goldenPage = "../../docs/golden-images.md"

// recipe is a section of the page about golden images, and what a test gives it
// and expects of it.
type recipe struct {
	heavy   bool // it boots a whole Debian
	prepare func(t testing.TB, g *golden)
	check   func(t testing.TB, g *golden)
}

// golden is where a recipe is run.
type golden struct {
	server *server
	dir    string
	tools  string            // a directory that stands first in PATH
	env    map[string]string // the variables that the page asks the reader for
}

// sharedSection holds what all recipes begin with.
const sharedSection = "What every image gets"

var recipes = map[string]recipe{
	"Debian packages":               {heavy: true, prepare: fakeMmdebstrap, check: checkGoldenDebian},
	"A container image":             {prepare: containerSource, check: checkGoldenContainer},
	"The disk of a virtual machine": {prepare: machineDisk, check: checkGoldenDisk},
	"A running machine":             {prepare: machineRoot, check: checkGoldenMachine},
	"The next version":              {prepare: versionBefore, check: checkNextVersion},
}

// TestGoldenImagesAreMadeAsThePageSays runs the page's own text.
func TestGoldenImagesAreMadeAsThePageSays(t *testing.T) {
	sections := goldenSections(t)
	shared := sections[sharedSection]
	if shared == "" {
		t.Fatalf("the page has nothing to run under %q", sharedSection)
	}
	delete(sections, sharedSection)
	for title := range recipes {
		if sections[title] == "" {
			t.Errorf("the page has nothing to run under %q", title)
		}
	}
	for title, script := range sections {
		r, ok := recipes[title]
		if !ok {
			t.Errorf("no test knows what %q needs", title)
			continue
		}
		t.Run(title, func(t *testing.T) { r.run(t, shared+script) })
	}
}

// shellBlock matches the title of a section, or a block to run.
var shellBlock = regexp.MustCompile("(?ms)^## ([^\n]+)$|^```sh\n(.*?)^```$")

// goldenSections returns what the sections of the page run, by their titles.
func goldenSections(t testing.TB) map[string]string {
	t.Helper()
	sections, title := map[string]string{}, ""
	for _, m := range shellBlock.FindAllStringSubmatch(mustRead(t, goldenPage), -1) {
		if m[1] != "" {
			title = m[1]
			continue
		}
		sections[title] += m[2]
	}
	return sections
}

func (r recipe) run(t *testing.T, script string) {
	if r.heavy && testing.Short() {
		t.Skip("a whole Debian takes its time")
	}
	g := &golden{server: newServer(t), dir: t.TempDir(), tools: t.TempDir(), env: map[string]string{}}
	g.env["REGISTRY"] = g.server.host
	if err := os.Symlink(binary, filepath.Join(g.tools, "cloudlets")); err != nil {
		t.Fatal(err)
	}
	r.prepare(t, g)
	g.bash(t, script)
	r.check(t, g)
}

// bash runs a script with the settings that the page tells the reader to make.
func (g *golden) bash(t testing.TB, script string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*bootTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-euxo", "pipefail", "-c", script)
	cmd.Dir = g.dir
	cmd.Env = append(os.Environ(), "HOME="+g.dir, "DOCKER_CONFIG=/nonexistent", "PATH="+g.tools+":"+os.Getenv("PATH")+":/usr/sbin:/sbin")
	for name, value := range g.env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	if r := finish(t, cmd); r.code != 0 {
		t.Fatalf("exit code %d\n%s\n%s", r.code, r.stdout, r.stderr)
	}
}

// file names a file that a recipe has made.
func (g *golden) file(name string) string { return filepath.Join(g.dir, name) }

// pulled returns the files of an image that a recipe has pushed.
func (g *golden) pulled(t testing.TB, name string) map[string]*node {
	t.Helper()
	out := filepath.Join(t.TempDir(), "pulled.tar")
	ok(t, "tar", g.server.ref(name), "--volatile", "-o", out)
	return readTar(t, out)
}

// machineKey is what no image may have.
const machineKey = "./etc/ssh/ssh_host_ed25519_key"

// machineRootfs is that of a machine that has run: it has a name, an identity
// and keys. All of it can be unpacked by whoever tests.
func machineRootfs(t testing.TB) []entry {
	t.Helper()
	entries := []entry{
		dir(".", 0o755), dir("./etc", 0o755), dir("./etc/ssh", 0o755), dir("./tmp", 0o1777), dir("./usr", 0o755), dir("./usr/bin", 0o755),
		dir("./usr/lib", 0o755), dir("./var", 0o755), dir("./var/log", 0o755), dir("./var/lib", 0o750),
		regular("./etc/hostname", "old-name\n"), regular("./etc/machine-id", strings.Repeat("0f", 16)+"\n"),
		regular("./etc/fstab", "UUID=12345678-1234-1234-1234-123456789abc / ext4 defaults 0 1\n"),
		regular(machineKey, "secret").with(func(h *tar.Header) { h.Mode = 0o600 }),
		regular("./tmp/left", "behind"), regular("./var/log/syslog", "noise"),
		regular("./var/lib/data", text(7, 3<<20)).with(func(h *tar.Header) { h.Mode, h.Uid, h.Gid = 0o640, 101, 102 }),
		regular("./usr/bin/su", text(8, 70_000)).with(func(h *tar.Header) { h.Mode = 0o4755 }),
		link(tar.TypeLink, "./usr/bin/su2", "./usr/bin/su"), link(tar.TypeSymlink, "./bin", "usr/bin"),
	}
	return append(append(entries, kernel()...), bootloaders(t)...)
}

// fakeMmdebstrap gives a recipe a program that takes Debian from a file instead
// of the network, and does with it as its customize hooks say.
func fakeMmdebstrap(t testing.TB, g *golden) {
	t.Helper()
	find(t, "qemu-system-x86_64")
	script := mustWrite(t, filepath.Join(g.tools, "mmdebstrap"), `#!/bin/bash
set -euo pipefail
root=$(mktemp -d -p "$HOME")
tar -x -p --numeric-owner --xattrs --xattrs-include='*' -C "$root" -f "$DEBIAN"
for option; do
    case $option in
    "--customize-hook=sync-in "*) read -r _ from to <<< "$option"; cp -dR "$from/." "$root$to" ;;
    --customize-hook=*) sh -c "${option#*=}" exec "$root" ;;
    esac
done
[ "${@: -2:1}" = bookworm ]
tar -c --numeric-owner --xattrs --xattrs-include='*' -C "$root" -f "${@: -1}" .
rm -rf "$root"
`)
	if err := os.Chmod(script, 0o755); err != nil {
		t.Fatal(err)
	}
	g.env["DEBIAN"] = debianTar(t)
}

// checkGoldenDebian has little to do: the recipe has waited for the name.
func checkGoldenDebian(t testing.TB, g *golden) {
	checkNobodys(t, g.pulled(t, "golden/web:1"))
	tool(t, "qemu-img", "check", g.file("web-1.qcow2"))
}

// containerSource is an OCI layout with an image that has no cloudlet manifest.
func containerSource(t testing.TB, g *golden) {
	t.Helper()
	find(t, "skopeo")
	upstream := newServer(t)
	ok(t, "push", writeTar(t, machineRootfs(t)), upstream.ref("app:1"))
	layout := filepath.Join(t.TempDir(), "layout")
	ok(t, "pull", upstream.ref("app:1"), "--layout", layout)
	g.env["SOURCE"] = "oci:" + layout + ":1"
}

func checkGoldenContainer(t testing.TB, g *golden) {
	copied := tool(t, "skopeo", "inspect", "--format", "{{.Digest}}", g.env["SOURCE"])
	if got := tool(t, "skopeo", "inspect", "--tls-verify=false", "--format", "{{.Digest}}", "docker://"+g.server.ref("containers/app:1")); got != copied {
		t.Errorf("the image is %s, and was %s", got, copied)
	}
	compareFiles(t, g.pulled(t, "golden/app:1"), readTar(t, writeTar(t, machineRootfs(t))), "/.cloudlet", "/.cloudlet/manifest", "/etc/hostname", "/etc/fstab")
	tool(t, "e2fsck", "-fn", g.file("app.ext4"))
	if got := tool(t, "debugfs", "-R", "cat /etc/hostname", g.file("app.ext4")); got != "web-1\n" {
		t.Errorf("in the filesystem the name is %q", got)
	}
	if got := tool(t, "tar", "-xOf", g.file("app-1.tar"), "etc/hostname"); got != "web-1\n" {
		t.Errorf("in the tar the name is %q", got)
	}
}

// machineDisk makes the disk of a machine.
func machineDisk(t testing.TB, g *golden) {
	t.Helper()
	find(t, "tar")
	source := newServer(t)
	ok(t, "push", writeTar(t, machineRootfs(t)), source.ref("vm:1"))
	disk := filepath.Join(t.TempDir(), "vm.vmdk")
	ok(t, "render", source.ref("vm:1"), "--format", "raw", "-o", disk+".raw", tight)
	tool(t, "qemu-img", "convert", "-O", "vmdk", disk+".raw", disk)
	g.env["DISK"] = disk
}

func checkGoldenDisk(t testing.TB, g *golden) {
	whole := filepath.Join(t.TempDir(), "disk.vmdk")
	ok(t, "pull", g.server.ref("disks/vm:1"), "-o", whole)
	tool(t, "qemu-img", "compare", whole, g.env["DISK"])
	files := g.pulled(t, "golden/vm:1")
	checkNobodys(t, files)
	compareFiles(t, files, readTar(t, writeTar(t, machineRootfs(t))), overlaid...)
	checkGoldenName(t, g.file("vm-1.qcow2"))
}

// overlaid are the files of a machine that its golden image has of its own, or
// has not.
var overlaid = []string{
	"/.cloudlet", "/.cloudlet/manifest", "/etc/hostname", "/etc/fstab", "/etc/machine-id", strings.TrimPrefix(machineKey, "."),
	"/etc/systemd", "/etc/systemd/system", "/etc/systemd/system/ssh.service.d", "/etc/systemd/system/ssh.service.d/host-keys.conf",
	"/usr/lib/repart.d", "/usr/lib/repart.d/50-root.conf",
}

func machineRoot(t testing.TB, g *golden) {
	t.Helper()
	root := writeDir(t, machineRootfs(t))
	tool(t, "setfattr", "-n", "user.comment", "-v", "kept", filepath.Join(root, "usr/bin/su"))
	g.env["ROOT"] = root
}

func checkGoldenMachine(t testing.TB, g *golden) {
	files := g.pulled(t, "golden/machine:1")
	checkNobodys(t, files)
	compareFiles(t, files, readTar(t, writeTar(t, machineRootfs(t))), append([]string{"/tmp/left", "/var/log/syslog"}, overlaid...)...)
	if got := files["/usr/bin/su"].xattrs["user.comment"]; got != "kept" {
		t.Errorf("an attribute has become %q", got)
	}
	checkGoldenName(t, g.file("machine-1.qcow2"))
}

func versionBefore(t testing.TB, g *golden) {
	t.Helper()
	ok(t, "push", writeTar(t, machineRootfs(t)), g.server.ref("golden/app:1"))
}

func checkNextVersion(t testing.TB, g *golden) {
	if got := ok(t, "log", g.server.ref("golden/app:1")); !strings.Contains(got, "Greet whoever logs in") {
		t.Errorf("the history is %s", got)
	}
	compareFiles(t, g.pulled(t, "golden/app:1"), readTar(t, writeTar(t, machineRootfs(t))), "/etc/motd")
}

// checkNobodys fails the test where an image still is some machine's.
func checkNobodys(t testing.TB, files map[string]*node) {
	t.Helper()
	for at := range files {
		if strings.HasPrefix(at, "/etc/ssh/ssh_host_") {
			t.Errorf("the image has the key %s", at)
		}
	}
	if id := files["/etc/machine-id"]; id == nil || id.size != 0 {
		t.Errorf("the machine's identity is %+v, want an empty file", id)
	}
	if files["/.cloudlet/manifest"] == nil {
		t.Error("the image has no cloudlet manifest")
	}
}

// checkGoldenName fails the test unless a disk has the configured name.
func checkGoldenName(t testing.TB, disk string) {
	t.Helper()
	raw := filepath.Join(t.TempDir(), "disk.raw")
	tool(t, "qemu-img", "convert", "-O", "raw", disk, raw)
	checkDisk(t, raw)
	if got := tool(t, "debugfs", "-R", "cat /etc/hostname", rootOf(t, raw)); got != "web-1\n" {
		t.Errorf("on the disk the name is %q", got)
	}
}

// compareFiles compares what a recipe may not change: all but some paths. Only
// root can give files away.
func compareFiles(t testing.TB, got, want map[string]*node, but ...string) {
	t.Helper()
	got, want = without(maps.Clone(got), but...), without(maps.Clone(want), but...)
	for at := range got {
		if want[at] == nil {
			t.Errorf("%s is new", at)
		}
	}
	for at, w := range want {
		g := got[at]
		if g == nil {
			t.Errorf("%s is gone", at)
			continue
		}
		same := g.kind == w.kind && g.mode == w.mode && g.sum == w.sum && g.target == w.target
		if w.kind == "regular" {
			same = same && g.sec == w.sec
		}
		if os.Geteuid() == 0 {
			same = same && g.uid == w.uid && g.gid == w.gid
		}
		if !same {
			t.Errorf("%s has become %+v, want %+v", at, g, w)
		}
	}
}
