package formattest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cloudlets/cloudlets/converter/convertertest"
)

func inspectFile(t *testing.T, path string) (Inspection, error) {
	t.Helper()
	p, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return Inspect(bytes.NewReader(p), int64(len(p)))
}

func TestInspectKnowsWhatQEMUWrites(t *testing.T) {
	convertertest.Need(t, "qemu-img", "qemu-utils")
	const size = 4 << 20
	path := filepath.Join(t.TempDir(), "disk")
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"-f", "qcow2"}, "qcow2"},
		{[]string{"-f", "qcow2", "-o", "compat=0.10"}, "qcow2"},
		{[]string{"-f", "vpc", "-o", "force_size=on"}, "vhd"},
		{[]string{"-f", "vhdx"}, "vhdx"},
		{[]string{"-f", "vdi"}, "vdi"},
		{[]string{"-f", "vmdk"}, "vmdk"},
		{[]string{"-f", "raw"}, "raw"},
	} {
		convertertest.Run(t, "qemu-img", append(append([]string{"create"}, test.args...), path, "4M")...)
		if got, err := inspectFile(t, path); err != nil || got.Format != test.want || got.Size != size {
			t.Errorf("%v: %v, %v", test.args, got, err)
		}
	}
}

func TestInspectRefusesWhatLeadsOutOfAFile(t *testing.T) {
	convertertest.Need(t, "qemu-img", "qemu-utils")
	dir := t.TempDir()
	path, base := filepath.Join(dir, "disk"), filepath.Join(dir, "base")
	convertertest.Run(t, "qemu-img", "create", "-f", "raw", base, "4M")
	for name, args := range map[string][]string{
		"backing file": {"-f", "qcow2", "-b", base, "-F", "raw", path},
		"data file":    {"-f", "qcow2", "-o", "data_file=" + filepath.Join(dir, "data"), path, "4M"},
		"extended L2":  {"-f", "qcow2", "-o", "extended_l2=on", path, "4M"},
		"QED":          {"-f", "qed", path, "4M"},
		"qcow":         {"-f", "qcow", path, "4M"},
		"flat VMDK":    {"-f", "vmdk", "-o", "subformat=monolithicFlat", path, "4M"},
	} {
		convertertest.Run(t, "qemu-img", append([]string{"create"}, args...)...)
		if got, err := inspectFile(t, path); !errors.Is(err, ErrInspection) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

// vmdk returns a header and a descriptor.
func vmdk(descriptor string, change func(h []byte)) []byte {
	p := make([]byte, 4096)
	le := binary.LittleEndian
	copy(p, "KDMV")
	le.PutUint32(p[4:], 1)
	le.PutUint64(p[12:], 8192)
	le.PutUint64(p[28:], 1)
	le.PutUint64(p[36:], 2)
	copy(p[512:], descriptor)
	if change != nil {
		change(p)
	}
	return p
}

func TestInspectReadsEveryLineOfADescriptor(t *testing.T) {
	const sound = "# Disk DescriptorFile\nversion=1\nCID=1\ncreateType=\"monolithicSparse\"\n\nRW 8192 SPARSE \"disk.vmdk\"\nddb.adapterType = \"ide\"\n"
	le := binary.LittleEndian
	tests := []struct {
		name       string
		descriptor string
		change     func(h []byte)
		ok         bool
	}{
		{"sound", sound, nil, true},
		{"a path", strings.Replace(sound, "disk.vmdk", "/etc/passwd", 1), nil, false},
		{"an unknown line", sound + "include something\n", nil, false},
		{"no extents", strings.Replace(sound, "RW ", "#", 1), nil, false},
		{"a flat disk", strings.Replace(sound, "Sparse", "Flat", 1), nil, false},
		{"not ASCII", sound + "ddb.x = \"é\"\n", nil, false},
		{"version 4", sound, func(h []byte) { h[4] = 4 }, false},
		{"a descriptor elsewhere", sound, func(h []byte) { h[28] = 2 }, false},
		{"a long descriptor", sound, func(h []byte) { le.PutUint64(h[36:], 2048) }, false},
		{"a stream without an end", sound, func(h []byte) { le.PutUint64(h[56:], 1<<64-1) }, false},
		{"a stream", sound, func(h []byte) {
			le.PutUint64(h[56:], 1<<64-1)
			tail := h[len(h)-1536:]
			tail[0], tail[12] = 1, 3
			copy(tail[512:], h[:512])
			le.PutUint64(tail[512+56:], 100)
		}, true},
		{"a footer that differs", sound, func(h []byte) {
			le.PutUint64(h[56:], 1<<64-1)
			tail := h[len(h)-1536:]
			tail[0], tail[12] = 1, 3
			copy(tail[512:], h[:512])
			le.PutUint64(tail[512+56:], 100)
			tail[512+12]++
		}, false},
	}
	for _, test := range tests {
		p := vmdk(test.descriptor, test.change)
		got, err := Inspect(bytes.NewReader(p), int64(len(p)))
		if test.ok != (err == nil) || test.ok && got != (Inspection{"vmdk", 4 << 20}) {
			t.Errorf("%s: %v, %v", test.name, got, err)
		}
	}
}

func TestInspectChecksPartitions(t *testing.T) {
	tests := []struct {
		name   string
		change func(p []byte)
		ok     bool
	}{
		{"protective", func([]byte) {}, true},
		{"of old", func(p []byte) { p[446], p[450] = 0x80, 0x83 }, true},
		{"boot flag", func(p []byte) { p[446] = 1 }, false},
		{"protective in the second place", func(p []byte) { copy(p[462:478], p[446:]) }, false},
		{"protective from sector 2", func(p []byte) { p[454] = 2 }, false},
		{"protective from elsewhere", func(p []byte) { p[448] = 1 }, false},
		{"with a qcow2 header", func(p []byte) { copy(p, "QFI\xfb") }, false},
		{"with a VDI header", func(p []byte) { copy(p[0x40:], "\x7f\x10\xda\xbe") }, false},
	}
	for _, test := range tests {
		p := make([]byte, 1<<20)
		copy(p[446:], "\x00\x00\x02\x00\xee\xff\xff\xff\x01")
		copy(p[510:], "\x55\xaa")
		test.change(p)
		got, err := Inspect(bytes.NewReader(p), int64(len(p)))
		if test.ok != (err == nil) || test.ok && got != (Inspection{"gpt", 1 << 20}) {
			t.Errorf("%s: %v, %v", test.name, got, err)
		}
	}
}

// A volume that starts from a disk too is a volume; one that is a disk image too
// is neither.
func TestInspectChecksVolumes(t *testing.T) {
	p := make([]byte, 40<<10)
	copy(p[0x8000:], "\x01CD001")
	binary.LittleEndian.PutUint32(p[0x8000+80:], 20)
	binary.LittleEndian.PutUint16(p[0x8000+128:], 2048)
	copy(p[510:], "\x55\xaa")
	if got, err := Inspect(bytes.NewReader(p), int64(len(p))); err != nil || got != (Inspection{"iso", 40 << 10}) {
		t.Errorf("%v, %v", got, err)
	}
	copy(p, "conectix")
	if got, err := Inspect(bytes.NewReader(p), int64(len(p))); !errors.Is(err, ErrInspection) {
		t.Errorf("%v, %v", got, err)
	}
}
