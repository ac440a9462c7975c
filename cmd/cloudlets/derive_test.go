package main

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cloudlets/cloudlets/api"
)

// volatileManifest has a template that is volatile: it is gone before a
// configuration brings it back.
const volatileManifest = `{
  "name": "volatile", "arch": "x86_64",
  "args": {"hostname": {"type": "string", "default": "debian"}},
  "templates": ["/etc/hostname"], "volatile": ["/etc/hostname"]
}`

// rendersOf renders an image, and returns the digest of the artifact.
func rendersOf(t *testing.T, ref string, args ...string) string {
	t.Helper()
	return ok(t, append([]string{"render", ref}, args...)...)
}

func TestWhatIsPushedIsWhatARendererMakes(t *testing.T) {
	host, s := foreignRegistry(t), newServer(t)
	dir := t.TempDir()
	raw, packed := filepath.Join(dir, "disk.raw"), filepath.Join(dir, "packed.qcow2")
	diskWithData(t, raw)
	tool(t, "qemu-img", "convert", "-c", "-O", "qcow2", raw, packed)
	rootfs := writeTar(t, templatesRootfs(t))
	volatile := writeTar(t, append(bootableRootfs(t),
		regular("./.cloudlet/manifest", volatileManifest), regular("./etc/hostname", "<%= args.hostname %>\n")))
	for _, registry := range []string{host, s.host} {
		ok(t, "push", raw, registry+"/disks:framed")
		ok(t, "push", packed, registry+"/disks:verbatim", "--type", "disk", "--verbatim")
		ok(t, "push", rootfs, registry+"/image:1")
		ok(t, "push", volatile, registry+"/image:volatile")
		ok(t, "bootkit", rootfs, registry+"/kits:1")
	}
	for _, c := range []struct {
		name string
		args []string
	}{
		{"disks:framed", []string{"--format", "vhd", "--size", "64M"}},
		{"disks:framed", []string{"--format", "ironic"}},
		{"disks:framed", []string{"--format", "kubevirt"}},
		{"disks:verbatim", []string{"--format", "qcow2", "--compress"}},
		{"image:1", []string{"--type", "filesystem", "--append", "quiet  splash", "--format", "raw"}},
		{"image:1", []string{"--format", "qcow2", "--free-space", "16M", "--config", `{"args": {"hostname": "web-1"}}`, "--bootkit", "kits:1"}},
		{"image:1", []string{"--type", "persistent", "--format", "vdi", "--size", "32M"}},
		{"image:volatile", []string{"--format", "tar", "--config", `{"hostname": "web-1"}`}},
	} {
		want := rendersOf(t, s.ref(c.name), kitsOn(s.host, c.args)...)
		if got := rendersOf(t, host+"/"+c.name, append(kitsOn(host, c.args), "--push")...); got != want {
			t.Errorf("%s %q: pushed %s\n%s\nwant %s\n%s", c.name, c.args,
				got, crane(t, "manifest", host+"/"+repositoryOf(c.name)+"@"+got), want, crane(t, "manifest", s.ref(repositoryOf(c.name)+"@"+want)))
		}
	}
	if got := ok(t, "render", "--verify", host+"/disks:framed"); strings.Count(got, ": the same") != 3 {
		t.Errorf("verified: got %s, want three artifacts that are the same", got)
	}
}

// kitsOn gives the names of boot kits the registry that they are in.
func kitsOn(host string, args []string) []string {
	named := make([]string, len(args))
	for i, a := range args {
		named[i] = a
		if strings.HasPrefix(a, "kits:") {
			named[i] = host + "/" + a
		}
	}
	return named
}

func repositoryOf(name string) string {
	repository, _, _ := strings.Cut(name, ":")
	return repository
}

func TestClientsFindWhatWasPushed(t *testing.T) {
	raw := filepath.Join(t.TempDir(), "disk.raw")
	diskWithData(t, raw)
	for name, host := range map[string]string{"with referrers": newServer(t).host, "without referrers": foreignRegistry(t)} {
		t.Run(name, func(t *testing.T) {
			image := ok(t, "push", raw, host+"/disks:1")
			for _, format := range []string{"vhd", "vmdk", "ironic"} {
				rendersOf(t, host+"/disks:1", "--format", format, "--here", "--push")
			}
			listed := regctl(t, host, "artifact", "list", host+"/disks:1", "--format", "{{json .Descriptors}}")
			var found []ocispec.Descriptor
			if err := json.Unmarshal([]byte(listed), &found); err != nil || len(found) != 3 {
				t.Fatalf("regctl lists %s (%v), want three artifacts", listed, err)
			}
			for _, d := range found {
				if d.ArtifactType == "" || d.Annotations[api.AnnotationParameters] == "" || d.Annotations[api.AnnotationDerivation] == "" {
					t.Errorf("regctl lists %+v, want its type and what it was made from", d)
				}
				if m := crane(t, "manifest", host+"/disks@"+d.Digest.String()); !strings.Contains(m, `"subject":{`) || !strings.Contains(m, image) {
					t.Errorf("crane shows %s, want the subject %s", m, image)
				}
			}
		})
	}
}

func TestSkopeoCopiesAContainerDiskThatWasPushed(t *testing.T) {
	host, s := foreignRegistry(t), newServer(t)
	dir := t.TempDir()
	raw := filepath.Join(dir, "disk.raw")
	diskWithData(t, raw)
	ok(t, "push", raw, s.ref("disks:1"))
	out := filepath.Join(dir, "out.tar")
	d := rendersOf(t, s.ref("disks:1"), "--format", "kubevirt", "--push="+host+"/vm/debian:12", "-o", out)
	if want := rendersOf(t, s.ref("disks:1"), "--format", "kubevirt"); d != want {
		t.Errorf("pushed %s, the registry makes %s", d, want)
	}
	copied := filepath.Join(dir, "copied")
	tool(t, "skopeo", "--insecure-policy", "copy", "--src-tls-verify=false", "docker://"+host+"/vm/debian:12", "dir:"+copied)
	var m ocispec.Manifest
	if err := json.Unmarshal([]byte(mustRead(t, filepath.Join(copied, "manifest.json"))), &m); err != nil {
		t.Fatal(err)
	}
	layer := filepath.Join(copied, m.Layers[0].Digest.Encoded())
	same(t, layer, out)
	tool(t, "tar", "-C", dir, "-xf", layer)
	sameDisk(t, raw, filepath.Join(dir, "disk", "disk.qcow2"), "qcow2")
	if pulled := ok(t, "ls", host+"/vm/debian"); !strings.Contains(pulled, d) {
		t.Errorf("the tag is %s, want %s", pulled, d)
	}
}

func TestWhatCannotBePushedIsRefused(t *testing.T) {
	s := newServer(t)
	raw := filepath.Join(t.TempDir(), "disk.raw")
	diskWithData(t, raw)
	ok(t, "push", raw, s.ref("disks:1"))
	for _, c := range []struct {
		text string
		args []string
	}{
		{"push " + raw + " there", []string{raw}},
		{"--push out", []string{s.ref("disks:1"), "--verify"}},
		{"--env", []string{s.ref("disks:1"), "-e", "A=b"}},
	} {
		fails(t, exitUsage, []string{c.text}, append([]string{"render", "--push"}, c.args...)...)
	}
	fails(t, exitUsage, []string{"expected a tag"}, "render", s.ref("disks:1"), "--push="+s.ref("disks@sha256:"+strings.Repeat("0", 64)))
}
