package ova

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/converter/vmdk"
	"github.com/cloudlets/cloudlets/extent"
)

// pair returns two disks.
func pair(t convertertest.TB, blobs convertertest.Blobs) []*extent.Map {
	t.Helper()
	source := blobs.Add(bytes.Repeat([]byte("content "), 1<<14))
	return []*extent.Map{
		convertertest.Build(t, func(b *extent.Builder) { b.Source(source, 0, 128<<10); b.ZeroTo(10 << 20) }),
		convertertest.Build(t, func(b *extent.Builder) { b.ZeroTo(5 << 30); b.Source(source, 77, 5120) }),
	}
}

// packed returns the package of disks.
func packed(t convertertest.TB, m Machine, disks []*extent.Map, blobs extent.Opener) *extent.Map {
	t.Helper()
	var files []Disk
	for _, d := range disks {
		file, err := vmdk.WriteStored(context.Background(), d, blobs, vmdk.Options{})
		if err != nil {
			t.Fatalf("%v", err)
		}
		files = append(files, Disk{File: file, Capacity: d.Size()})
	}
	file, err := Write(context.Background(), m, files, blobs)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return file
}

func TestToolsTakeAPackageApart(t *testing.T) {
	convertertest.Need(t, "qemu-img", "qemu-utils")
	convertertest.Need(t, "xmllint", "libxml2-utils")
	convertertest.Need(t, "sha256sum", "coreutils")
	for _, m := range []Machine{
		{Name: "web-1", UEFI: true, Paravirtual: true},
		{Name: "box", Family: VirtualBox, CPUs: 2, Memory: 2048},
	} {
		t.Run(string(m.Family), func(t *testing.T) {
			dir := t.TempDir()
			blobs := convertertest.Blobs{}
			disks := pair(t, blobs)
			path := filepath.Join(dir, "package.ova")
			convertertest.WriteFile(t, packed(t, m, disks, blobs), blobs, path)
			names := convertertest.Run(t, "tar", "-tf", path)
			if want := m.Name + ".ovf\n" + m.Name + "-disk1.vmdk\n" + m.Name + "-disk2.vmdk\n" + m.Name + ".mf\n"; names != want {
				t.Errorf("tar lists %q, want %q", names, want)
			}
			convertertest.Run(t, "tar", "-xf", path, "-C", dir)
			checkManifest(t, dir, m.Name+".mf")
			checkDescription(t, filepath.Join(dir, m.Name+".ovf"), m)
			for i, disk := range disks {
				raw := filepath.Join(dir, "raw")
				convertertest.WriteFile(t, disk, blobs, raw)
				convertertest.Run(t, "qemu-img", "compare", "-f", "raw", "-F", "vmdk", raw, filepath.Join(dir, diskName(m, i)))
			}
		})
	}
}

// checkManifest has sha256sum check the files that a manifest lists. It reads
// the form of BSD, which has a space more.
func checkManifest(t *testing.T, dir, name string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.ReplaceAll(string(text), ")=", ") =")
	lines = strings.ReplaceAll(lines, "SHA256(", "SHA256 ("+dir+"/")
	sums := filepath.Join(dir, "sums")
	if err := os.WriteFile(sums, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := convertertest.Run(t, "sha256sum", "--strict", "-c", sums); strings.Count(out, ": OK") != 3 {
		t.Errorf("sha256sum says %q, want three good files", out)
	}
}

// checkDescription asks xmllint what a description says.
func checkDescription(t *testing.T, path string, m Machine) {
	t.Helper()
	is := func(want string, steps ...string) {
		t.Helper()
		var query strings.Builder
		for _, s := range steps {
			if name, ok := strings.CutPrefix(s, "@"); ok {
				query.WriteString("/@*[local-name()='" + name + "']")
				continue
			}
			query.WriteString("//*[local-name()='" + s + "']")
		}
		got := convertertest.Run(t, "xmllint", "--nonet", "--xpath", "string("+query.String()+")", path)
		if strings.TrimSpace(got) != want {
			t.Errorf("%v is %q, want %q", steps, got, want)
		}
	}
	is(m.hardware().system, "VirtualSystemType")
	is(m.Name, "VirtualSystem", "@id")
	is(diskName(m, 0), "File", "@href")
	is("10485760", "Disk", "@capacity")
	is("file1", "Disk", "@fileRef")
	is("ovf:/disk/vmdisk1", "HostResource")
	is(m.hardware().controller, "ResourceSubType")
	firmware := ""
	if m.UEFI {
		firmware = "efi"
	}
	is(firmware, "Config", "@value")
}

func TestDisksLeaveOutTheControllersAddress(t *testing.T) {
	m := Machine{Name: "x"}
	var units []int
	for _, i := range m.hardwareSection(m.hardware(), 15).Items {
		if i.Type == typeDisk {
			units = append(units, *i.AddressOnParent)
		}
	}
	for i, unit := range units {
		if unit == 7 || i > 0 && unit <= units[i-1] || unit > 15 {
			t.Errorf("the disks stand at %v", units)
		}
	}
}

func TestWriteSaysWhatAMachineCannotBe(t *testing.T) {
	disk := Disk{File: convertertest.Build(t, func(b *extent.Builder) { b.Zero(512) })}
	tests := []struct {
		name    string
		machine Machine
		disks   int
	}{
		{"no name", Machine{}, 1},
		{"a path", Machine{Name: "../x"}, 1},
		{"dots", Machine{Name: ".."}, 1},
		{"a name that is markup", Machine{Name: "<x>"}, 1},
		{"a long name", Machine{Name: strings.Repeat("x", 65)}, 1},
		{"family", Machine{Name: "x", Family: "hyperv"}, 1},
		{"processors", Machine{Name: "x", CPUs: -1}, 1},
		{"no disks", Machine{Name: "x"}, 0},
		{"too many disks", Machine{Name: "x"}, 16},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var disks []Disk
			for range test.disks {
				disks = append(disks, disk)
			}
			if _, err := Write(t.Context(), test.machine, disks, nil); err == nil {
				t.Error("no error")
			}
		})
	}
}

func TestFilesBeyondUstarAreOpenedByTar(t *testing.T) {
	header, err := tarHeader("x.vmdk", 100<<30)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "tar")
	content := convertertest.Build(t, func(b *extent.Builder) { b.Inline(header); b.Zero(100<<30 + 2*blockSize) })
	convertertest.WriteFile(t, content, nil, path)
	if out := convertertest.Run(t, "tar", "-tvf", path); !strings.Contains(out, "107374182400") {
		t.Errorf("tar lists %q", out)
	}
}
