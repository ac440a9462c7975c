package ova

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/converter/vmdk"
	"github.com/cloudlets/cloudlets/extent"
)

const source = extent.Digest("sha256:the-package")

func openBytes(p []byte) (*Package, error) { return Open(bytes.NewReader(p), int64(len(p)), source) }

// readDisk returns the content of a disk in a package.
func readDisk(t testing.TB, d PackedDisk, file []byte) []byte {
	t.Helper()
	r := d.NewReader(context.Background(), source, convertertest.Blob(file))
	defer func() { _ = r.Close() }()
	p := make([]byte, r.Size())
	if err := container.ReadFull(r, p, 0); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestOpenReadsWhatWriteWrites(t *testing.T) {
	blobs := convertertest.Blobs{}
	first := pair(t, blobs)[0]
	second := convertertest.Build(t, func(b *extent.Builder) { b.Zero(100_000); b.Inline([]byte("end")); b.ZeroTo(1 << 20) })
	disks := []*extent.Map{first, second}
	file := convertertest.Bytes(t, packed(t, Machine{Name: "web"}, disks, blobs), blobs)
	p, err := openBytes(file)
	if err != nil {
		t.Fatal(err)
	}
	if verified, err := p.Verify(t.Context()); !verified || err != nil {
		t.Errorf("verified: %v, %v", verified, err)
	}
	if p.Name != "web" || len(p.Disks) != len(disks) {
		t.Fatalf("the machine %q with %d disks", p.Name, len(p.Disks))
	}
	for i, d := range p.Disks {
		if !bytes.Equal(readDisk(t, d, file), convertertest.Bytes(t, disks[i], blobs)) {
			t.Errorf("disk %s differs from what was packed", d.Name)
		}
	}
}

// Sparse disks are not compressed: their maps name the package itself.
func TestOpenReadsPackagesOfTar(t *testing.T) {
	disk := convertertest.Build(t, func(b *extent.Builder) { b.Zero(1 << 20); b.Inline([]byte("content")); b.ZeroTo(3 << 20) })
	sparse, err := vmdk.Write(disk, vmdk.Options{})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	convertertest.WriteFile(t, sparse, nil, filepath.Join(dir, "a.vmdk"))
	ovf := describe2(`<File ovf:id="f" ovf:href="a.vmdk"/>`, `<Disk ovf:diskId="d" ovf:fileRef="f" ovf:capacity="3"/>`)
	if err := os.WriteFile(filepath.Join(dir, "a.ovf"), []byte(ovf), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"ustar", "gnu", "pax"} {
		t.Run(format, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "ova")
			convertertest.Run(t, "tar", "--format="+format, "-C", dir, "-cf", path, "a.ovf", "a.vmdk")
			file, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			p, err := openBytes(file)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(readDisk(t, p.Disks[0], file), convertertest.Bytes(t, disk, nil)) {
				t.Error("the disk differs from what was packed")
			}
			if verified, err := p.Verify(t.Context()); verified || err != nil {
				t.Errorf("without a manifest, verified: %v, %v", verified, err)
			}
		})
	}
}

// describe2 returns a description with files and disks.
func describe2(files, disks string) string {
	return fmt.Sprintf(`<?xml version="1.0"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1">
<References>%s</References><DiskSection><Info/>%s</DiskSection><VirtualSystem ovf:id="vm"/></Envelope>`, files, disks)
}

// entry is a file of a tar.
type entry struct {
	name, content string
	kind          byte
}

