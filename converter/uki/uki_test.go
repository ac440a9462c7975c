package uki

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/extent"
)

// systemdStub returns the stub of the Debian package systemd-boot-efi.
func systemdStub(t testing.TB) []byte {
	t.Helper()
	stub, err := os.ReadFile("/usr/lib/systemd/boot/efi/linuxx64.efi.stub")
	if err != nil {
		t.Fatalf("%v; the test needs it: apt-get install systemd-boot-efi", err)
	}
	return stub
}

// source returns the map of a blob.
func source(t convertertest.TB, blobs convertertest.Blobs, content []byte) *extent.Map {
	t.Helper()
	var b extent.Builder
	b.Source(blobs.Add(content), 0, int64(len(content)))
	m, err := b.Build()
	if err != nil {
		t.Fatalf("%v", err)
	}
	return m
}

// TestToolsSeeTheSections asks objdump where sections stand, and objcopy for what
// is in them.
func TestToolsSeeTheSections(t *testing.T) {
	convertertest.Need(t, "objcopy", "binutils")
	blobs := convertertest.Blobs{}
	want := map[string]string{
		".osrel": "ID=debian\n", ".cmdline": "root=/dev/vda", ".uname": "6.1.0",
		".initrd": strings.Repeat("initrd", 1001), ".linux": strings.Repeat("kernel", 2000),
	}
	m, err := Write(Options{
		Stub: systemdStub(t), OSRelease: want[".osrel"], CommandLine: want[".cmdline"], Uname: want[".uname"],
		Initrd: source(t, blobs, []byte(want[".initrd"])), Linux: source(t, blobs, []byte(want[".linux"])), LinuxMemory: 1 << 20,
	})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "image.efi")
	convertertest.WriteFile(t, m, blobs, path)
	for name, content := range want {
		dumped := path + name
		convertertest.Run(t, "objcopy", "-O", "binary", "--dump-section", name+"="+dumped, path, "/dev/null")
		got, err := os.ReadFile(dumped)
		if err != nil {
			t.Fatal(err)
		}
		if strings.TrimRight(string(got), "\x00") != content {
			t.Errorf("objcopy reads %d bytes of %s, expected %d", len(got), name, len(content))
		}
	}
	checkObjdump(t, path)
	if inline := m.InlineSize(); inline > int64(len(systemdStub(t))+100) {
		t.Errorf("%d bytes are inline", inline)
	}
}

// checkObjdump compares the stub's sections before and after, and sees to it that
// all lie apart from each other.
func checkObjdump(t *testing.T, path string) {
	t.Helper()
	sections := func(path string) []string {
		var lines []string
		for line := range strings.Lines(convertertest.Run(t, "objdump", "-h", path)) {
			if fields := strings.Fields(line); len(fields) == 7 && strings.HasPrefix(fields[1], ".") {
				lines = append(lines, strings.Join(fields[1:6], " "))
			}
		}
		return lines
	}
	before, after := sections("/usr/lib/systemd/boot/efi/linuxx64.efi.stub"), sections(path)
	if len(after) != len(before)+5 || strings.Join(after[:len(before)], "\n") != strings.Join(before, "\n") {
		t.Errorf("objdump shows\n%s\nand the stub has\n%s", strings.Join(after, "\n"), strings.Join(before, "\n"))
	}
	end := uint64(0)
	for _, line := range after {
		fields := strings.Fields(line)
		size, err1 := strconv.ParseUint(fields[1], 16, 64)
		address, err2 := strconv.ParseUint(fields[2], 16, 64)
		if err := errors.Join(err1, err2); err != nil || address < end {
			t.Errorf("%s overlaps what is before it (%v)", line, err)
		}
		end = address + size
	}
	if headers := convertertest.Run(t, "objdump", "-p", path); !strings.Contains(headers, "CheckSum\t\t00000000") {
		t.Errorf("the checksum is that of the stub:\n%s", headers)
	}
}

