package main

import (
	"archive/tar"
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
