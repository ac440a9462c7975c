package vmdk

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/extent"
)

func TestFlatIsWhatQEMUExpects(t *testing.T) {
	convertertest.Need(t, "qemu-img", "qemu-utils")
	dir := t.TempDir()
	disk := convertertest.Build(t, func(b *extent.Builder) { b.Inline([]byte("boot")); b.Zero(3 * mib) })
	text, flat, err := Flat("disk-flat.vmdk", disk, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "disk.vmdk"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	raw := filepath.Join(dir, "disk-flat.vmdk")
	convertertest.WriteFile(t, flat, nil, raw)
	convertertest.Run(t, "qemu-img", "check", "-f", "vmdk", filepath.Join(dir, "disk.vmdk"))
	convertertest.Run(t, "qemu-img", "compare", "-f", "raw", "-F", "vmdk", raw, filepath.Join(dir, "disk.vmdk"))
	for _, name := range []string{"", "../x", "/etc/passwd"} {
		if _, _, err := Flat(name, disk, Options{}); err == nil {
			t.Errorf("the name %q: no error", name)
		}
	}
}

func TestOpenPartsReadsWhatQEMUWrites(t *testing.T) {
	convertertest.Need(t, "qemu-img", "qemu-utils")
	tests := []struct {
		subformat string
		size      int64 // QEMU writes all of a flat file
		names     []string
	}{
		{"monolithicFlat", 4 * mib, []string{"disk-flat.vmdk"}},
		{"twoGbMaxExtentFlat", 4 * mib, []string{"disk-f001.vmdk"}},
		{"twoGbMaxExtentSparse", 5 * gib, []string{"disk-s001.vmdk", "disk-s002.vmdk", "disk-s003.vmdk"}},
	}
	for _, test := range tests {
		t.Run(test.subformat, func(t *testing.T) {
			raw := filepath.Join(t.TempDir(), "raw")
			disk := convertertest.Build(t, func(b *extent.Builder) {
				b.Inline([]byte("boot"))
				b.ZeroTo(test.size/5*2 - 2)
				b.Inline([]byte("over two parts"))
				b.ZeroTo(test.size)
			})
			convertertest.WriteFile(t, disk, nil, raw)
			dir := t.TempDir()
			path := filepath.Join(dir, "disk.vmdk")
			convertertest.Run(t, "qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", "subformat="+test.subformat, raw, path)
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			files, parts := openFiles(t, dir, test.names)
			slices.Reverse(parts) // The order is the descriptor's.
			opened, err := OpenParts(text, parts)
			if err != nil {
				t.Fatal(err)
			}
			again := filepath.Join(dir, "again")
			convertertest.WriteFile(t, opened.Map, files, again)
			convertertest.Run(t, "qemu-img", "compare", "-f", "raw", "-F", "raw", raw, again)
			if _, err := OpenParts(text, parts[:len(parts)-1]); !errors.Is(err, container.ErrUnsupported) {
				t.Errorf("a part less: %v", err)
			}
			other := Part{Name: "other.vmdk"}
			if _, err := OpenParts(text, append(parts, other)); !errors.Is(err, container.ErrUnsupported) {
				t.Errorf("a part more: %v", err)
			}
			if _, err := openFile(text); !errors.Is(err, container.ErrUnsupported) {
				t.Errorf("the descriptor alone: %v", err)
			}
		})
	}
}

// opened are files by their names.
type opened map[extent.Digest]*os.File

func (o opened) OpenBlob(_ context.Context, d extent.Digest) (extent.Blob, error) {
	return file{o[d]}, nil
}

type file struct{ *os.File }

func (f file) Size() int64  { info, _ := f.Stat(); return info.Size() }
func (f file) Close() error { return nil }

func openFiles(t *testing.T, dir string, names []string) (opened, []Part) {
	t.Helper()
	files := make(opened)
	var parts []Part
	for _, name := range names {
		f, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = f.Close() })
		source := extent.Digest("sha256:" + name)
		files[source] = f
		parts = append(parts, Part{Name: name, Reader: f, Size: file{f}.Size(), Source: source})
	}
	return files, parts
}

