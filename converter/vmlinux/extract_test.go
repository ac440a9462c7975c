package vmlinux

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/converter/payload"
)

// debianKernel returns the kernel of the Debian root filesystem that tests use.
func debianKernel(t *testing.T) []byte {
	t.Helper()
	convertertest.Need(t, "tar", "tar")
	const rootfs = "../../.cache/debian.tar"
	if _, err := os.Stat(rootfs); err != nil {
		t.Fatalf("%v: make debian", err)
	}
	return []byte(convertertest.Run(t, "tar", "-xOf", rootfs, "--wildcards", "./boot/vmlinuz-*"))
}

func mustExtract(t convertertest.TB, file []byte) Kernel {
	t.Helper()
	k, err := Extract(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatalf("%v", err)
	}
	return k
}

// extractByHand does what Linux's scripts/extract-vmlinux does: it looks for the
// magic of a compressed stream anywhere, and takes what decompresses to an ELF.
const extractByHand = `for at in $(LC_ALL=C grep -abo "$(printf '\002\041\114\030')" "$1" | cut -d: -f1); do
	tail -c+$((at + 1)) "$1" | lz4 -d 2>/dev/null > "$2"
	readelf -h "$2" >/dev/null 2>&1 && exit 0
done
exit 1`

func TestKernelOfDebian(t *testing.T) {
	if testing.Short() {
		t.Skip("a kernel is booted")
	}
	convertertest.Need(t, "lz4", "lz4")
	convertertest.Need(t, "readelf", "binutils")
	dir := t.TempDir()
	boot, byHand, ours := filepath.Join(dir, "vmlinuz"), filepath.Join(dir, "by-hand"), filepath.Join(dir, "vmlinux")
	kernel := debianKernel(t)
	k := mustExtract(t, kernel)
	if k.Arch != X8664 || k.Compression != payload.LZ4 {
		t.Errorf("a kernel for %s in %q", k.Arch, k.Compression)
	}
	for path, content := range map[string][]byte{boot: kernel, ours: k.Content} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	convertertest.Run(t, "sh", "-c", extractByHand, "sh", boot, byHand)
	want, err := os.ReadFile(byHand)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(k.Content, want) {
		t.Errorf("got %d bytes, by hand it is %d others", len(k.Content), len(want))
	}
	header := convertertest.Run(t, "readelf", "-hl", ours)
	for _, text := range []string{"ELF64", "EXEC (Executable file)", "X86-64", "LOAD"} {
		if !strings.Contains(header, text) {
			t.Errorf("readelf does not say %q:\n%s", text, header)
		}
	}
	waitForKernel(t, ours)
}

// waitForKernel boots a kernel as Firecracker does, by its ELF header and without
// firmware, on the machine that QEMU modelled after Firecracker's.
func waitForKernel(t *testing.T, path string) {
	t.Helper()
	convertertest.Boot(t, "Linux version", "-M", "microvm", "-no-user-config", "-kernel", path, "-append", "earlyprintk=ttyS0 console=ttyS0")
}

// elfKernel returns a small ELF file with a segment.
func elfKernel() []byte {
	content := []byte(strings.Repeat("a kernel for tests. ", 5000))
	file := make([]byte, elfHeaderSize+elfProgramSize, elfHeaderSize+elfProgramSize+len(content))
	copy(file, elfMagic+"\x02\x01\x01")
	binary.LittleEndian.PutUint16(file[16:], elfExecutable)
	binary.LittleEndian.PutUint16(file[18:], elfMachineX8664)
	binary.LittleEndian.PutUint64(file[32:], elfHeaderSize)
	binary.LittleEndian.PutUint16(file[54:], elfProgramSize)
	binary.LittleEndian.PutUint16(file[56:], 1)
	p := file[elfHeaderSize:]
	binary.LittleEndian.PutUint32(p, elfProgramLoad)
	binary.LittleEndian.PutUint64(p[8:], elfHeaderSize+elfProgramSize)
	binary.LittleEndian.PutUint64(p[32:], uint64(len(content)))
	return append(file, content...)
}

func armKernel() []byte {
	file := bytes.Repeat([]byte("an Image for tests. "), 500)
	copy(file[armMagicOffset:], armMagic)
	return file
}

// bzImage puts a payload into a boot image.
func bzImage(packed []byte) []byte {
	const setup = 2
	file := make([]byte, (setup+1)*sectorSize+100, (setup+1)*sectorSize+100+len(packed))
	file[setupSectorsOffset] = setup
	copy(file[headerMagicOffset:], headerMagic)
	binary.LittleEndian.PutUint16(file[versionOffset:], 0x20f)
	binary.LittleEndian.PutUint32(file[payloadOffsetOffset:], 100)
	binary.LittleEndian.PutUint32(file[payloadLengthOffset:], uint32(len(packed)))
	return append(append(file, packed...), make([]byte, 64)...)
}

// zboot puts a payload into a compressed EFI image.
func zboot(packed []byte) []byte {
	file := make([]byte, 512)
	copy(file, peMagic)
	copy(file[zbootMagicOffset:], zbootMagic)
	binary.LittleEndian.PutUint32(file[zbootOffsetOffset:], 512)
	binary.LittleEndian.PutUint32(file[zbootLengthOffset:], uint32(len(packed)))
	return append(append(file, packed...), make([]byte, 64)...)
}