func TestWhatObjcopyMakesIsOpened(t *testing.T) {
	convertertest.Need(t, "objcopy", "binutils")
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	stub, made := write("stub", string(systemdStub(t))), filepath.Join(dir, "made")
	convertertest.Run(t, "objcopy",
		"--add-section", ".cmdline="+write("cmdline", "quiet"), "--change-section-vma", ".cmdline=0x30000",
		"--add-section", ".linux="+write("linux", "kernel"), "--change-section-vma", ".linux=0x2000000", stub, made)
	content, err := os.ReadFile(made)
	if err != nil {
		t.Fatal(err)
	}
	i, err := Open(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	s := i.Section(SectionCommandLine)
	if !i.Unified() || s == nil || string(content[s.Offset:s.Offset+5]) != "quiet" {
		t.Errorf("got %+v", i.Sections)
	}
	if i, err := Open(bytes.NewReader(systemdStub(t)), int64(len(systemdStub(t)))); err != nil || i.Unified() {
		t.Errorf("the stub is opened as %+v, %v", i, err)
	}
	if _, err := Write(Options{Stub: content, Linux: new(extent.Map)}); !errors.Is(err, ErrUnsupported) {
		t.Errorf("a kernel was added to one: %v", err)
	}
}

func TestWhatIsWrittenIsOpened(t *testing.T) {
	stub := systemdStub(t)
	rapid.Check(t, func(t *rapid.T) {
		blobs := convertertest.Blobs{}
		o := Options{
			Stub: stub, Linux: convertertest.DrawMap(t, blobs, 1<<20), LinuxMemory: rapid.Int64Range(0, 1<<24).Draw(t, "memory"),
			OSRelease: rapid.String().Draw(t, "os-release"), CommandLine: rapid.String().Draw(t, "command line"),
		}
		if rapid.Bool().Draw(t, "initrd") {
			o.Initrd = convertertest.DrawMap(t, blobs, 1<<20)
		}
		m, err := Write(o)
		if err != nil {
			t.Fatal(err)
		}
		r := extent.NewReader(t.Context(), m, blobs)
		i, err := Open(r, m.Size())
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]*extent.Map{SectionLinux: o.Linux, SectionInitrd: o.Initrd} {
			s := i.Section(name)
			if want == nil {
				if s != nil {
					t.Fatalf("there is a section %s", name)
				}
				continue
			}
			if s.Size < want.Size() {
				t.Fatalf("%s has %d bytes, written were %d", name, s.Size, want.Size())
			}
			got, err := extent.Slice(m, s.Offset, want.Size())
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Encode(), want.Encode()) {
				t.Fatalf("%s is another map", name)
			}
			if s.virtualSize < max(want.Size(), 0) || name == SectionLinux && s.virtualSize < o.LinuxMemory {
				t.Fatalf("%s takes %d bytes of memory", name, s.virtualSize)
			}
		}
		if last := i.Sections[len(i.Sections)-1]; i.Size < last.address+last.virtualSize || last.Name != SectionLinux {
			t.Fatalf("the image has %d bytes, and ends with %+v", i.Size, last)
		}
	})
}

