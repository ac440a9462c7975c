package main

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestRawIsTheSameFromEveryImage(t *testing.T) {
	s := newServer(t)
	rootfs := writeTar(t, templatesRootfs(t))
	ok(t, "push", rootfs, s.ref("a:1"))
	config := `{"args": {"hostname": "web-1"}, "dns": {"nameservers": ["192.0.2.53"]}}`
	dir := t.TempDir()
	raw := func(image string, options ...string) string {
		out := filepath.Join(dir, "disk.raw")
		ok(t, append([]string{"raw", image, "--out", out, "--config", config, tight}, options...)...)
		return out
	}
	checkDisk(t, raw(rootfs))
	if got := tool(t, "debugfs", "-R", "cat /etc/hostname", rootOf(t, raw(rootfs))); got != "web-1\n" {
		t.Errorf("/etc/hostname is %q", got)
	}
	same(t, raw(s.ref("a:1")), renderRaw(t, s.ref("a:1"), "--config", config))

	filesystem := raw(rootfs, "--type", "filesystem")
	tool(t, "e2fsck", "-fn", filesystem)
	if got := tool(t, "debugfs", "-R", "cat /etc/hostname", filesystem); got != "web-1\n" {
		t.Errorf("/etc/hostname of the filesystem is %q", got)
	}
	noLoader := writeTar(t, append(smallRootfs(), kernel()...))
	checkDisk(t, raw2(t, noLoader, "--bootkit", rootfs))
}

// raw2 renders an image here without a configuration.
func raw2(t testing.TB, image string, options ...string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "disk.raw")
	ok(t, append([]string{"raw", image, "-o", out, tight}, options...)...)
	return out
}

func TestSecretsAreRenderedHereAndNowhereElse(t *testing.T) {
	s := newServer(t)
	entries := append(bootableRootfs(t),
		regular("./.cloudlet/manifest", `{"args": {"pw": {"type": "string", "writeOnly": true}}, "templates": ["/etc/pw"]}`),
		regular("./etc/pw", "<%= args.pw %>"))
	rootfs := writeTar(t, entries)
	ok(t, "push", rootfs, s.ref("a:1"))
	config := `{"args": {"pw": "correct horse"}}`
	for _, where := range [][]string{nil, {"--here", "--push"}} {
		r := cloudlets(t, append([]string{"render", s.ref("a:1"), "--config", config}, where...)...)
		r.mustFail(t, exitFailed, "cloudlets raw")
		if strings.Contains(r.stdout+r.stderr, "horse") {
			t.Errorf("the secret is told: %s", r.stderr)
		}
	}
	if got := tool(t, "debugfs", "-R", "cat /etc/pw", rootOf(t, raw2(t, rootfs, "--config", config))); got != "correct horse" {
		t.Errorf("the template has become %q", got)
	}
}

func TestPartsOfADirectBootAreRendered(t *testing.T) {
	s := newServer(t)
	entries := append(bootableRootfs(t), regular("./.cloudlet/manifest", `{"entrypoints": {"init": {"command": ["/bin/start", "now"], "requires": {"kernel": ">= 5.10"}}, "chroot": {"command": ["/bin/true"]}}}`))
	rootfs := writeTar(t, entries)
	ok(t, "push", rootfs, s.ref("a:1"))
	for outputType, want := range map[string]string{"kernel": text(50, 300_000), "ramdisk": text(51, 200_000)} {
		out := filepath.Join(t.TempDir(), outputType)
		r := cloudlets(t, "render", s.ref("a:1"), "--format", "raw", "--type", outputType, "-o", out)
		if r.code != 0 || mustRead(t, out) != want {
			t.Errorf("%s: exit code %d, or not that of the image: %s", outputType, r.code, r.stderr)
		}
		if !strings.Contains(r.stderr, "kernel command line: root=UUID=") || !strings.Contains(r.stderr, "init=/bin/start -- now\n") {
			t.Errorf("%s: the command line is told as %s", outputType, r.stderr)
		}
	}
	root := renderRaw(t, s.ref("a:1"), "--type", "filesystem")
	tool(t, "e2fsck", "-fn", root)
	out := filepath.Join(t.TempDir(), "out.tar")
	ok(t, "render", s.ref("a:1"), "--format", "tar", "-o", out)
	if got := tool(t, "tar", "-xOf", out, "etc/hostname"); got != "golden\n" {
		t.Errorf("/etc/hostname in the tar is %q", got)
	}
	if got := cloudlets(t, "inspect", "--raw", s.ref("a:1")).stdout; !strings.Contains(got, "mediaType") {
		t.Errorf("inspect: %s", got)
	}
}