// TestKernelsInEveryCompression packs kernels as Linux's scripts/Makefile.lib does.
func TestKernelsInEveryCompression(t *testing.T) {
	for format, c := range map[payload.Format]struct{ command, debianPackage string }{
		payload.Gzip:  {"gzip -n -f -9", "gzip"},
		payload.Bzip2: {"bzip2 -9", "bzip2"},
		payload.LZMA:  {"xz --format=lzma -9", "xz-utils"},
		payload.XZ:    {"xz --check=crc32 --x86 --lzma2=dict=32MiB", "xz-utils"},
		payload.LZ4:   {"lz4 -l -9", "lz4"},
		payload.Zstd:  {"zstd -q -19", "zstd"},
	} {
		t.Run(string(format), func(t *testing.T) {
			convertertest.Need(t, strings.Fields(c.command)[0], c.debianPackage)
			packed := convertertest.Filter(t, c.command, elfKernel())
			if format != payload.Gzip {
				packed = binary.LittleEndian.AppendUint32(packed, uint32(len(elfKernel())))
			}
			k := mustExtract(t, bzImage(packed))
			if !bytes.Equal(k.Content, elfKernel()) || k.Compression != format || k.Arch != X8664 {
				t.Errorf("got %d bytes for %s, of %q", len(k.Content), k.Arch, k.Compression)
			}
			k = mustExtract(t, zboot(convertertest.Filter(t, c.command, armKernel())))
			if !bytes.Equal(k.Content, armKernel()) || k.Compression != format || k.Arch != ARM64 {
				t.Errorf("got %d bytes for %s, of %q", len(k.Content), k.Arch, k.Compression)
			}
		})
	}
}

func TestKernelsThatAreNotCompressedStayAsTheyAre(t *testing.T) {
	for arch, file := range map[Arch][]byte{X8664: elfKernel(), ARM64: armKernel()} {
		if k := mustExtract(t, file); !bytes.Equal(k.Content, file) || k.Arch != arch || k.Compression != payload.None {
			t.Errorf("%s: got %d bytes for %s, of %q", arch, len(k.Content), k.Arch, k.Compression)
		}
	}
	if k := mustExtract(t, convertertest.Filter(t, "gzip", armKernel())); !bytes.Equal(k.Content, armKernel()) || k.Arch != ARM64 {
		t.Errorf("Image.gz: got %d bytes for %s", len(k.Content), k.Arch)
	}
}

func TestHostileKernelsAreRefused(t *testing.T) {
	packed := convertertest.Filter(t, "gzip -n", elfKernel())
	patch := func(file []byte, at int, value uint32) []byte {
		file = bytes.Clone(file)
		binary.LittleEndian.PutUint32(file[at:], value)
		return file
	}
	sound := bzImage(packed)
	for name, c := range map[string]struct {
		file []byte
		want error
		says string
	}{
		"nothing":                {nil, ErrFormat, "expected a bzImage"},
		"text":                   {[]byte("#!/bin/sh"), ErrFormat, "begins with 23 21 2f"},
		"cut in the header":      {sound[:x86HeaderSize-1], ErrFormat, "ends within its header"},
		"cut in the payload":     {sound[:len(sound)-100], ErrFormat, "outside of the file"},
		"old protocol":           {patch(sound, versionOffset, 0x0207), ErrUnsupported, "boot protocol 2.07"},
		"payload far away":       {patch(sound, payloadOffsetOffset, 0xffffffff), ErrFormat, "outside of the file"},
		"payload too long":       {patch(sound, payloadLengthOffset, 0xffffffff), ErrFormat, "outside of the file"},
		"no payload":             {patch(sound, payloadLengthOffset, 0), ErrFormat, "empty"},
		"wrong size":             {bzImage(append(convertertest.Filter(t, "xz", elfKernel()), 1, 0, 0, 0)), ErrFormat, "more than 1 bytes"},
		"other wrong size":       {bzImage(append(convertertest.Filter(t, "xz", elfKernel()), 0, 0, 0xff, 0)), ErrFormat, "it says 16711680"},
		"payload is not ELF":     {bzImage(convertertest.Filter(t, "gzip -n", []byte("hello"))), ErrFormat, "no ELF"},
		"unknown compression":    {bzImage([]byte("whatever it is")), ErrFormat, "like none of"},
		"32 bits":                {append([]byte(elfMagic+"\x01"), make([]byte, 100)...), ErrUnsupported, "class 1"},
		"segment outside":        {patch(elfKernel(), elfHeaderSize+32, 0xfffffff), ErrFormat, "segment 0"},
		"far program headers":    {patch(elfKernel(), 32, 0xffffffff), ErrFormat, "program headers"},
		"nothing to load":        {patch(elfKernel(), elfHeaderSize, 4), ErrFormat, "without segments"},
		"zboot with x86 kernel":  {zboot(packed), ErrFormat, "no arm64 Image"},
		"zboot, payload outside": {patch(zboot(packed), zbootOffsetOffset, 0xffffffff), ErrFormat, "outside of the file"},
		"zboot, cut":             {zboot(packed)[:20], ErrFormat, "ends within its header"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Extract(bytes.NewReader(c.file), int64(len(c.file)))
			if !errors.Is(err, c.want) || !strings.Contains(fmt.Sprint(err), c.says) {
				t.Errorf("got %v, want one with %q", err, c.says)
			}
		})
	}
	if _, err := Extract(bytes.NewReader(nil), 1<<40); !errors.Is(err, ErrFormat) {
		t.Errorf("a file of a TiB: %v", err)
	}
}

func FuzzExtract(f *testing.F) {
	f.Add(elfKernel()[:200])
	f.Add(armKernel()[:200])
	f.Add(bzImage([]byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03")))
	f.Add(zboot([]byte("\x28\xb5\x2f\xfd\x04\x00")))
	f.Fuzz(func(t *testing.T, file []byte) {
		k, err := Extract(bytes.NewReader(file), int64(len(file)))
		if err == nil && len(k.Content) == 0 || err != nil && !errors.Is(err, ErrFormat) && !errors.Is(err, ErrUnsupported) {
			t.Fatalf("%d bytes, %v", len(k.Content), err)
		}
	})
}
