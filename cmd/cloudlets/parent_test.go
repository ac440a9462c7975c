package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// twoDisks pushes two versions of a disk: the second has some bytes changed, and
// zeros over others. It returns the paths and the digests.
func twoDisks(t testing.TB, s *server) (paths, digests [2]string) {
	t.Helper()
	dir := t.TempDir()
	for i := range paths {
		paths[i] = filepath.Join(dir, []string{"1.raw", "2.raw"}[i])
		diskWithData(t, paths[i])
		if i == 1 {
			writeAt(t, paths[i], 3<<20, "changed")
			writeAt(t, paths[i], 4<<20, strings.Repeat("\x00", 256<<10))
			writeAt(t, paths[i], 40<<20+100, "new")
		}
		ok(t, "push", paths[i], s.ref("disks:"+string('1'+rune(i))))
		digests[i] = digestOf(t, s.ref("disks:"+string('1'+rune(i))))
	}
	return paths, digests
}

// digestOf returns the digest of a manifest.
func digestOf(t testing.TB, ref string) string {
	t.Helper()
	return field(t, ok(t, "inspect", ref), "Digest")
}

// field returns a field of what inspect shows.
func field(t testing.TB, shown, name string) string {
	t.Helper()
	for line := range strings.Lines(shown) {
		if words := strings.Fields(line); len(words) > 1 && words[0] == name {
			return words[1]
		}
	}
	t.Fatalf("no %s in\n%s", name, shown)
	return ""
}

// What differs of a disk from another is rendered in the registry and here, is
// verified, opens in QEMU over the file of the parent, and is pushed back over the
// parent as the whole disk.
func TestADiskIsRenderedOverItsParent(t *testing.T) {
	s := newServer(t)
	paths, digests := twoDisks(t, s)
	parent, disk := s.ref("disks@"+digests[0]), s.ref("disks:2")
	sum := strings.Fields(tool(t, "sha256sum", paths[0]))[0]
	dir := t.TempDir()
	for format, most := range map[string]int64{"qcow2": 1 << 20, "qcow2-v2": 2 << 20, "vhd": 12 << 20, "vhdx": 9 << 20} {
		t.Run(format, func(t *testing.T) {
			container, _, _ := strings.Cut(format, "-")
			over, here := filepath.Join(dir, format), filepath.Join(dir, "here."+format)
			r := cloudlets(t, "render", disk, "--format", format, "--parent", parent, "-o", over)
			if r.code != 0 || !strings.Contains(r.stderr, "differs from the disk sha256:"+sum) {
				t.Fatalf("exit code %d: %s", r.code, r.stderr)
			}
			if got := ok(t, "render", "--verify", s.ref("disks@"+strings.TrimSpace(r.stdout))); !strings.HasSuffix(got, ": the same") {
				t.Errorf("verified: %s", got)
			}
			ok(t, "render", disk, "--format", format, "--parent", parent, "--here", "-o", here)
			same(t, here, over)
			if info, err := os.Stat(over); err != nil || info.Size() > most {
				t.Errorf("the file: %v, %v, want at most %d bytes", info, err, most)
			}
			if got := ok(t, "inspect", over); !strings.Contains(got, "differs from its parent, sha256:"+sum) {
				t.Errorf("inspected: %s", got)
			}
			ok(t, "push", over, s.ref("disks:"+format), "--type", "disk", "--parent", parent)
			if got, want := layerOf(t, s.ref("disks:"+format)), layerOf(t, disk); got.Digest != want.Digest {
				t.Errorf("pushed back, the layer is %s, that of the disk %s", got.Digest, want.Digest)
			}
			fails(t, exitFailed, []string{"sha256:" + sum, "push the parent first", "--parent REFERENCE@DIGEST"}, "push", over, s.ref("disks:no"), "--type", "disk", "--container-format", container)
			fails(t, exitFailed, []string{"differs from the disk sha256:" + sum}, "push", over, s.ref("disks:no"), "--type", "disk", "--parent", s.ref("disks@"+digests[1]))
			if container != "qcow2" {
				return
			}
			tool(t, "qemu-img", "rebase", "-u", "-f", "qcow2", "-F", "raw", "-b", paths[0], over)
			tool(t, "qemu-img", "check", "-f", "qcow2", over)
			sameDisk(t, paths[1], over, "qcow2")
		})
	}
}

