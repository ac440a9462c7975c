package main

import (
	"archive/tar"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// templatesManifest is a cloudlet manifest as in format 0.0.4.
const templatesManifest = `{
  "name": "templates", "arch": "x86_64",
  "args": {"hostname": {"type": "string", "default": "debian"}},
  "templates": ["/etc/hostname", "/etc/resolv.conf"],
  "persistent": ["/var/log"],
  "volatile": ["/var/cache/.*"]
}`

// templatesRootfs is a rootfs with templates, each in the way that is hardest: one
// has an owner, one stands behind a link.
func templatesRootfs(t testing.TB) []entry {
	t.Helper()
	entries := append(bootableRootfs(t),
		regular("./.cloudlet/manifest", templatesManifest),
		regular("./etc/hostname", "<%= args.hostname %>\n").with(func(h *tar.Header) { h.Uid, h.Mode = 42, 0o640 }),
		dir("./run", 0o755), dir("./var/log", 0o755),
		regular("./var/log/messages", "kept\n"),
		regular("./run/resolv.conf", "<% for (const s of dns.nameservers) { -%>\nnameserver <%= s %>\n<% } -%>\n"),
		link(tar.TypeSymlink, "./etc/resolv.conf", "../run/resolv.conf"),
	)
	return entries
}

func TestRenderedTemplatesAreInTheDisk(t *testing.T) {
	s := newServer(t)
	ok(t, "push", writeTar(t, templatesRootfs(t)), s.ref("golden/templates:1"))
	config := mustWrite(t, filepath.Join(t.TempDir(), "config.json"),
		`{"args": {"hostname": "web-1"}, "dns": {"nameservers": ["192.0.2.53", "2001:db8::53"]}, "ip": {"interfaces": [{"name": "eth0", "dhcp4": true}]}}`)
	r := cloudlets(t, "render", s.ref("golden/templates:1"), "--config", config, "--format", "raw", "-o", filepath.Join(t.TempDir(), "note.raw"), tight)
	if r.code != 0 || !strings.Contains(r.stderr, "the part ip of the configuration has no effect") || strings.Contains(r.stderr, "part dns") {
		t.Errorf("exit code %d, %s", r.code, r.stderr)
	}
	disk := renderRaw(t, s.ref("golden/templates:1"), "--config", config)
	checkDisk(t, disk)
	root := rootOf(t, disk)
	for path, want := range map[string]string{
		"/etc/hostname":             "web-1\n",
		"/run/resolv.conf":          "nameserver 192.0.2.53\nnameserver 2001:db8::53\n",
		"/.cloudlet/applied_config": `{"args":{"hostname":"web-1"},"dns":{"nameservers":["192.0.2.53","2001:db8::53"],"search":[]},"ip":{"interfaces":[{"addresses":[],"dhcp4":true,"dhcp6":false,"name":"eth0","routes":[]}]}}` + "\n",
	} {
		if got := tool(t, "debugfs", "-R", "cat "+path, root); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
	if stat := tool(t, "debugfs", "-R", "stat /etc/hostname", root); !strings.Contains(stat, "User:    42") || !strings.Contains(stat, "Mode:  0640") {
		t.Errorf("the template has become\n%s", stat)
	}
	defaults := renderRaw(t, s.ref("golden/templates:1"))
	if got := tool(t, "debugfs", "-R", "cat /etc/hostname", rootOf(t, defaults)); got != "debian\n" {
		t.Errorf("without a configuration /etc/hostname is %q", got)
	}
}

// writeDir unpacks entries into a directory.
func writeDir(t testing.TB, entries []entry) string {
	t.Helper()
	dir := t.TempDir()
	tool(t, "tar", "-x", "-p", "--numeric-owner", "-C", dir, "-f", writeTar(t, entries))
	return dir
}

// sampleRootfs has a file of each class, and one of two.
func sampleRootfs() []entry {
	return []entry{
		dir(".", 0o755), dir("./.cloudlet", 0o755), dir("./etc", 0o755), dir("./var", 0o755), dir("./var/log", 0o755), dir("./var/log/apt", 0o755), dir("./tmp", 0o1777),
		regular("./.cloudlet/manifest", `{
			"args": {"hostname": {"type": "string", "default": "debian"}, "password": {"type": "string", "writeOnly": true, "default": "open sesame"}},
			"templates": ["/etc/hostname"], "persistent": ["/var/log"], "volatile": ["/var/log/(?!apt).+", "/tmp/.+"]}`),
		regular("./etc/hostname", "<%= args.hostname %>").with(func(h *tar.Header) { h.Mode = 0o640 }),
		link(tar.TypeLink, "./etc/mailname", "./etc/hostname"),
		regular("./etc/hosts", "127.0.0.1\n"),
		regular("./var/log/apt/history", "kept\n"), regular("./var/log/syslog", "noise\n"), regular("./tmp/x", "noise\n"),
	}
}

func TestFindAndTarChooseByClass(t *testing.T) {
	s := newServer(t)
	rootfs := writeTar(t, sampleRootfs())
	ok(t, "push", rootfs, s.ref("sample:1"))
	images := map[string]string{"directory": writeDir(t, sampleRootfs()), "tar": rootfs, "reference": s.ref("sample:1")}
	for only, want := range map[string]struct{ find, tar string }{
		"":                     {"/.cloudlet /.cloudlet/manifest /etc /etc/hostname /etc/hosts /etc/mailname /tmp /var /var/log /var/log/apt /var/log/apt/history", ""},
		"templates":            {"/etc/hostname", "./ etc/ etc/hostname"},
		"persistent":           {"/var/log /var/log/apt /var/log/apt/history /var/log/syslog", "./ var/ var/log/ var/log/apt/ var/log/apt/history var/log/syslog"},
		"volatile":             {"/tmp/x /var/log/syslog", "./ tmp/ tmp/x var/ var/log/ var/log/syslog"},
		"other":                {"/.cloudlet /.cloudlet/manifest /etc /etc/hosts /etc/mailname /tmp /var", ""},
		"templates,persistent": {"/etc/hostname /var/log /var/log/apt /var/log/apt/history /var/log/syslog", ""},
	} {
		for name, image := range images {
			var args []string
			if only != "" {
				args = []string{"--only", only}
			}
			if got := strings.Join(strings.Fields(ok(t, append([]string{"find", image}, args...)...)), " "); got != want.find {
				t.Errorf("find --only %q of a %s is\n%s\nwant\n%s", only, name, got, want.find)
			}
			if want.tar == "" {
				continue
			}
			out := filepath.Join(t.TempDir(), "out.tar")
			ok(t, append([]string{"tar", image, "--out", out}, args...)...)
			if got := strings.Join(strings.Fields(tool(t, "tar", "-tf", out)), " "); got != want.tar {
				t.Errorf("tar --only %q of a %s is\n%s\nwant\n%s", only, name, got, want.tar)
			}
		}
	}
	fails(t, exitUsage, []string{`"logs" is not a class`}, "find", rootfs, "--only", "logs")
	if got := cloudlets(t, "find", rootfs, "--only", "volatile", "-0").stdout; got != "/tmp/x\x00/var/log/syslog\x00" {
		t.Errorf("with NUL: %q", got)
	}
	if got := ok(t, "find", rootfs, "--only", "volatile", "--json"); !strings.Contains(strings.Join(strings.Fields(got), ""), `{"path":"/var/log/syslog","classes":["persistent","volatile"]}`) {
		t.Errorf("as JSON: %s", got)
	}
	off := mustWrite(t, filepath.Join(t.TempDir(), "manifest.json"), `{"templates": ["/etc/hosts"]}`)
	if got := ok(t, "find", rootfs, "--only", "templates", "--manifest", off); got != "/etc/hosts" {
		t.Errorf("with another manifest: %q", got)
	}
}

func TestTarIsConfigured(t *testing.T) {
	rootfs := writeTar(t, sampleRootfs())
	out := filepath.Join(t.TempDir(), "out.tar")
	ok(t, "tar", rootfs, "--config", `{"args": {"hostname": "web-1"}}`, "--out", out)
	for file, want := range map[string]string{"etc/hostname": "web-1", ".cloudlet/applied_config": "(secret)"} {
		if got := tool(t, "tar", "-xOf", out, file); !strings.Contains(got, want) {
			t.Errorf("%s is %q", file, got)
		}
	}
	if got := tool(t, "tar", "-tvf", out); !strings.Contains(got, "-rw-r----- 0/0") {
		t.Errorf("the template has lost its mode:\n%s", got)
	}
	off := mustWrite(t, filepath.Join(t.TempDir(), "manifest.json"), `{"templates": ["/etc/hosts"]}`)
	hosts := `<%= env.NAME %>`
	entries := append(sampleRootfs(), regular("./etc/hosts", hosts))
	ok(t, "tar", writeTar(t, entries), "--manifest", off, "--config", "{}", "--env", "NAME=v", "-o", out)
	if got := tool(t, "tar", "-xOf", out, "etc/hosts"); got != "v" {
		t.Errorf("with another manifest and an environment it is %q", got)
	}
}

func TestDirectoriesAreConfiguredOnce(t *testing.T) {
	dir := writeDir(t, sampleRootfs())
	defaults := ok(t, "config", dir)
	if !strings.Contains(defaults, `"hostname": "debian"`) || !strings.Contains(defaults, `"password": "(secret)"`) {
		t.Errorf("the defaults are %s", defaults)
	}
	fails(t, exitFailed, []string{"/args/hostname", "/args/x"}, "config", dir, `{"args": {"hostname": 5, "x": 1}}`)
	config := `{"args": {"hostname": "web-1", "password": "hunter2"}}`
	shown := ok(t, "config", dir, config, "--dry-run")
	if _, err := os.Stat(filepath.Join(dir, ".cloudlet/applied_config")); err == nil {
		t.Error("a dry run has written")
	}
	before := tool(t, "stat", "-c", "%a %u %g %Y", filepath.Join(dir, "etc/hostname"))
	applied := ok(t, "config", dir, config)
	if applied != shown || strings.Contains(applied, "hunter2") {
		t.Errorf("shown was %s, applied %s", shown, applied)
	}
	for _, name := range []string{"hostname", "mailname"} {
		if got := mustRead(t, filepath.Join(dir, "etc", name)); got != "web-1" {
			t.Errorf("/etc/%s is %q", name, got)
		}
	}
	if after := tool(t, "stat", "-c", "%a %u %g %Y", filepath.Join(dir, "etc/hostname")); after != before {
		t.Errorf("the template has become %s, from %s", after, before)
	}
	if recorded := mustRead(t, filepath.Join(dir, ".cloudlet/applied_config")); strings.Contains(recorded, "hunter2") {
		t.Errorf("the secret is recorded: %s", recorded)
	}
	if again := ok(t, "config", dir); again != applied {
		t.Errorf("now it is %s", again)
	}
	fails(t, exitFailed, []string{"configured already"}, "config", dir, config)
	fails(t, exitFailed, []string{"only a directory"}, "config", writeTar(t, sampleRootfs()), config)
}

func TestServerConfigurationIsStillPrinted(t *testing.T) {
	if got := ok(t, "config", "example"); !strings.Contains(got, "listen") {
		t.Errorf("config example prints %s", got)
	}
}

// TestAManifestCanBeKeptOffBand pushes a rootfs with a manifest beside it.
func TestAManifestCanBeKeptOffBand(t *testing.T) {
	s := newServer(t)
	manifest := mustWrite(t, filepath.Join(t.TempDir(), "manifest.json"), `{"name": "beside", "templates": ["/etc/fstab"], "args": {"a": {"type": "string"}}}`)
	entries := append(bootableRootfs(t), regular("./etc/fstab", "# <%= args.a %>\n"))
	ok(t, "push", writeTar(t, entries), s.ref("a:1"), "--manifest", manifest)
	if got := ok(t, "manifest", s.ref("a:1")); !strings.Contains(got, "beside") {
		t.Errorf("the manifest is %s", got)
	}
	disk := renderRaw(t, s.ref("a:1"), "--config", `{"args": {"a": "b"}}`)
	if got := tool(t, "debugfs", "-R", "cat /etc/fstab", rootOf(t, disk)); got != "# b\n" {
		t.Errorf("/etc/fstab is %q", got)
	}
}
