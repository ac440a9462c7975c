package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/cloudlets/cloudlets/converter"
)

// diskSize is that of the disks that are pushed here, in bytes.
const diskSize = 48 << 20

// diskWithData makes a raw disk with a partition table, a few MiB of content and
// holes.
func diskWithData(t testing.TB, path string) {
	t.Helper()
	mustWrite(t, path, "")
	if err := os.Truncate(path, diskSize); err != nil {
		t.Fatal(err)
	}
	tool(t, "sgdisk", "-n", "1:0:0", path)
	writeAt(t, path, 2<<20, text(1, 3<<20))
	writeAt(t, path, 20<<20+777, text(2, 1<<20))
}

func writeAt(t testing.TB, path string, off int64, content string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteAt([]byte(content), off)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

// occupied returns how many bytes a file occupies.
func occupied(t testing.TB, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t).Blocks * 512
}

// qemuOutputs are the arguments of qemu-img convert for the formats that a disk
// is pushed in, by the name of the file; the container format is its extension.
var qemuOutputs = map[string][]string{
	"v3.qcow2":       {"qcow2"},
	"v2.qcow2":       {"qcow2", "-o", "compat=0.10"},
	"zlib.qcow2":     {"qcow2", "-c"},
	"zstd.qcow2":     {"qcow2", "-c", "-o", "compression_type=zstd"},
	"dynamic.vhd":    {"vpc", "-o", "force_size=on"},
	"fixed.vhd":      {"vpc", "-o", "subformat=fixed,force_size=on"},
	"dynamic.vhdx":   {"vhdx"},
	"sparse.vmdk":    {"vmdk"},
	"stream.vmdk":    {"vmdk", "-o", "subformat=streamOptimized"},
	"dynamic.vdi":    {"vdi"},
	"static.vdi":     {"vdi", "-o", "static=on"},
	"disk.qed":       {"qed"},
	"disk.qcow":      {"qcow"},
	"disk.parallels": {"parallels"},
}

// layerOf returns the descriptor of the one layer of an artifact.
func layerOf(t testing.TB, ref string) (l struct {
	MediaType, Digest string
	Size              int64
	Annotations       map[string]string
}) {
	t.Helper()
	var m struct{ Layers []json.RawMessage }
	if err := json.Unmarshal([]byte(ok(t, "inspect", "--json", ref)), &m); err != nil || len(m.Layers) != 1 {
		t.Fatal(len(m.Layers), err)
	}
	if err := json.Unmarshal(m.Layers[0], &l); err != nil {
		t.Fatal(err)
	}
	return l
}

func TestADiskIsTheSameWhateverContainsIt(t *testing.T) {
	s := newServer(t)
	dir := t.TempDir()
	raw := filepath.Join(dir, "disk.raw")
	diskWithData(t, raw)
	ok(t, "push", raw, s.ref("disks:raw"))
	want := layerOf(t, s.ref("disks:raw"))
	if want.MediaType != "application/vnd.cloudlets.disk.raw+zstd" || want.Annotations["org.cloudlets.content.size"] != fmt.Sprint(diskSize) ||
		want.Annotations["org.cloudlets.content.digest"] != "sha256:"+strings.Fields(tool(t, "sha256sum", raw))[0] {
		t.Fatalf("the layer is %+v", want)
	}
	for name, args := range qemuOutputs {
		container := strings.TrimPrefix(filepath.Ext(name), ".")
		if format, err := converter.FindFormat(container); err != nil || format.Open == nil {
			continue
		}
		path := filepath.Join(dir, name)
		tool(t, "qemu-img", append(append([]string{"convert", "-O"}, args...), raw, path)...)
		ref := s.ref("disks:" + name)
		ok(t, "push", path, ref, "--type", "disk")
		if got := layerOf(t, ref); got.Digest != want.Digest {
			t.Errorf("%s: the layer is %s, that of the raw disk %s", name, got.Digest, want.Digest)
		}
	}
	for _, c := range [][]string{{"gzip", "-k"}, {"zstd", "-q"}, {"xz", "-0", "-k"}} {
		tool(t, c[0], append(c[1:], raw)...)
		path := raw + "." + map[string]string{"gzip": "gz", "zstd": "zst", "xz": "xz"}[c[0]]
		ok(t, "push", path, s.ref("disks:"+c[0]))
		if got := layerOf(t, s.ref("disks:"+c[0])); got.Digest != want.Digest {
			t.Errorf("%s: the layer is %s, that of the raw disk %s", path, got.Digest, want.Digest)
		}
	}
	out := filepath.Join(dir, "out")
	ok(t, "pull", s.ref("disks:raw"), "-o", out)
	same(t, out, raw)
	if n := occupied(t, out); n > 8<<20 {
		t.Errorf("the pulled disk of 4 MiB of content occupies %d bytes", n)
	}
}

