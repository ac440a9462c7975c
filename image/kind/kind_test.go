package kind_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/cloudlets/cloudlets/image/kind"
)

func TestDeclarationsAreRead(t *testing.T) {
	for _, c := range []struct {
		imageType, container string
		want                 kind.Kind
		says                 string
	}{
		{"", "", kind.Kind{}, ""},
		{"disk", "qcow2", kind.Kind{Type: kind.Disk, Container: kind.Qcow2}, ""},
		{"disk", "", kind.Kind{Type: kind.Disk}, ""},
		{"", "vhdx", kind.Kind{Container: kind.VHDX}, ""},
		{"", "aki", kind.Kind{Type: kind.Kernel, Container: kind.Raw}, ""},
		{"kernel", "aki", kind.Kind{Type: kind.Kernel, Container: kind.Raw}, ""},
		{"", "ari", kind.Kind{Type: kind.Ramdisk, Container: kind.Raw}, ""},
		{"", "ami", kind.Kind{Type: kind.Filesystem, Container: kind.Raw}, ""},
		{"disk", "ami", kind.Kind{}, "expected filesystem"},
		{"iso", "", kind.Kind{}, `"iso": expected one of kernel, ramdisk, filesystem, iso9660, disk, other`},
		{"disk", "vpc", kind.Kind{}, `"vpc": expected one of raw, cow, qcow, qcow2, vhd, vhdx, vmdk, vdi, qed, parallels, ova, aki, ari, ami`},
		{"kernel", "ova", kind.Kind{}, "whole machines"},
	} {
		got, err := kind.Parse(c.imageType, c.container)
		if got != c.want || (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%q, %q: got %+v, %v", c.imageType, c.container, got, err)
		}
	}
}

// file is content of zeros with texts at offsets.
func file(size int, parts map[int]string) []byte {
	b := make([]byte, size)
	for at, text := range parts {
		copy(b[at:], text)
	}
	return b
}

const (
	isoMagic   = "\x01CD001\x01"
	gptMagic   = "EFI PART\x00\x00\x01\x00"
	extMagic   = "\x53\xef"
	partitions = "\x80\x00\x00\x00\x83\x00\x00\x00\x01\x00\x00\x00\x10\x00\x00\x00"
)

func elf(class, order byte, segments ...uint64) []byte {
	b := file(4096, map[int]string{0: "\x7fELF" + string([]byte{class, order, 1})})
	binary.LittleEndian.PutUint64(b[32:], 64)
	binary.LittleEndian.PutUint16(b[54:], 56)
	binary.LittleEndian.PutUint16(b[56:], uint16(len(segments)))
	for i, s := range segments {
		header := b[64+56*i:]
		binary.LittleEndian.PutUint32(header, 1)
		if s == 0 {
			binary.LittleEndian.PutUint32(header, 3)
		}
		binary.LittleEndian.PutUint64(header[16:], s)
	}
	return b
}