// An instance is a few kilobytes over the disk of its image.
func TestAConfiguredDiskIsRenderedOverItsImage(t *testing.T) {
	s := newServer(t)
	dir := t.TempDir()
	ok(t, "push", writeTar(t, templatesRootfs(t)), s.ref("image:1"))
	image := s.ref("image@" + digestOf(t, s.ref("image:1")))
	base, over, want := filepath.Join(dir, "base.qcow2"), filepath.Join(dir, "over.qcow2"), filepath.Join(dir, "want.raw")
	options := []string{"render", s.ref("image:1"), "--size", "200M"}
	artifact := ok(t, append(options, "-o", base)...)
	options = append(options, "--config", `{"args": {"hostname": "web-1"}}`)
	ok(t, append(options, "--format", "raw", "-o", want)...)
	for name, parent := range map[string]string{"the image": image, "its disk": s.ref("image@" + artifact)} {
		ok(t, append(options, "--parent", parent, "-o", over)...)
		if info, err := os.Stat(over); err != nil || info.Size() > 2<<20 {
			t.Errorf("over %s: %v, %v", name, info, err)
		}
		here := filepath.Join(dir, "here.qcow2")
		ok(t, append(options, "--parent", parent, "--here", "-o", here)...)
		same(t, here, over)
		tool(t, "qemu-img", "rebase", "-u", "-f", "qcow2", "-F", "qcow2", "-b", base, over)
		sameDisk(t, want, over, "qcow2")
	}
	tool(t, "qemu-img", "commit", "-q", "-f", "qcow2", over)
	sameDisk(t, want, base, "qcow2")
}

// Chains are pushed one by one, each over the one before.
func TestAChainIsPushedOneByOne(t *testing.T) {
	s := newServer(t)
	paths, digests := twoDisks(t, s)
	dir := t.TempDir()
	before, parent := paths[0], s.ref("disks@"+digests[0])
	format := "raw"
	for _, name := range []string{"a", "b"} {
		path := filepath.Join(dir, name+".qcow2")
		tool(t, "qemu-img", "create", "-q", "-f", "qcow2", "-b", before, "-F", format, path, "64M")
		tool(t, "qemu-io", "-f", "qcow2", path, "-c", "write -P 9 1M 100k", "-c", "write -z 2M 1M", "-c", "write -P 3 60M 1k")
		raw := filepath.Join(dir, name+".raw")
		tool(t, "qemu-img", "convert", "-O", "raw", path, raw)
		ref := s.ref("disks:" + name)
		ok(t, "push", path, ref, "--type", "disk", "--parent", parent)
		if got := layerOf(t, ref).Annotations["org.cloudlets.content.digest"]; got != "sha256:"+strings.Fields(tool(t, "sha256sum", raw))[0] {
			t.Errorf("%s: the disk is %s", name, got)
		}
		before, format, parent = path, "qcow2", s.ref("disks@"+digestOf(t, ref))
	}
}

