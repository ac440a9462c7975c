package main

import (
	"os"
	"path/filepath"
	"testing"
)

// split writes a raw disk as a VMDK of several files, and returns the descriptor
// and the others.
func split(t *testing.T, raw, subformat string) (descriptor string, parts []string) {
	t.Helper()
	dir := t.TempDir()
	descriptor = filepath.Join(dir, "disk.vmdk")
	tool(t, "qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", "subformat="+subformat, raw, descriptor)
	parts, err := filepath.Glob(filepath.Join(dir, "disk-*.vmdk"))
	if err != nil || len(parts) == 0 {
		t.Fatalf("%s has the parts %q (%v)", subformat, parts, err)
	}
	return descriptor, parts
}

// withParts adds the parts of a disk to the arguments of a command.
func withParts(args, parts []string) []string {
	for _, p := range parts {
		args = append(args, "--part", p)
	}
	return args
}

func TestADiskInSeveralFilesIsPushed(t *testing.T) {
	for subformat, size := range map[string]int64{"monolithicFlat": diskSize, "twoGbMaxExtentSparse": 2<<30 + diskSize} {
		t.Run(subformat, func(t *testing.T) {
			if size > diskSize && testing.Short() {
				t.Skip("gigabytes of zeros are hashed")
			}
			s := newServer(t)
			dir := t.TempDir()
			raw := filepath.Join(dir, "disk.raw")
			diskWithData(t, raw)
			if err := os.Truncate(raw, size); err != nil {
				t.Fatal(err)
			}
			descriptor, parts := split(t, raw, subformat)
			ok(t, withParts([]string{"push", descriptor, s.ref("disks:1"), "--type", "disk"}, parts)...)
			back := filepath.Join(dir, "back")
			ok(t, "pull", s.ref("disks:1"), "-o", back)
			sameDisk(t, raw, back, "raw")
			out := filepath.Join(dir, "out.qcow2")
			ok(t, withParts([]string{"render", descriptor, "--type", "disk", "--format", "qcow2", "-o", out}, parts)...)
			sameDisk(t, raw, out, "qcow2")
			if info, err := os.Stat(out); err != nil || info.Size() > 8<<20 {
				t.Errorf("it has become %d bytes of qcow2 (%v): its holes are no content", info.Size(), err)
			}
		})
	}
}

func TestPartsThatAreNotNamedOrNotGivenAreTold(t *testing.T) {
	s := newServer(t)
	dir := t.TempDir()
	raw := filepath.Join(dir, "disk.raw")
	diskWithData(t, raw)
	packed := filepath.Join(dir, "disk.qcow2")
	tool(t, "qemu-img", "convert", "-O", "qcow2", raw, packed)
	descriptor, parts := split(t, raw, "monolithicFlat")
	push := []string{"push", descriptor, s.ref("disks:1"), "--type", "disk"}
	for _, c := range []struct {
		args []string
		says []string
	}{
		{push, []string{`no "disk-flat.vmdk"`, "--part"}},
		{withParts(push, []string{raw}), []string{`no "disk-flat.vmdk"`}},
		{withParts(push, append(parts, raw)), []string{`"disk.raw"`, `it names "disk-flat.vmdk"`}},
		{append(withParts(push, parts), "--verbatim"), []string{"as it is"}},
		{withParts([]string{"push", packed, s.ref("disks:1"), "--type", "disk"}, parts), []string{"expected a VMDK descriptor"}},
		{withParts([]string{"push", dir, s.ref("disks:1")}, parts), []string{"expected a VMDK descriptor"}},
		{[]string{"import", "--files", descriptor, "-o", filepath.Join(dir, "tar")}, []string{`no "disk-flat.vmdk"`}},
		{withParts([]string{"raw", dir, "-o", filepath.Join(dir, "out")}, parts), []string{"expected a VMDK descriptor"}},
	} {
		fails(t, exitFailed, c.says, c.args...)
	}
	fails(t, exitNotFound, nil, withParts(push, []string{filepath.Join(dir, "missing")})...)
	fails(t, exitUsage, []string{"on this machine"}, withParts([]string{"render", s.ref("disks:1")}, parts)...)
	ok(t, withParts([]string{"inspect", descriptor}, parts)...)
}

// TestANameInADescriptorIsNotOpened describes a disk that is in a file of the
// machine's.
func TestANameInADescriptorIsNotOpened(t *testing.T) {
	s := newServer(t)
	descriptor := mustWrite(t, filepath.Join(t.TempDir(), "disk.vmdk"),
		"# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\nRW 1 FLAT \"/etc/passwd\" 0\n")
	fails(t, exitFailed, []string{`no "passwd"`}, "push", descriptor, s.ref("disks:1"), "--type", "disk")
}