func pack(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var p bytes.Buffer
	w := tar.NewWriter(&p)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Size: int64(len(e.content)), Mode: 0o644, Typeflag: e.kind}
		if e.kind != 0 && e.kind != tar.TypeReg {
			h.Size, h.Linkname = 0, "/etc/passwd"
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := w.Write([]byte(e.content)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return p.Bytes()
}

// diskFile returns a small VMDK file.
func diskFile(t testing.TB) string {
	t.Helper()
	disk := convertertest.Build(t, func(b *extent.Builder) { b.Inline([]byte("boot")); b.ZeroTo(64 << 10) })
	file, err := vmdk.WriteStored(t.Context(), disk, nil, vmdk.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return string(convertertest.Bytes(t, file, nil))
}

func TestOpenRefusesUnsoundPackages(t *testing.T) {
	const file, disk = `<File ovf:id="f" ovf:href="d.vmdk"/>`, `<Disk ovf:diskId="d" ovf:fileRef="f" ovf:capacity="65536"/>`
	content := diskFile(t)
	ovf := func(files, disks string) entry { return entry{name: "a.ovf", content: describe2(files, disks)} }
	vmdk := entry{name: "d.vmdk", content: content}
	tests := []struct {
		name    string
		entries []entry
		want    error // nil: it must open
	}{
		{"nothing", []entry{ovf(file, disk), vmdk}, nil},
		{"the description last", []entry{vmdk, ovf(file, disk)}, nil},
		{"no description", []entry{vmdk}, container.ErrFormat},
		{"two descriptions", []entry{ovf(file, disk), {name: "b.ovf"}, vmdk}, container.ErrFormat},
		{"not XML", []entry{{name: "a.ovf", content: "no"}, vmdk}, container.ErrFormat},
		{"another document", []entry{{name: "a.ovf", content: "<html/>"}, vmdk}, container.ErrFormat},
		{"two envelopes", []entry{{name: "a.ovf", content: "<Envelope/><Envelope/>"}}, container.ErrFormat},
		{"huge description", []entry{{name: "a.ovf", content: string(make([]byte, maxText+1))}}, container.ErrFormat},
		{"no disk", []entry{ovf("", "")}, nil},
		{"the disk is not in the package", []entry{ovf(file, disk)}, container.ErrUnsupported},
		{"the disk is elsewhere", []entry{ovf(`<File ovf:id="f" ovf:href="http://host/d.vmdk"/>`, disk), vmdk}, container.ErrUnsupported},
		{"the disk is a path", []entry{ovf(`<File ovf:id="f" ovf:href="/etc/passwd"/>`, disk), vmdk}, container.ErrUnsupported},
		{"the disk is a link", []entry{ovf(file, disk), {name: "d.vmdk", kind: tar.TypeSymlink}}, container.ErrUnsupported},
		{"the disk is compressed", []entry{ovf(`<File ovf:id="f" ovf:href="d.vmdk" ovf:compression="gzip"/>`, disk), vmdk}, container.ErrUnsupported},
		{"the disk is in chunks", []entry{ovf(`<File ovf:id="f" ovf:href="d.vmdk" ovf:chunkSize="1"/>`, disk), vmdk}, container.ErrUnsupported},
		{"the disk has a parent", []entry{ovf(file, `<Disk ovf:diskId="d" ovf:fileRef="f" ovf:parentRef="e"/>`), vmdk}, container.ErrUnsupported},
		{"no such file", []entry{ovf("", disk), vmdk}, container.ErrFormat},
		{"the disk is no VMDK", []entry{ovf(file, disk), {name: "d.vmdk", content: "no"}}, container.ErrFormat},
		{"a file twice", []entry{ovf(file, disk), vmdk, vmdk}, container.ErrFormat},
		{"an empty disk", []entry{ovf("", `<Disk ovf:diskId="d" ovf:capacity="8" ovf:capacityAllocationUnits="byte * 2^30"/>`)}, nil},
		{"an empty disk of nothing", []entry{ovf("", `<Disk ovf:diskId="d"/>`)}, container.ErrFormat},
		{"an empty disk of 2^70 bytes", []entry{ovf("", `<Disk ovf:diskId="d" ovf:capacity="1024" ovf:capacityAllocationUnits="byte * 2^60"/>`)}, container.ErrFormat},
		{"unknown units", []entry{ovf("", `<Disk ovf:diskId="d" ovf:capacity="1" ovf:capacityAllocationUnits="acre"/>`)}, container.ErrFormat},
		{"unknown hash", []entry{ovf(file, disk), vmdk, {name: "a.mf", content: "MD5(a.ovf)= 00"}}, container.ErrFormat},
		{"external entity", []entry{{name: "a.ovf", content: `<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><Envelope>&e;</Envelope>`}}, container.ErrFormat},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := openBytes(pack(t, test.entries...))
			if !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
				t.Errorf("error %v, want %v", err, test.want)
			}
		})
	}
}