func TestHostileProgramsAreRefused(t *testing.T) {
	stub := systemdStub(t)
	pe := int(binary.LittleEndian.Uint32(stub[peOffsetOffset:]))
	optional := pe + coffSize
	table := optional + int(binary.LittleEndian.Uint16(stub[pe+optionalSize:]))
	patch := func(at int, value uint32) []byte {
		changed := bytes.Clone(stub)
		binary.LittleEndian.PutUint32(changed[at:], value)
		return changed
	}
	for name, c := range map[string]struct {
		file []byte
		want error
		says string
	}{
		"nothing":                {nil, ErrFormat, `expected "MZ"`},
		"text":                   {bytes.Repeat([]byte("text"), 99), ErrFormat, `expected "MZ"`},
		"header far away":        {patch(peOffsetOffset, 0xffffffff), ErrFormat, "at 4294967295"},
		"no PE":                  {patch(pe, 0), ErrFormat, `expected "PE`},
		"32 bits":                {patch(optional, 0x10b), ErrFormat, "0x10b"},
		"many sections":          {patch(pe+4, 0xffff8664), ErrFormat, "65535 sections"},
		"section outside":        {patch(table+20, 0xfffffff0), ErrFormat, "not in the file"},
		"cut short":              {stub[:len(stub)/2], ErrFormat, "not in the file"},
		"cut in the headers":     {stub[:table+10], ErrFormat, "sections"},
		"no alignment":           {patch(optional+fileAlignment, 0), ErrFormat, "aligned to 0"},
		"odd alignment":          {patch(optional+sectionAlignment, 3), ErrFormat, "aligned to 3"},
		"huge alignment":         {patch(optional+sectionAlignment, 1<<31), ErrFormat, "aligned to"},
		"no room":                {patch(optional+headersSize, 0x2d0), ErrUnsupported, "room for 0 more sections"},
		"headers of no size":     {patch(optional+headersSize, 0), ErrUnsupported, "room for 0 more sections"},
		"huge image":             {patch(optional+imageSize, 0xfffffff0), ErrUnsupported, "has more than"},
		"section behind image":   {patch(table+12, 0xffffff), ErrFormat, "behind the end"},
		"signature in the midst": {patch(optional+directories+certificates*directorySize+4, 10), ErrUnsupported, "does not end it"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Write(Options{Stub: c.file, CommandLine: "quiet", Linux: new(extent.Map)})
			if !errors.Is(err, c.want) || !strings.Contains(fmt.Sprint(err), c.says) {
				t.Errorf("got %v, want one with %q", err, c.says)
			}
		})
	}
}

func TestSignaturesOfStubsAreDropped(t *testing.T) {
	stub := systemdStub(t)
	entry := int(binary.LittleEndian.Uint32(stub[peOffsetOffset:])) + coffSize + directories + certificates*directorySize
	signed := append(bytes.Clone(stub), bytes.Repeat([]byte("signature"), 8)...)
	binary.LittleEndian.PutUint32(signed[entry:], uint32(len(stub)))
	binary.LittleEndian.PutUint32(signed[entry+4:], 72)
	want, err := Write(Options{Stub: stub, Linux: new(extent.Map)})
	if err != nil {
		t.Fatal(err)
	}
	got, err := Write(Options{Stub: signed, Linux: new(extent.Map)})
	if err != nil || !bytes.Equal(got.Encode(), want.Encode()) {
		t.Errorf("a signed stub makes another image (%v)", err)
	}
}

func FuzzOpen(f *testing.F) {
	head := make([]byte, 0x200)
	copy(head, dosMagic)
	head[peOffsetOffset] = 0x40
	copy(head[0x40:], peMagic)
	head[0x40+sectionCount], head[0x40+optionalSize] = 2, 0xf0
	binary.LittleEndian.PutUint16(head[0x40+coffSize:], optionalMagic)
	f.Add(head)
	f.Add([]byte(dosMagic))
	f.Fuzz(func(t *testing.T, file []byte) {
		i, err := Open(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Fatal(err)
			}
			return
		}
		for _, s := range i.Sections {
			if s.Offset < 0 || s.Size < 0 || s.Offset+s.Size > int64(len(file)) {
				t.Fatalf("%+v is not in a file of %d bytes", s, len(file))
			}
		}
		var b extent.Builder
		b.Inline([]byte("kernel"))
		linux, _ := b.Build()
		m, err := Write(Options{Stub: file, CommandLine: "quiet", Linux: linux})
		if err != nil {
			return
		}
		written := convertertest.Bytes(t, m, nil)
		again, err := Open(bytes.NewReader(written), m.Size())
		if err != nil || !again.Unified() {
			t.Fatalf("what was written of it: %v", err)
		}
	})
}