func TestVersionsOfADiskShareTheirFrames(t *testing.T) {
	s := newServer(t)
	path := filepath.Join(t.TempDir(), "disk.raw")
	diskWithData(t, path)
	ok(t, "push", path, s.ref("disks:1"), "--annotation", "org.example.team=golden")
	stored := s.stored(t)
	writeAt(t, path, 3<<20, "changed")
	writeAt(t, path, 40<<20, text(3, 1000))
	ok(t, "push", path, s.ref("disks:2"))
	// Two cells of 128 KiB, an index, and what the database grows by.
	if more := s.stored(t) - stored; more > 600<<10 {
		t.Errorf("the second version takes %d bytes", more)
	}
	out := filepath.Join(t.TempDir(), "out")
	ok(t, "pull", s.ref("disks:2"), "-o", out)
	same(t, out, path)
}

func TestADiskHasACloudletManifest(t *testing.T) {
	s := newServer(t)
	dir := t.TempDir()
	diskWithData(t, filepath.Join(dir, "disk"))
	manifest := mustWrite(t, filepath.Join(dir, "manifest.json"), `{"name": "appliance", "arch": "x86_64"}`)
	ok(t, "push", filepath.Join(dir, "disk"), s.ref("disks:1"), "--manifest", manifest)
	if got := ok(t, "inspect", "--json", s.ref("disks:1")); !strings.Contains(got, `"appliance"`) {
		t.Errorf("got %s", got)
	}
}

func TestAHostileDiskIsRefusedBeforeAnythingIsPushed(t *testing.T) {
	s := newServer(t)
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	raw := in("disk.raw")
	diskWithData(t, raw)
	tool(t, "qemu-img", "create", "-q", "-f", "qcow2", "-b", "/etc/passwd", "-F", "raw", in("backing.qcow2"), "10M")
	tool(t, "qemu-img", "create", "-q", "-f", "qcow2", "-o", "data_file="+in("data"), in("data.qcow2"), "10M")
	tool(t, "qemu-img", "create", "-q", "-f", "qcow2", in("huge.qcow2"), "60T")
	tool(t, "qemu-img", "convert", "-O", "qcow2", raw, in("cut.qcow2"))
	if err := os.Truncate(in("cut.qcow2"), 300<<10); err != nil {
		t.Fatal(err)
	}
	tool(t, "gzip", "-k", raw)
	before := s.stored(t)
	content := mustRead(t, raw+".gz")
	mustWrite(t, in("cut.raw.gz"), content[:len(content)/2])
	for name, c := range map[string]struct {
		file string
		args []string
		says []string
	}{
		"a backing file":             {"backing.qcow2", nil, []string{`its parent, which it names "/etc/passwd"`}},
		"an external data file":      {"data.qcow2", nil, []string{"an external data file"}},
		"a disk of 60 TiB":           {"huge.qcow2", nil, []string{"--max-size"}},
		"a file that is cut":         {"cut.qcow2", nil, []string{"cut.qcow2"}},
		"a stream that is cut":       {"cut.raw.gz", nil, []string{"cut short"}},
		"more content than allowed":  {"disk.raw.gz", []string{"--max-size", "40M"}, []string{"more than is allowed", "--max-size"}},
		"another format":             {"disk.raw", []string{"--container-format", "qcow2"}, []string{"declared as qcow2"}},
		"a compressed disk verbatim": {"disk.raw.gz", []string{"--verbatim"}, []string{"before it was decompressed"}},
	} {
		t.Run(name, func(t *testing.T) {
			args := append([]string{"push", in(c.file), s.ref("bad:1"), "--type", "disk"}, c.args...)
			fails(t, exitFailed, c.says, args...)
		})
	}
	if n := s.stored(t) - before; n > 64<<10 {
		t.Errorf("%d bytes are stored", n)
	}
}

// qemuReads are the formats that disks are rendered into and QEMU reads, by
// QEMU's names.
var qemuReads = map[string]string{
	"raw": "raw", "qcow2": "qcow2", "qcow2-v2": "qcow2", "vhd": "vpc", "vhdx": "vhdx", "vmdk": "vmdk", "vmdk-stream": "vmdk",
	"vdi": "vdi", "qed": "qed", "qcow": "qcow", "parallels": "parallels", "kvm": "qcow2", "xenserver": "vpc", "ec2": "raw",
}