// GNU tar can leave out holes: then the file does not stand in the tar as it is.
func TestOpenRefusesSparseMembers(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.ovf")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 1<<20); err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{"0.0", "0.1", "1.0"} {
		out := filepath.Join(t.TempDir(), "ova")
		convertertest.Run(t, "tar", "--format=pax", "--sparse", "--sparse-version="+version, "-C", dir, "-cf", out, "a.ovf")
		file, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := openBytes(file); !errors.Is(err, container.ErrUnsupported) {
			t.Errorf("version %s: error %v, want ErrUnsupported", version, err)
		}
	}
}

func TestOpenRefusesAPackageCutShort(t *testing.T) {
	file := pack(t, entry{name: "a.ovf", content: describe2(`<File ovf:id="f" ovf:href="d"/>`, `<Disk ovf:fileRef="f"/>`)},
		entry{name: "d", content: diskFile(t)})
	for n := 0; n < len(file)-2*blockSize; n += 100 {
		if _, err := openBytes(file[:n]); !errors.Is(err, container.ErrFormat) && !errors.Is(err, container.ErrUnsupported) {
			t.Fatalf("cut to %d of %d bytes: %v", n, len(file), err)
		}
	}
}

func TestVerifyTellsWhatWasChanged(t *testing.T) {
	sum := "SHA256 (a.ovf) = "
	ovf := entry{name: "a.ovf", content: describe2("", "")}
	good := fmt.Sprintf("%s%s\n", sum, sha256Hex(ovf.content))
	tests := []struct {
		name     string
		manifest string
		extra    []entry
		want     error
	}{
		{"good", good, nil, nil},
		{"certificate", good, []entry{{name: "a.cert", content: "x"}}, nil},
		{"changed", sum + sha256Hex("other"), nil, ErrDigest},
		{"a file more", good, []entry{{name: "x", content: "x"}}, ErrDigest},
		{"a file less", good + "SHA1(x)= 00\n", nil, container.ErrUnsupported},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p, err := openBytes(pack(t, append(test.extra, ovf, entry{name: "a.mf", content: test.manifest})...))
			if err != nil {
				t.Fatal(err)
			}
			if verified, err := p.Verify(t.Context()); !errors.Is(err, test.want) || verified != (test.want == nil) {
				t.Errorf("verified %v, error %v, want %v", verified, err, test.want)
			}
		})
	}
}

func sha256Hex(s string) string {
	h := newHash("SHA256")
	_, _ = h.Write([]byte(s))
	return fmt.Sprintf("%x", h.Sum(nil))
}

func FuzzOpen(f *testing.F) {
	f.Add(pack(f, entry{name: "a.ovf", content: describe2(`<File ovf:id="f" ovf:href="d"/>`, `<Disk ovf:fileRef="f"/>`)},
		entry{name: "d", content: diskFile(f)}, entry{name: "a.mf", content: "SHA1(d)= 00"}))
	f.Fuzz(func(t *testing.T, file []byte) {
		p, err := openBytes(file)
		if err != nil {
			if !errors.Is(err, container.ErrFormat) && !errors.Is(err, container.ErrUnsupported) {
				t.Fatalf("an error of neither kind: %v", err)
			}
			return
		}
		_, _ = p.Verify(t.Context())
		for _, d := range p.Disks {
			for off, e := range d.Map.All() {
				if e.Kind == extent.Source && e.Digest == source && e.Offset+e.Length > int64(len(file)) {
					t.Fatalf("extent at %d ends at %d of a file of %d bytes", off, e.Offset+e.Length, len(file))
				}
			}
		}
	})
}