func TestParentsAreRefused(t *testing.T) {
	s := newServer(t)
	_, digests := twoDisks(t, s)
	dir := t.TempDir()
	parent, to := s.ref("disks@"+digests[0]), s.ref("disks:no")
	ok(t, "push", writeTar(t, smallRootfs()), s.ref("disks:rootfs"))
	rootfs := s.ref("disks@" + digestOf(t, s.ref("disks:rootfs")))
	overlay := func(name, backing string) string {
		path := filepath.Join(dir, name)
		tool(t, "qemu-img", "create", "-q", "-f", "qcow2", path, "48M")
		tool(t, "qemu-img", "rebase", "-u", "-f", "qcow2", "-F", "raw", "-b", backing, path)
		return path
	}
	plain := filepath.Join(dir, "plain.qcow2")
	tool(t, "qemu-img", "create", "-q", "-f", "qcow2", plain, "48M")
	sound := overlay("sound.qcow2", "/var/lib/base.raw")
	for name, test := range map[string]struct {
		code  int
		texts []string
		args  []string
	}{
		"no parent":           {exitFailed, []string{`"/var/lib/base.raw"`, "--parent REFERENCE@DIGEST"}, []string{"push", sound, to, "--type", "disk"}},
		"verbatim":            {exitFailed, []string{"leaves content to a parent"}, []string{"push", sound, to, "--type", "disk", "--verbatim"}},
		"json":                {exitFailed, []string{"json:", "neither a digest nor a file"}, []string{"push", overlay("json.qcow2", `json:{"driver":"raw","file":{"driver":"file","filename":"/etc/passwd"}}`), to, "--type", "disk", "--parent", parent}},
		"a server":            {exitFailed, []string{"nbd://", "neither a digest nor a file"}, []string{"push", overlay("nbd.qcow2", "nbd://127.0.0.1:1/disk"), to, "--type", "disk", "--parent", parent}},
		"itself":              {exitFailed, []string{"names itself"}, []string{"push", overlay("self.qcow2", "self.qcow2"), to, "--type", "disk", "--parent", parent}},
		"a tag":               {exitUsage, []string{"expected REFERENCE@DIGEST"}, []string{"push", sound, to, "--type", "disk", "--parent", s.ref("disks:1")}},
		"nothing left to it":  {exitFailed, []string{"leave --parent out"}, []string{"push", plain, to, "--type", "disk", "--parent", parent}},
		"a rootfs to push":    {exitFailed, []string{"leave --parent out"}, []string{"push", writeTar(t, smallRootfs()), to, "--parent", parent}},
		"a rootfs":            {exitFailed, []string{"it is a root filesystem"}, []string{"push", sound, to, "--type", "disk", "--parent", rootfs}},
		"import":              {exitFailed, []string{"differs from its parent"}, []string{"import", "--files", sound, to}},
		"not there":           {exitNotFound, []string{"not found"}, []string{"push", sound, to, "--type", "disk", "--parent", s.ref("disks@sha256:" + strings.Repeat("0", 64))}},
		"another format":      {exitFailed, []string{"leaves nothing to a parent", "qcow2, qcow2-v2, vhd, vhdx"}, []string{"render", s.ref("disks:2"), "--format", "vmdk", "--parent", parent}},
		"compressed":          {exitFailed, []string{"not compressed"}, []string{"render", s.ref("disks:2"), "--compress", "--parent", parent}},
		"another size":        {exitFailed, []string{"has the size of its parent"}, []string{"render", s.ref("disks:2"), "--format", "vhd", "--size", "64M", "--parent", parent}},
		"another repository":  {exitUsage, []string{"copy it there first"}, []string{"render", s.ref("disks:2"), "--parent", s.ref("other@" + digests[0])}},
		"a parent not there":  {exitNotFound, []string{"parent"}, []string{"render", s.ref("disks:2"), "--parent", s.ref("disks@sha256:" + strings.Repeat("0", 64))}},
		"a tag for a render":  {exitUsage, []string{"expected REFERENCE@DIGEST"}, []string{"render", s.ref("disks:2"), "--parent", s.ref("disks:1")}},
		"here, of a size":     {exitFailed, []string{"has the size of its parent"}, []string{"render", s.ref("disks:2"), "--here", "-o", filepath.Join(dir, "out"), "--format", "vhdx", "--size", "64M", "--parent", parent}},
		"here, in no format":  {exitFailed, []string{"leaves nothing to a parent"}, []string{"render", s.ref("disks:2"), "--here", "-o", filepath.Join(dir, "out"), "--format", "kvm", "--parent", parent}},
		"a render of overlay": {exitFailed, []string{"differs from its parent"}, []string{"render", s.ref("disks@" + ok(t, "render", s.ref("disks:2"), "--parent", parent)), "--format", "raw"}},
	} {
		t.Run(name, func(t *testing.T) { fails(t, test.code, test.texts, test.args...) })
	}
}
