package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cloudlets/cloudlets/api"
)

// formatChecks say which tool takes a file of an output for what it should be.
// "{}" stands for the file, "{raw}" for the raw disk of the same image, "{1G}" for that of 1 GiB.
var formatChecks = map[string][]string{
	"disk.qcow2":          {"qemu-img", "compare", "-F", "qcow2", "-f", "raw", "{raw}", "{}"},
	"disk.qcow":           {"qemu-img", "compare", "-F", "qcow", "-f", "raw", "{raw}", "{}"},
	"disk.qed":            {"qemu-img", "compare", "-F", "qed", "-f", "raw", "{raw}", "{}"},
	"disk.vhd":            {"qemu-img", "compare", "-F", "vpc", "-f", "raw", "{raw}", "{}"},
	"disk.vhdx":           {"qemu-img", "compare", "-F", "vhdx", "-f", "raw", "{raw}", "{}"},
	"disk.vmdk":           {"qemu-img", "compare", "-F", "vmdk", "-f", "raw", "{raw}", "{}"},
	"disk-flat.vmdk":      {"cmp", "{raw}", "{}"},
	"disk.vdi":            {"qemu-img", "compare", "-F", "vdi", "-f", "raw", "{raw}", "{}"},
	"disk.cow":            {"test", "-s", "{}"}, // no tool reads it any more
	"cloudlet.ova":        {"sh", "-c", `cd "$(dirname "$1")" && tar -xf "$1" && sha256sum -c --quiet *.mf && qemu-img compare -f raw -F vmdk "$2" cloudlet-disk1.vmdk`, "sh", "{}", "{raw}"},
	"filesystem.cpio":     {"sh", "-c", `cpio -t --quiet <"$1" | grep -qx etc/hostname`, "sh", "{}"},
	"root.cpio":           {"sh", "-c", `cpio -t --quiet <"$1" | grep -qx etc/hostname`, "sh", "{}"},
	"boot.ipxe":           {"grep", "-q", "^kernel vmlinuz initrd=root.cpio rdinit=/sbin/init", "{}"},
	"disk.hdd":            {"qemu-img", "compare", "-F", "parallels", "-f", "raw", "{raw}", "{}"},
	"disk.raw":            {"cmp", "{raw}", "{}"},
	"disk.raw.gz":         {"sh", "-c", `gzip -dc "$1" | cmp - "$2"`, "sh", "{}", "{raw}"},
	"disk.raw.zst":        {"sh", "-c", `zstd -dc "$1" | cmp - "$2"`, "sh", "{}", "{raw}"},
	"disk.raw.xz":         {"sh", "-c", `xz -dc "$1" | cmp - "$2"`, "sh", "{}", "{raw}"},
	"disk.tar.gz":         {"sh", "-c", `tar -xzOf "$1" disk.raw | cmp - "$2"`, "sh", "{}", "{1G}"},
	"layer.tar":           {"sh", "-c", `tar -xOf "$1" disk/disk.qcow2 >"$1.qcow2" && qemu-img compare -f raw -F qcow2 "$2" "$1.qcow2"`, "sh", "{}", "{raw}"},
	"filesystem.tar":      {"tar", "-tf", "{}"},
	"rootfs.wsl":          {"tar", "-tf", "{}"},
	"lxc.tar":             {"sh", "-c", `tar -tf "$1" | grep -qx rootfs/etc/hostname && tar -xOf "$1" metadata.yaml | grep -q x86_64`, "sh", "{}"},
	"filesystem.squashfs": {"unsquashfs", "-s", "{}"},
	"filesystem.erofs":    {"fsck.erofs", "{}"},
	"iso9660.iso":         {"xorriso", "-indev", "{}", "-find", "/etc/hostname"},
	"root.ext4":           {"e2fsck", "-fn", "{}"},
	"vmlinux":             {"readelf", "-h", "{}"},
	"vmlinuz":             {"test", "-s", "{}"},
	"initrd":              {"test", "-s", "{}"},
	"vm.json":             {"python3", "-m", "json.tool", "{}"},
	"xl.cfg":              {"python3", "{}"}, // xl's configurations are Python, as Xen's documentation says
}

// notHere are formats that need of an image what the test's has not. They have
// tests of their own.
var notHere = map[string]bool{"iso": true}

func TestEveryFormatIsWhatItsToolsTakeItFor(t *testing.T) {
	s := newServer(t)
	busybox := mustRead(t, "/bin/busybox") // an ELF file, which the kernel of Firecracker has to be
	entries := slices.DeleteFunc(bootableRootfs(t), func(e entry) bool { return strings.HasPrefix(e.Name, "./boot/vmlinuz-") })
	entries = append(entries, regular("./boot/vmlinuz-6.1.0-1-test", busybox))
	ok(t, "push", writeTar(t, entries), s.ref("a:1"))
	// The disk, and the same of a whole GiB, which Compute Engine wants.
	disks := strings.NewReplacer("{raw}", renderRaw(t, s.ref("a:1")), "{1G}", renderRaw(t, s.ref("a:1"), "--size", "1G"))
	for _, f := range formatLines() {
		if notHere[f.Name] {
			continue
		}
		for _, compress := range append([]string{""}, f.Compress...) {
			t.Run(f.Name+" "+compress, func(t *testing.T) {
				args := []string{"render", "--json", s.ref("a:1"), "--format", f.Name, tight}
				if compress != "" {
					args = append(args, "--compress="+compress)
				}
				var render api.Render
				if err := json.Unmarshal([]byte(ok(t, args...)), &render); err != nil {
					t.Fatal(err)
				}
				if len(render.Files) == 0 || render.Files[0].Blob != render.Blob || render.State != api.RenderDone {
					t.Fatalf("the render is %+v", render)
				}
				dir := t.TempDir()
				for _, file := range render.Files {
					download(t, "http://"+s.host+file.Content, filepath.Join(dir, file.Name))
				}
				for _, file := range render.Files {
					checkFormat(t, filepath.Join(dir, file.Name), disks)
				}
				first := filepath.Join(dir, render.Files[0].Name)
				if f.Reads {
					ok(t, "inspect", first)
				} else if f.Name == "cow" {
					fails(t, exitFailed, []string{"uml_moo"}, "inspect", first)
				}
			})
		}
	}
}

// checkFormat has a tool check a file, with what stands for the disks it may be
// compared with.
func checkFormat(t *testing.T, path string, disks *strings.Replacer) {
	t.Helper()
	check := formatChecks[filepath.Base(path)]
	if check == nil {
		t.Fatalf("no tool is known for %s", filepath.Base(path))
	}
	args := slices.Clone(check[1:])
	for i, a := range args {
		args[i] = disks.Replace(strings.ReplaceAll(a, "{}", path))
	}
	tool(t, check[0], args...)
}

// download writes what stands at a URL to a file.
func download(t *testing.T, url, path string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %s", url, resp.Status)
	}
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.ReadFrom(resp.Body); err != nil {
		t.Fatal(err)
	}
}

// TestFormatsAreDocumented looks for every format in docs/formats.md.
func TestFormatsAreDocumented(t *testing.T) {
	page := mustRead(t, "../../docs/formats.md")
	for _, f := range formatLines() {
		if !strings.Contains(page, "`"+f.Name+"`") {
			t.Errorf("docs/formats.md does not name %s", f.Name)
		}
	}
}
