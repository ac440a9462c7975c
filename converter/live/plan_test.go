package live_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/cloudlets/cloudlets/converter/boot"
	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/converter/grub"
	"github.com/cloudlets/cloudlets/converter/iso9660"
	"github.com/cloudlets/cloudlets/converter/live"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

const seed = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

const (
	liveBoot    = "usr/share/initramfs-tools/scripts/live"
	casper      = "usr/share/initramfs-tools/scripts/casper"
	dracut      = "usr/lib/dracut/modules.d/90dmsquash-live/module-setup.sh"
	systemdBoot = "usr/lib/systemd/boot/efi/systemd-bootx64.efi"
)

type files = convertertest.Files

// rootfs has two kernels, one of them without an initrd, and no bootloader.
func rootfs() files {
	return files{
		"etc/hostname":      "image\n",
		"boot/vmlinuz-6.1":  "kernel 6.1",
		"boot/vmlinuz-6.12": "kernel 6.12", "boot/initrd.img-6.12": "initrd 6.12",
		"boot/vmlinuz-6.9": "kernel 6.9", "boot/initrd.img-6.9": "initrd 6.9",
	}
}

// biosGRUB returns what is needed of the Debian package grub-pc-bin.
func biosGRUB(t *testing.T) files {
	t.Helper()
	return convertertest.Installed(t, grub.KitPath, "grub-pc-bin", func(string) bool { return true })
}

// planned is a planned volume, and what reads it.
type planned struct {
	volume *extent.Map
	report live.Report
	blobs  convertertest.Blobs
}

func plan(t *testing.T, root files, opts live.Options) (planned, error) {
	t.Helper()
	p := planned{blobs: make(convertertest.Blobs)}
	if opts.Seed == "" {
		opts.Seed = seed
	}
	var err error
	p.volume, p.report, err = live.Plan(t.Context(), root.Tree(p.blobs), p.blobs, opts)
	return p, err
}

func mustPlan(t *testing.T, root files, opts live.Options) planned {
	t.Helper()
	p, err := plan(t, root, opts)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// write writes the volume to a file.
func (p planned) write(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "live.iso")
	convertertest.WriteFile(t, p.volume, p.blobs, path)
	return path
}

// extract has xorriso read a file of the volume.
func extract(t *testing.T, volume, path string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "file")
	convertertest.Run(t, "osirrox", "-indev", volume, "-extract", path, to)
	content, err := os.ReadFile(to)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func TestVolumeHasWhatTheLiveSystemLooksFor(t *testing.T) {
	convertertest.Need(t, "osirrox", "xorriso")
	convertertest.Need(t, "unsquashfs", "squashfs-tools")
	for _, test := range []struct {
		mark, system, dir, filesystem string
		args                          string
	}{
		{liveBoot, "live-boot", "/live", "filesystem.squashfs", "'boot=live'"},
		{casper, "casper", "/casper", "filesystem.squashfs", "'boot=casper'"},
		{dracut, "dracut dmsquash-live", "/LiveOS", "squashfs.img", "'root=live:CDLABEL=LIVE_1' 'rd.live.image' 'rd.live.overlay.overlayfs=1'"},
	} {
		t.Run(test.system, func(t *testing.T) {
			p := mustPlan(t, rootfs().With(files{test.mark: "x", systemdBoot: "boot"}), live.Options{Label: "LIVE_1", KernelArgs: []string{"quiet"}})
			if p.report.System != test.system || p.report.Label != "LIVE_1" || !slices.Equal(p.report.Kernels, []string{"6.12", "6.9"}) {
				t.Errorf("report %+v", p.report)
			}
			volume := p.write(t)
			if got := extract(t, volume, test.dir+"/initrd.img-6.9"); got != "initrd 6.9" {
				t.Errorf("the initrd is %q", got)
			}
			menu := extract(t, volume, "/boot/grub/grub.cfg")
			want := "linux " + test.dir + "/vmlinuz-6.12 " + test.args + " 'console=tty0' 'console=ttyS0,115200' 'quiet'\n"
			if !strings.Contains(menu, want) {
				t.Errorf("the menu has no %q:\n%s", want, menu)
			}
			root := filepath.Join(t.TempDir(), "root.squashfs")
			if err := os.WriteFile(root, []byte(extract(t, volume, test.dir+"/"+test.filesystem)), 0o600); err != nil {
				t.Fatal(err)
			}
			if got := convertertest.Run(t, "unsquashfs", "-cat", root, "etc/hostname"); got != "image\n" {
				t.Errorf("/etc/hostname in the root filesystem is %q", got)
			}
		})
	}
}

func TestMenuIsAGRUBScript(t *testing.T) {
	convertertest.Need(t, "grub-script-check", "grub-common")
	convertertest.Need(t, "osirrox", "xorriso")
	volume := mustPlan(t, rootfs().With(files{liveBoot: "x", systemdBoot: "boot"}), live.Options{}).write(t)
	path := filepath.Join(t.TempDir(), "grub.cfg")
	if err := os.WriteFile(path, []byte(extract(t, volume, "/boot/grub/grub.cfg")), 0o600); err != nil {
		t.Fatal(err)
	}
	convertertest.Run(t, "grub-script-check", path)
}

