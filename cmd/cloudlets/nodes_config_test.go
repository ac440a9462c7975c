package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// showConfigured is a unit that says on the console what a node has become.
const showConfigured = `[Unit]
After=networking.service
[Service]
Type=oneshot
StandardOutput=journal+console
ExecStart=/bin/sh -c 'echo "node $(hostname) has $(ip -o -4 addr show dev eth0) and $(cat /etc/resolv.conf) end of node"'
[Install]
WantedBy=multi-user.target
`

// configurableDebian returns the tar of Debian with three templates.
func configurableDebian(t testing.TB) string {
	t.Helper()
	files := t.TempDir()
	for name, content := range map[string]string{
		".cloudlet/manifest": `{"args": {"hostname": {"type": "string"}}, "persistent": ["/var/log"], "volatile": ["/tmp/.+", "/var/tmp/.+"],
			"templates": ["/etc/hostname", "/etc/resolv.conf", "/etc/network/interfaces"], "entrypoints": {"kernel": {"requires": {"arch": "x86_64", "kernel": ">= 5.10"}}}}`,
		"etc/hostname":    "<%= args.hostname %>\n",
		"etc/resolv.conf": "nameserver <%= dns.nameservers[0] %>\n",
		"etc/network/interfaces": "auto lo\niface lo inet loopback\n<% for (const i of ip.interfaces) { %>auto <%= i.name %>\n" +
			"iface <%= i.name %> inet static\n    address <%= i.addresses[0] %>\n<% } -%>\n",
		"etc/systemd/system/show.service": showConfigured,
	} {
		at := filepath.Join(files, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		mustWrite(t, at, content)
	}
	wants := filepath.Join(files, "etc/systemd/system/multi-user.target.wants")
	if err := os.MkdirAll(wants, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/systemd/system/show.service", filepath.Join(wants, "show.service")); err != nil {
		t.Fatal(err)
	}
	rootfs := filepath.Join(t.TempDir(), "rootfs.tar")
	tool(t, "cp", debianTar(t), rootfs)
	tool(t, "tar", "--append", "-f", rootfs, "--owner=0", "--group=0", "-C", files, "./.cloudlet", "./etc")
	return rootfs
}

// TestTwoConfigurationsOfDebianBoot renders one image for two nodes, and boots
// each to its own name and address.
func TestTwoConfigurationsOfDebianBoot(t *testing.T) {
	s, _ := debianServer(t)
	find(t, "qemu-system-x86_64")
	t.Parallel()
	ok(t, "push", configurableDebian(t), s.ref("golden/debian:templates"))
	var disks []string
	for node := 1; node <= 2; node++ {
		name, address, dns := fmt.Sprintf("web-%d", node), fmt.Sprintf("192.0.2.%d", node), fmt.Sprintf("198.51.100.%d", node)
		config := fmt.Sprintf(`{"args": {"hostname": %q}, "dns": {"nameservers": [%q]}, "ip": {"interfaces": [{"name": "eth0", "addresses": ["%s/24"]}]}}`, name, dns, address)
		options := []string{"--config", config, "--append", "net.ifnames=0"}
		disks = append(disks, renderRaw(t, s.ref("golden/debian:templates"), options...))
		r := cloudlets(t, bootArgs(s.ref("golden/debian:templates"), append(options, "--until", "end of node")...)...)
		if r.code != 0 {
			t.Fatalf("%s: exit code %d\n%s\n%s", name, r.code, r.stdout, r.stderr)
		}
		for _, want := range []string{"node " + name + " has", "inet " + address + "/24", "nameserver " + dns} {
			if !strings.Contains(r.stdout, want) {
				t.Errorf("the console of %s does not show %q:\n%s", name, want, r.stdout)
			}
		}
	}
	if n := differingBlocks(t, disks[0], disks[1]); n == 0 || n > 40 {
		t.Errorf("the disks differ in %d blocks of 4096 bytes: want those of four files and their metadata", n)
	}
}

// differingBlocks counts the blocks of 4096 bytes in which two files differ.
func differingBlocks(t testing.TB, a, b string) int {
	t.Helper()
	contentA, contentB := mustRead(t, a), mustRead(t, b)
	if len(contentA) != len(contentB) {
		t.Fatalf("they have %d and %d bytes", len(contentA), len(contentB))
	}
	const block = 4096
	n := 0
	for off := 0; off < len(contentA); off += block {
		end := min(off+block, len(contentA))
		if contentA[off:end] != contentB[off:end] {
			n++
		}
	}
	return n
}