func TestEntryPointsRefuseWhatTheyCannotStart(t *testing.T) {
	base := bootableRootfs(t)
	for manifest, c := range map[string]struct {
		options []string
		says    string
	}{
		`{"entrypoints": {"kernel": {"requires": {"kernel": ">= 6.5"}}}}`: {nil, "requires a kernel >= 6.5, the machine's is 6.1.0-1-test"},
		`{"entrypoints": {"kernel": {"requires": {"arch": "arm64"}}}}`:    {nil, "requires the architecture arm64"},
		`{"entrypoints": {"chroot": {}}}`:                                 {nil, "the image has the entry points chroot"},
		`{"entrypoints": {"kernel": {}}}`:                                 {[]string{"--entrypoint", "chroot"}, "cannot start the entry point chroot"},
	} {
		rootfs := writeTar(t, append(base, regular("./.cloudlet/manifest", manifest)))
		args := append([]string{"raw", rootfs, "-o", filepath.Join(t.TempDir(), "x")}, c.options...)
		fails(t, exitFailed, []string{c.says}, args...)
	}
}

// persistentManifest is that of a rootfs with paths of every kind.
const persistentManifest = `{"persistent": ["/var/log", "/var/lib/size-4097", "/gone"], "volatile": ["/tmp/.+", "/var/cache/.+"]}`

func TestPersistentPathsAreOnTheSecondDisk(t *testing.T) {
	s := newServer(t)
	entries := append(bootableRootfs(t), dir("./var/log", 0o2750), regular("./var/log/messages", "kept\n"),
		regular("./.cloudlet/manifest", persistentManifest))
	ok(t, "push", writeTar(t, entries), s.ref("a:1"))
	disk := renderRaw(t, s.ref("a:1"), "--persistent-disk", "--volatile-tmpfs")
	checkDisk(t, disk)
	root := rootOf(t, disk)
	fstab := tool(t, "debugfs", "-R", "cat /etc/fstab", root)
	for _, line := range []string{
		"LABEL=root / ext4 defaults 0 1\n",
		"LABEL=persistent /.cloudlet/persistent ext4 defaults,x-systemd.growfs 0 2\n",
		"/.cloudlet/persistent/var/log /var/log none bind,x-systemd.requires-mounts-for=/.cloudlet/persistent 0 0\n",
		"/.cloudlet/persistent/var/lib/size-4097 /var/lib/size-4097 none bind",
		"tmpfs /tmp tmpfs mode=1777,uid=0,gid=0,nosuid,nodev 0 0\n",
		"tmpfs /var/cache tmpfs mode=0755",
	} {
		if !strings.Contains(fstab, line) {
			t.Errorf("fstab lacks %q:\n%s", line, fstab)
		}
	}
	if got := tool(t, "debugfs", "-R", "ls -p /var/log", root); strings.Contains(got, "messages") {
		t.Errorf("the root has still %s", got)
	}
	second := renderRaw(t, s.ref("a:1"), "--type", "persistent", "--size", "64M")
	tool(t, "e2fsck", "-fn", second)
	if got := tool(t, "debugfs", "-R", "cat /var/log/messages", second); got != "kept\n" {
		t.Errorf("the second disk has %q", got)
	}
	if got := tool(t, "debugfs", "-R", "stat /var/log", second); !strings.Contains(got, "Mode:  02750") {
		t.Errorf("/var/log has become\n%s", got)
	}
	if got := tool(t, "e2label", second); strings.TrimSpace(got) != "persistent" {
		t.Errorf("its label is %q", got)
	}
}