// TestCraftedContentIsNotGuessed declares content to be each type in turn.
func TestCraftedContentIsNotGuessed(t *testing.T) {
	const size = 128 << 10
	for name, c := range map[string]struct {
		content   []byte
		container kind.Container // raw if empty
		want      []kind.Type    // that may be declared
	}{
		"ISO":                      {file(size, map[int]string{32768: isoMagic}), "", []kind.Type{kind.ISO9660}},
		"hybrid ISO with a GPT":    {file(size, map[int]string{32768: isoMagic, 512: gptMagic}), "", []kind.Type{kind.ISO9660}},
		"hybrid ISO with an MBR":   {file(size, map[int]string{32768: isoMagic, 446: partitions, 510: "\x55\xaa"}), "", []kind.Type{kind.ISO9660}},
		"ISO as a kernel":          {file(size, map[int]string{32768: isoMagic, 0x202: "HdrS", 510: "\x55\xaa"}), "", nil},
		"ISO as an ELF kernel":     {append(elf(2, 1, 0xffffffff81000000), file(size, map[int]string{32768 - 4096: isoMagic})...), "", nil},
		"ISO as a filesystem":      {file(size, map[int]string{32768: isoMagic, 1080: extMagic}), "", nil},
		"ISO as a ramdisk":         {file(size, map[int]string{32768: isoMagic, 0: "070701"}), "", nil},
		"ISO as a qcow2":           {file(size, map[int]string{32768: isoMagic, 0: "QFI\xfb\x00\x00\x00\x02"}), kind.Qcow2, nil},
		"disk as a qcow2":          {file(size, map[int]string{512: gptMagic, 0: "QFI\xfb\x00\x00\x00\x02"}), kind.Qcow2, nil},
		"disk as a VMDK":           {file(size, map[int]string{446: partitions, 510: "\x55\xaa", 0: "KDMV"}), kind.VMDK, nil},
		"filesystem as a kernel":   {file(size, map[int]string{1080: extMagic, 0x202: "HdrS", 510: "\x55\xaa"}), "", nil},
		"filesystem or a disk":     {file(size, map[int]string{1080: extMagic, 446: partitions, 510: "\x55\xaa"}), "", []kind.Type{kind.Filesystem, kind.Disk}},
		"boot sector":              {file(size, map[int]string{510: "\x55\xaa"}), "", []kind.Type{kind.Disk, kind.Other}},
		"filesystem that boots":    {file(size, map[int]string{1080: extMagic, 510: "\x55\xaa"}), "", []kind.Type{kind.Filesystem}},
		"kernel with boot sector":  {file(size, map[int]string{0x202: "HdrS", 510: "\x55\xaa"}), "", []kind.Type{kind.Kernel}},
		"kernel for arm64":         {file(size, map[int]string{56: "ARM\x64"}), "", []kind.Type{kind.Kernel}},
		"kernel, ELF":              {elf(2, 1, 0x1000000, 0xffffffff81000000), "", []kind.Type{kind.Kernel}},
		"program with interpreter": {elf(2, 1, 0, 0x400000), "", []kind.Type{kind.Other}},
		"program, static":          {elf(2, 1, 0x400000), "", []kind.Type{kind.Kernel, kind.Other}},
		"U-Boot kernel":            {file(size, map[int]string{0: "\x27\x05\x19\x56", 30: "\x02"}), "", []kind.Type{kind.Kernel}},
		"U-Boot ramdisk":           {file(size, map[int]string{0: "\x27\x05\x19\x56", 30: "\x03"}), "", []kind.Type{kind.Ramdisk}},
		"swap":                     {file(size, map[int]string{4086: "SWAPSPACE2"}), "", []kind.Type{kind.Other}},
		"LUKS":                     {file(size, map[int]string{0: "LUKS\xba\xbe"}), "", []kind.Type{kind.Filesystem, kind.Disk, kind.Other}},
		"script":                   {[]byte("#!/bin/sh\n"), "", []kind.Type{kind.Other}},
		"nothing":                  {nil, "", []kind.Type{kind.Other}},
		"zeros":                    {file(size, nil), "", []kind.Type{kind.Disk, kind.Other}},
		"zeros of an odd size":     {file(size-1, nil), "", []kind.Type{kind.Other}},
		"cow":                      {file(size, map[int]string{0: "OOOM\x00\x00\x00\x02"}), kind.Cow, kind.Types()},
		"cow over a file":          {file(size, map[int]string{0: "OOOM\x00\x00\x00\x02/base"}), kind.Cow, nil},
		"qcow2 of version 4":       {file(size, map[int]string{0: "QFI\xfb\x00\x00\x00\x04"}), kind.Qcow2, nil},
		"VHD without its footer":   {file(size, map[int]string{0: "conectix"}), kind.VHD, nil},
		"VHD with a wrong sum":     {file(size, map[int]string{size - 512: "conectix"}), "", []kind.Type{kind.Disk, kind.Other}},
		"VHDX without metadata":    {file(size, map[int]string{0: "vhdxfile"}), kind.VHDX, nil},
		"VDI over a file":          {file(size, map[int]string{0x40: "\x7f\x10\xda\xbe", 0x4c: "\x04"}), kind.VDI, nil},
	} {
		t.Run(name, func(t *testing.T) {
			if c.container == "" {
				c.container = kind.Raw
			}
			f, err := kind.Detect(bytes.NewReader(c.content), int64(len(c.content)))
			if err != nil || f.Container != c.container {
				t.Fatalf("got %+v, %v", f, err)
			}
			for _, declared := range kind.Types() {
				k, err := f.Decide(kind.Kind{Type: declared, Container: c.container})
				switch allowed := slices.Contains(c.want, declared); {
				case allowed && (err != nil || k != kind.Kind{Type: declared, Container: c.container}):
					t.Errorf("declared as %s: got %s, %v", declared, k, err)
				case !allowed && err == nil:
					t.Errorf("declared as %s: accepted", declared)
				case !allowed && len(c.want) > 0 && (!strings.Contains(err.Error(), "as "+string(declared)) || !strings.Contains(err.Error(), string(c.want[0]))):
					t.Errorf("declared as %s: %v: does not name both", declared, err)
				}
			}
			if k, err := f.Decide(kind.Kind{}); (err == nil) != (len(c.want) == 1) || err == nil && k.Type != c.want[0] {
				t.Errorf("undeclared: got %s, %v", k, err)
			}
		})
	}
}