func TestOpenPartsRefusesWhatDoesNotFit(t *testing.T) {
	given := func(content []byte) []Part {
		return []Part{{Name: "x", Reader: bytes.NewReader(content), Size: int64(len(content)), Source: "sha256:part"}}
	}
	tests := []struct {
		name  string
		line  string // without its access
		parts []Part
		want  error // nil: it must open
	}{
		{"flat", `4 FLAT "x" 0`, given(make([]byte, 4*sectorSize)), nil},
		{"a range of a flat one", `4 FLAT "x" 2`, given(make([]byte, 6*sectorSize)), nil},
		{"a flat one that ends before", `4 FLAT "x" 3`, given(make([]byte, 6*sectorSize)), container.ErrFormat},
		{"a flat one far outside", `4 FLAT "x" 1125899906842624`, given(make([]byte, 6*sectorSize)), container.ErrFormat},
		{"zeros", `4 ZERO`, nil, nil},
		{"a name with folders", `4 FLAT "/vmfs/volumes/a/x" 0`, given(make([]byte, 4*sectorSize)), nil},
		{"a name with folders of Windows", `4 FLAT "C:\a\x" 0`, given(make([]byte, 4*sectorSize)), nil},
		{"ranges of one file", "2 FLAT \"x\" 2\nRW 2 FLAT \"x\" 0", given(make([]byte, 4*sectorSize)), nil},
		{"files of one name", "2 FLAT \"a/x\" 0\nRW 2 FLAT \"b/x\" 0", given(make([]byte, 4*sectorSize)), container.ErrUnsupported},
		{"files of one name that are given", `4 FLAT "x" 0`, append(given(nil), given(nil)...), container.ErrUnsupported},
		{"a file that is not given", `4 FLAT "y" 0`, nil, container.ErrUnsupported},
		{"sparse", `512 SPARSE "x"`, given(sample(t)), nil},
		{"sparse of ESX", `6 VMFSSPARSE "x"`, given(cowdSample()), nil},
		{"a sparse one that is smaller", `513 SPARSE "x"`, given(sample(t)), container.ErrFormat},
		{"a sparse one that is none", `4 SPARSE "x"`, given(make([]byte, 6*sectorSize)), container.ErrFormat},
		{"a sparse one that is empty", `4 SPARSE "x"`, given(nil), container.ErrFormat},
		{"a compressed one", `512 SPARSE "x"`, given(streamSample(t)), container.ErrUnsupported},
		{"a raw device", `4 VMFSRDM "x"`, given(make([]byte, 6*sectorSize)), container.ErrUnsupported},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			text := "# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType=\"custom\"\nRW " + test.line + "\n"
			_, err := OpenParts([]byte(text), test.parts)
			if !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
				t.Errorf("error %v, want %v", err, test.want)
			}
		})
	}
}

// FuzzOpenParts opens a descriptor with a file called "x".
func FuzzOpenParts(f *testing.F) {
	for _, line := range []string{`512 SPARSE "x"`, `4 FLAT "x" 1`, `4 ZERO`, `6 VMFSSPARSE "a/x"`} {
		f.Add([]byte("# Disk DescriptorFile\nparentCID=ffffffff\nRW "+line+"\n"), sample(f))
	}
	f.Add([]byte("# Disk DescriptorFile\nRW 6 SPARSE \"x\"\nRW 1 FLAT \"x\"\n"), cowdSample())
	f.Fuzz(func(t *testing.T, text, content []byte) {
		disk, err := OpenParts(text, []Part{{Name: "x", Reader: bytes.NewReader(content), Size: int64(len(content)), Source: "sha256:x"}})
		if err != nil {
			return
		}
		for i := range disk.Map.Len() {
			if _, e := disk.Map.At(i); e.Kind == extent.Source && e.Offset+e.Length > int64(len(content)) {
				t.Errorf("the extent %+v is outside of the file", e)
			}
		}
	})
}
