package grub_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ulikunitz/xz/lzma"

	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/converter/grub"
)

// diskModules are those that a disk boots with, and some whose dependencies
// branch and meet again.
var diskModules = strings.Fields(`biosdisk part_gpt fat ext2 search search_fs_uuid search_label
	normal linux serial terminal echo configfile test gzio all_video gfxterm`)

// mkimage returns what the real tool makes of the same options.
func mkimage(t *testing.T, opts grub.Options) []byte {
	t.Helper()
	convertertest.Need(t, "grub-mkimage", "grub-common")
	dir := t.TempDir()
	out := filepath.Join(dir, "core.img")
	args := []string{"-O", "i386-pc", "-p", opts.Prefix, "-o", out}
	if opts.Config != "" {
		config := filepath.Join(dir, "embedded.cfg")
		if err := os.WriteFile(config, []byte(opts.Config), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "-c", config)
	}
	convertertest.Run(t, "grub-mkimage", append(args, opts.Modules...)...)
	core, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return core
}

// split takes a core image apart: the loader, the decompressor without its
// compressed size, the decompressed payload.
func split(t *testing.T, core []byte) (loader, decompressor, payload []byte) {
	t.Helper()
	shipped, err := debianKit(t).ReadFile("lzma_decompress.img", 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	loader = bytes.Clone(core[:grub.SectorSize])
	rest := core[grub.SectorSize:]
	decompressor = bytes.Clone(rest[:len(shipped)])
	packedSize := binary.LittleEndian.Uint32(decompressor[8:])
	payloadSize := binary.LittleEndian.Uint32(decompressor[12:])
	clear(decompressor[8:12])

	header := []byte{(2*5+0)*9 + 3, 0, 0, 1, 0}
	header = binary.LittleEndian.AppendUint64(header, uint64(payloadSize))
	packed := rest[len(shipped):][:packedSize]
	r, err := lzma.NewReader(io.MultiReader(bytes.NewReader(header), bytes.NewReader(packed)))
	if err != nil {
		t.Fatal(err)
	}
	if payload, err = io.ReadAll(r); err != nil {
		t.Fatal(err)
	}
	return loader, decompressor, payload
}

func TestCoreImageIsWhatMkimageMakes(t *testing.T) {
	cases := map[string]grub.Options{
		"nothing but a prefix": {Prefix: "/boot/grub"},
		"no prefix":            {Modules: []string{"biosdisk"}},
		"config padded by 0":   {Prefix: "/abc", Config: "abc"},
		"config padded by 3":   {Prefix: "(hd0,gpt2)/grub", Config: "abcd", Modules: []string{"ext2", "part_gpt"}},
		"named twice":          {Prefix: "/", Modules: []string{"ext2", "fshelp", "ext2", "search"}},
		"disk":                 {Prefix: "/grub", Config: "search --set=root --fs-uuid 1234-ABCD\n", Modules: diskModules},
	}
	for name, opts := range cases {
		t.Run(name, func(t *testing.T) {
			opts.LBA = 1 // what grub-mkimage writes
			core, err := grub.CoreImage(debianKit(t), opts)
			if err != nil {
				t.Fatal(err)
			}
			loader, decompressor, payload := split(t, core)
			_, wantDecompressor, wantPayload := split(t, mkimage(t, opts))
			if !bytes.Equal(payload, wantPayload) {
				t.Errorf("payload of %d bytes differs from grub-mkimage's of %d", len(payload), len(wantPayload))
			}
			if !bytes.Equal(decompressor, wantDecompressor) {
				t.Error("decompressor differs from grub-mkimage's")
			}
			if got, want := int(binary.LittleEndian.Uint16(loader[508:])), len(core)/grub.SectorSize-1; got != want {
				t.Errorf("the loader loads %d sectors, want %d", got, want)
			}
			if len(core)%grub.SectorSize != 0 {
				t.Errorf("%d bytes, want whole sectors", len(core))
			}
		})
	}
}

// allModules returns the name of every module of the kit.
func allModules(t *testing.T, kit grub.Kit) []string {
	t.Helper()
	list, err := kit.ReadFile("moddep.lst", 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(string(list)) {
		if name, _, _ := strings.Cut(line, ":"); name != "kernel" {
			names = append(names, name)
		}
	}
	return names
}

func TestCoreImageOrdersAllModulesAsMkimageDoes(t *testing.T) {
	if testing.Short() {
		t.Skip("decompresses a few MB of modules")
	}
	kit := debianKit(t)
	const batch = 30 // what fits one core image
	for names := range slices.Chunk(allModules(t, kit), batch) {
		opts := grub.Options{Prefix: "/", Modules: names}
		payload, err := grub.CorePayload(kit, opts)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, want := split(t, mkimage(t, opts)); !bytes.Equal(payload, want) {
			t.Errorf("payload differs for modules %v", names)
		}
	}
}

func TestCoreImageKnowsItsPlace(t *testing.T) {
	const lba = 0x123456789
	core, err := grub.CoreImage(debianKit(t), grub.Options{Prefix: "/", LBA: lba})
	if err != nil {
		t.Fatal(err)
	}
	if got := binary.LittleEndian.Uint64(core[500:]); got != lba+1 {
		t.Errorf("the loader reads from sector %#x, want %#x", got, lba+1)
	}
}

func TestCoreImageIsBounded(t *testing.T) {
	kit := debianKit(t)
	if _, err := grub.CoreImage(kit, grub.Options{Modules: allModules(t, kit), LBA: 1}); !errors.Is(err, grub.ErrTooBig) {
		t.Errorf("all modules at once give %v, want ErrTooBig", err)
	}
}

func TestCoreImageRefusesBadKits(t *testing.T) {
	files := append([]string{"ext2.mod", "fshelp.mod"}, kitFiles...)
	edit := func(name string, change func([]byte) []byte) map[string][]byte {
		kit := copyKit(t, debianKit(t), files...)
		kit[name] = change(bytes.Clone(kit[name]))
		if kit[name] == nil {
			delete(kit, name)
		}
		return kit
	}
	put16 := func(off int, v uint16) func([]byte) []byte {
		return func(b []byte) []byte { binary.LittleEndian.PutUint16(b[off:], v); return b }
	}
	put32 := func(off int, v uint32) func([]byte) []byte {
		return func(b []byte) []byte { binary.LittleEndian.PutUint32(b[off:], v); return b }
	}
	remove := func([]byte) []byte { return nil }
	cut := func(n int) func([]byte) []byte { return func(b []byte) []byte { return b[:n] } }
	text := func(s string) func([]byte) []byte { return func([]byte) []byte { return []byte(s) } }

	cases := []struct {
		name   string
		kit    map[string][]byte
		reason string
	}{
		{"no kernel", edit("kernel.img", remove), "kernel.img"},
		{"kernel is a text", edit("kernel.img", text("hello")), "kernel.img: 5 bytes long, expected an ELF header"},
		{"kernel is 64-bit", edit("kernel.img", func(b []byte) []byte { b[4] = 2; return b }), "expected a little-endian ELF32"},
		{"kernel for another machine", edit("kernel.img", put16(0x12, 8)), "machine 8"},
		{"kernel starts elsewhere", edit("kernel.img", put32(0x18, 0x100000)), "entry point 0x100000"},
		{"kernel loads elsewhere", edit("kernel.img", put32(52+0x0c, 0x8fff)), "address 0x8fff"},
		{"kernel segment outside", edit("kernel.img", put32(52+0x10, 0xffffffff)), "the file is"},
		{"kernel headers outside", edit("kernel.img", put32(0x1c, 0xfffffff0)), "program headers at"},
		{"kernel headers of odd size", edit("kernel.img", put16(0x2a, 33)), "program headers of 33 bytes"},
		{"kernel without segments", edit("kernel.img", put16(0x2c, 0)), "nothing in it is to be loaded"},
		{"module is missing", edit("fshelp.mod", remove), "fshelp.mod"},
		{"module is not ELF", edit("fshelp.mod", text(strings.Repeat("x", 60))), "fshelp.mod: starts with 78"},
		{"module is a program", edit("ext2.mod", put16(0x10, 2)), "ext2.mod: ELF type 2"},
		{"module not listed", edit("moddep.lst", text("fshelp:\n")), `knows no module "ext2"`},
		{"dependency not listed", edit("moddep.lst", text("ext2: fshelp\n")), `knows no module "fshelp"`},
		{"list with a loop", edit("moddep.lst", text("ext2: fshelp\nfshelp: ext2\n")), "needs itself"},
		{"list without colon", edit("moddep.lst", text("ext2 fshelp\n")), "expected \"module: module"},
		{"list names a path", edit("moddep.lst", text("ext2: ../x\n../x:\n")), "not a file name"},
		{"list is missing", edit("moddep.lst", remove), "moddep.lst"},
		{"short loader", edit("diskboot.img", cut(511)), "diskboot.img is 511 bytes long, expected 512"},
		{"long loader", edit("diskboot.img", func(b []byte) []byte { return append(b, 0) }), "at most 512"},
		{"short decompressor", edit("lzma_decompress.img", cut(8)), "lzma_decompress.img is 8 bytes long"},
		{"long decompressor", edit("lzma_decompress.img", func([]byte) []byte { return make([]byte, 0x2201) }), "at most 8704"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := grub.CoreImage(mapKit(c.kit), grub.Options{Modules: []string{"ext2"}, LBA: 1})
			if err == nil || !strings.Contains(err.Error(), c.reason) {
				t.Errorf("error %v, want one that says %q", err, c.reason)
			}
		})
	}
}

func TestCoreImageRefusesBadOptions(t *testing.T) {
	cases := map[string]grub.Options{
		"after the boot sector": {LBA: 0},
		"within a":              {LBA: 1 << 62},
		"prefix of":             {LBA: 1, Prefix: strings.Repeat("x", 5000)},
		"prefix cont":           {LBA: 1, Prefix: "a\x00b"},
		"embedded":              {LBA: 1, Config: strings.Repeat("x", 1<<17)},
		"no module":             {LBA: 1, Modules: []string{"nosuch"}},
		"no module \"":          {LBA: 1, Modules: []string{""}},
	}
	for reason, opts := range cases {
		if _, err := grub.CoreImage(debianKit(t), opts); err == nil || !strings.Contains(err.Error(), reason) {
			t.Errorf("error %v, want one that says %q", err, reason)
		}
	}
}