// sameDisk compares two disks as QEMU reads them.
func sameDisk(t testing.TB, raw, path, format string) {
	t.Helper()
	tool(t, "qemu-img", "compare", "-f", "raw", "-F", format, raw, path)
}

func TestAPushedDiskIsRenderedIntoEveryFormat(t *testing.T) {
	s := newServer(t)
	dir := t.TempDir()
	raw, packed := filepath.Join(dir, "disk.raw"), filepath.Join(dir, "packed.qcow2")
	diskWithData(t, raw)
	tool(t, "qemu-img", "convert", "-c", "-O", "qcow2", raw, packed)
	ok(t, "push", raw, s.ref("disks:framed"))
	ok(t, "push", packed, s.ref("disks:verbatim"), "--type", "disk", "--verbatim")
	stored := s.stored(t)
	for _, tag := range []string{"framed", "verbatim"} {
		for format, qemu := range qemuReads {
			if _, err := converter.FindFormat(format); err != nil {
				continue
			}
			out := filepath.Join(dir, tag+"."+format)
			ok(t, "render", s.ref("disks:"+tag), "--format", format, "-o", out)
			sameDisk(t, raw, out, qemu)
		}
	}
	if more := s.stored(t) - stored; more > 12<<20 {
		t.Errorf("the renders of a disk of 4 MiB of content occupy %d bytes", more)
	}
}

func TestAPushedDiskCanBeMadeLargerOnly(t *testing.T) {
	s := newServer(t)
	dir := t.TempDir()
	raw, out := filepath.Join(dir, "disk.raw"), filepath.Join(dir, "out.qcow2")
	diskWithData(t, raw)
	ok(t, "push", raw, s.ref("disks:1"))
	ok(t, "render", s.ref("disks:1"), "--format", "qcow2", "--size", "1G", "-o", out)
	if err := os.Truncate(raw, 1<<30); err != nil {
		t.Fatal(err)
	}
	sameDisk(t, raw, out, "qcow2")
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"--size", "40M"}, "it can be made larger, and not smaller"},
		{[]string{"--append", "quiet"}, "import --files"},
		{[]string{"--config", `{"hostname": "web"}`}, "import --files"},
		{[]string{"--type", "filesystem"}, "import --files"},
		{[]string{"--free-space", "1G"}, "import --files"},
		{[]string{"--persistent-disk"}, "import --files"},
		{[]string{"--volatile"}, "import --files"},
		{[]string{"--format", "tar"}, "import --files"},
		{[]string{"--format", "xen"}, "import --files"},
	} {
		fails(t, exitFailed, []string{c.says}, append([]string{"render", s.ref("disks:1")}, c.args...)...)
	}
}

func TestPartsOfASystemAreRenderedRaw(t *testing.T) {
	s := newServer(t)
	dir := images(t)
	for _, kind := range []string{"kernel", "ramdisk", "filesystem"} {
		path, out := filepath.Join(dir, kind), filepath.Join(dir, kind+".out")
		ok(t, "push", path, s.ref(kind+":1"))
		ok(t, "render", s.ref(kind+":1"), "--format", "raw", "-o", out)
		same(t, out, path)
	}
	out := filepath.Join(dir, "out.vhd")
	ok(t, "render", s.ref("filesystem:1"), "--format", "vhd", "-o", out)
	sameDisk(t, filepath.Join(dir, "filesystem"), out, "vpc")
	fails(t, exitFailed, []string{"the format vhd holds the type"}, "render", s.ref("kernel:1"), "--format", "vhd")
}

func TestOtherToolsCopyADisk(t *testing.T) {
	s := newServer(t)
	raw := filepath.Join(t.TempDir(), "disk.raw")
	diskWithData(t, raw)
	ok(t, "push", raw, s.ref("disks:1"))
	ok(t, "render", s.ref("disks:1"), "--format", "vhd")
	tool(t, "skopeo", "--insecure-policy", "copy", "--src-tls-verify=false", "--dest-tls-verify=false",
		"docker://"+s.ref("disks:1"), "docker://"+s.ref("skopeo:1"))
	crane(t, "copy", s.ref("disks:1"), s.ref("crane:1"))
	regctl(t, s.host, "image", "copy", "--referrers", s.ref("disks:1"), s.ref("regctl:1"))
	for _, name := range []string{"skopeo", "crane", "regctl"} {
		out := filepath.Join(t.TempDir(), "out")
		ok(t, "render", s.ref(name+":1"), "--format", "qcow2", "-o", out)
		sameDisk(t, raw, out, "qcow2")
	}
	if got := ok(t, "render", "--verify", s.ref("regctl:1")); !strings.Contains(got, " vhd: the same") {
		t.Errorf("the copied derived artifact: got %s", got)
	}
}