// TestRulesOfBooting tries every image type in every container format, with and
// without a kernel and a ramdisk.
func TestWhatIsNoDiskIsToldWhy(t *testing.T) {
	for size, want := range map[int]string{0: "no content", 513: "513 bytes, where a disk has whole sectors of 512"} {
		f, err := kind.Detect(bytes.NewReader(make([]byte, size)), int64(size))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Decide(kind.Kind{Type: kind.Disk}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%d bytes declared as a disk: %v, want %q", size, err, want)
		}
	}
}

func TestRulesOfBooting(t *testing.T) {
	kernel, ramdisk := kind.Kind{Type: kind.Kernel, Container: kind.Raw}, kind.Kind{Type: kind.Ramdisk, Container: kind.Raw}
	attachable := []kind.Container{kind.Raw, kind.Qcow, kind.Qcow2, kind.VHD, kind.VHDX, kind.VMDK, kind.VDI, kind.QED, kind.Parallels}
	for _, imageType := range kind.Types() {
		for _, container := range kind.Containers() {
			k := kind.Kind{Type: imageType, Container: container}
			alone, aloneErr := kind.Boot(k, nil, nil)
			direct, directErr := kind.Boot(k, &kernel, &ramdisk)
			bare, bareErr := kind.Boot(k, &kernel, nil)
			_, ramdiskErr := kind.Boot(k, nil, &ramdisk)
			var want [2]kind.Machine
			if slices.Contains(attachable, container) {
				switch imageType {
				case kind.Disk:
					want[0].Device = kind.HardDisk
				case kind.ISO9660:
					want[0].Device = kind.CD
				case kind.Filesystem:
					want[1] = kind.Machine{Device: kind.HardDisk, Direct: true}
				}
			}
			if got := [3]kind.Machine{alone, direct, bare}; got != [3]kind.Machine{want[0], want[1], want[1]} {
				t.Errorf("%s: got %+v, want %+v", k, got, want)
			}
			none := kind.Machine{}
			for _, err := range []struct {
				error
				want bool
			}{{aloneErr, want[0] == none}, {directErr, want[1] == none}, {bareErr, want[1] == none}, {ramdiskErr, true}} {
				if errors.Is(err.error, kind.ErrRule) != err.want {
					t.Errorf("%s: %v", k, err.error)
				}
			}
		}
	}
}

func TestWhatIsLoadedMustBeIt(t *testing.T) {
	filesystem := kind.Kind{Type: kind.Filesystem, Container: kind.Raw}
	kernel := kind.Kind{Type: kind.Kernel, Container: kind.Raw}
	for _, k := range []kind.Kind{
		{Type: kind.ISO9660, Container: kind.Raw}, {Type: kind.Disk, Container: kind.Raw}, filesystem,
		{Type: kind.Kernel, Container: kind.Qcow2}, {Type: kind.Ramdisk, Container: kind.Qcow2},
	} {
		if _, err := kind.Boot(filesystem, &k, nil); !errors.Is(err, kind.ErrRule) || !strings.Contains(err.Error(), k.String()) {
			t.Errorf("%s as a kernel: %v", k, err)
		}
		if _, err := kind.Boot(filesystem, &kernel, &k); !errors.Is(err, kind.ErrRule) || !strings.Contains(err.Error(), k.String()) {
			t.Errorf("%s as a ramdisk: %v", k, err)
		}
	}
}

// FuzzDetect looks at anything: it must not fail, read outside of the file, or
// decide for what it has not found.
func FuzzDetect(f *testing.F) {
	for _, parts := range []map[int]string{
		{0: "QFI\xfb\x00\x00\x00\x03"}, {0: "KDMV", 28: "\x01", 36: "\x01", 512: "# Disk DescriptorFile\ncreateType=\"monolithicSparse\"\n"},
		{0: "vhdxfile"}, {446: partitions, 510: "\x55\xaa"}, {0: "MZ", 60: "\x40", 64: "PE\x00\x00\x01", 84: "\xf0"}, {0: "\x1f\x8b\x08"}, {257: "ustar", 0: "a.ovf"},
		{1536: "conectix"}, {0: "\x28\xb5\x2f\xfd"}, {0: "\xfd7zXZ\x00"},
	} {
		f.Add(file(2048, parts))
	}
	f.Add(elf(2, 1, 0xffffffff81000000))
	f.Add(elf(1, 2, 0))
	f.Fuzz(func(t *testing.T, content []byte) {
		found, err := kind.Detect(bytes.NewReader(content), int64(len(content)))
		if err != nil {
			t.Fatal(err)
		}
		if !found.Contradictory && len(found.Types) == 0 {
			t.Fatalf("no image type is left: %+v", found)
		}
		if found.Contradictory || found.Missing != "" {
			for _, declared := range kind.Types() {
				if _, err := found.Decide(kind.Kind{Type: declared}); err == nil {
					t.Fatalf("%+v was accepted as %s", found, declared)
				}
			}
		}
	})
}