func TestXorrisoFindsBothBootloaders(t *testing.T) {
	convertertest.Need(t, "xorriso", "xorriso")
	convertertest.Need(t, "sfdisk", "fdisk")
	p := mustPlan(t, rootfs().With(files{liveBoot: "x", systemdBoot: "boot"}).With(biosGRUB(t)), live.Options{})
	volume := p.write(t)
	out := convertertest.Run(t, "xorriso", "-indev", volume, "-report_el_torito", "plain", "-report_system_area", "plain")
	for _, want := range []string{
		"El Torito boot img :   1  BIOS  y   none  0x0000  0x00      4          21",
		"El Torito boot img :   2  UEFI  y   none",
		"MBR partition      :   1   0x80  0xcd            0",
		"MBR partition      :   2   0x00  0xef",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("xorriso does not say %q:\n%s", want, out)
		}
	}
	convertertest.Run(t, "sfdisk", "--verify", volume)
}

func TestESPStartsFromTheVolume(t *testing.T) {
	convertertest.Need(t, "mtype", "mtools")
	convertertest.Need(t, "fsck.vfat", "dosfstools")
	p := mustPlan(t, rootfs().With(files{liveBoot: "x", systemdBoot: "boot"}), live.Options{})
	esp := p.esp(t)
	convertertest.Run(t, "fsck.vfat", "-n", esp)
	for path, want := range map[string]string{
		"EFI/BOOT/BOOTX64.EFI":     "boot",
		"EFI/Linux/6.12/linux":     "kernel 6.12",
		"loader/loader.conf":       "timeout 1\ndefault 6.12.conf\n",
		"loader/entries/6.12.conf": "title Linux 6.12\nversion 6.12\nlinux /EFI/Linux/6.12/linux\ninitrd /EFI/Linux/6.12/initrd\noptions boot=live console=tty0 console=ttyS0,115200\n",
	} {
		if got := convertertest.Run(t, "mtype", "-i", esp, "::"+path); got != want {
			t.Errorf("%s is %q, want %q", path, got, want)
		}
	}
}

// esp writes the EFI system partition, found by sfdisk, to a file.
func (p planned) esp(t *testing.T) string {
	t.Helper()
	out := convertertest.Run(t, "sfdisk", "--json", p.write(t))
	var table struct {
		PartitionTable struct {
			Partitions []struct{ Start, Size int64 }
		}
	}
	if err := json.Unmarshal([]byte(out), &table); err != nil {
		t.Fatal(err)
	}
	where := table.PartitionTable.Partitions[1]
	m, err := extent.Slice(p.volume, where.Start*512, where.Size*512)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "esp")
	convertertest.WriteFile(t, m, p.blobs, path)
	return path
}

func TestPlanIsDeterministic(t *testing.T) {
	root := rootfs().With(files{liveBoot: "x", systemdBoot: "boot"}).With(biosGRUB(t))
	var volumes []*extent.Map
	for _, s := range []string{"a", "a", "b"} {
		volumes = append(volumes, mustPlan(t, root, live.Options{Seed: s}).volume)
	}
	if !reflect.DeepEqual(volumes[0], volumes[1]) {
		t.Error("the same input gave two volumes")
	}
	if reflect.DeepEqual(volumes[0], volumes[2]) {
		t.Error("two seeds gave the same volume")
	}
}

func TestWhatCannotBootIsAnErrorWithAWayOut(t *testing.T) {
	cases := []struct {
		name string
		root files
		want error
		says []string
	}{
		{"no live system", rootfs().With(files{systemdBoot: "x"}), live.ErrNotLive, []string{"live-boot", "casper", "dracut-live"}},
		{"no bootloader", rootfs().With(files{liveBoot: "x"}), boot.ErrNoBootloader, []string{"grub-pc-bin", "bootkit"}},
		{"no kernel", files{liveBoot: "x"}, boot.ErrNoKernel, []string{"linux-image"}},
		{"no initrd", files{liveBoot: "x", "boot/vmlinuz-6.1": "x", systemdBoot: "x"}, live.ErrNoInitrd, []string{"update-initramfs"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := plan(t, c.root, live.Options{})
			if !errors.Is(err, c.want) {
				t.Fatalf("error %v, want %v", err, c.want)
			}
			for _, part := range c.says {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("the error does not name %q: %v", part, err)
				}
			}
		})
	}
}

func TestBadOptionsAreNamed(t *testing.T) {
	root := rootfs().With(files{liveBoot: "x", systemdBoot: "x"})
	for says, opts := range map[string]live.Options{
		`kernel argument "a b"`: {KernelArgs: []string{"a b"}},
		`label "small"`:         {Label: "small"},
	} {
		if _, err := plan(t, root, opts); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("error %v, want one that says %q", err, says)
		}
	}
	if _, _, err := live.Plan(t.Context(), image.NewTree(), nil, live.Options{}); err == nil || !strings.Contains(err.Error(), "seed") {
		t.Errorf("without a seed the error is %v", err)
	}
}

func TestAnyRootfsIsAVolumeOfData(t *testing.T) {
	blobs := make(convertertest.Blobs)
	m, err := live.PlanData(t.Context(), rootfs().Tree(blobs), live.Options{Seed: seed})
	if err != nil {
		t.Fatal(err)
	}
	tree, err := iso9660.Open(extent.NewReader(t.Context(), m, blobs), m.Size(), "sha256:volume")
	if err != nil {
		t.Fatal(err)
	}
	if n := tree.Lookup("etc/hostname"); n == nil || n.Size() != 6 {
		t.Errorf("/etc/hostname is %+v", n)
	}
}
