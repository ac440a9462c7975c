package lint

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/converter/uki"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

type files = convertertest.Files

const linkTo, removed = convertertest.LinkTo, convertertest.Removed

// initrd lets cpio make an archive of empty files.
func initrd(t *testing.T, names ...string) string {
	t.Helper()
	convertertest.Need(t, "cpio", "cpio")
	dir := t.TempDir()
	for _, name := range names {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(strings.Repeat("x", len(name))), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	return convertertest.Run(t, "sh", "-c", `cd "$1" && find . | cpio -o -H newc --quiet`, "sh", dir)
}

// sound is an image that kvm finds no fault with.
func sound(t *testing.T) files {
	return files{
		"boot/vmlinuz-6.1": "kernel", "boot/initrd.img-6.1": initrd(t, "usr/lib/modules/6.1/kernel/virtio_pci.ko", "lib/virtio-blk.ko.zst"),
		"boot/config-6.1":                              "CONFIG_EXT4_FS=y\nCONFIG_SERIAL_8250_CONSOLE=y\n# CONFIG_XEN is not set\n",
		"lib/modules/6.1/modules.builtin":              "kernel/drivers/net/virtio_net.ko\n",
		"usr/lib/systemd/boot/efi/systemd-bootx64.efi": "systemd-boot",
		"sbin/init": linkTo + "/lib/systemd/systemd", "lib/systemd/systemd": "", "usr/lib/systemd/system-generators/systemd-getty-generator": "",
		"usr/bin/cloud-init": "", "usr/bin/growpart": "", "sbin/resize2fs": "", "usr/sbin/qemu-ga": "",
		"usr/sbin/NetworkManager": "", "etc/machine-id": "uninitialized\n", "etc/shadow": "root:*:1:0:99999:7:::\n",
	}
}

func mustLint(t *testing.T, f files, provider string) ProviderReport {
	t.Helper()
	blobs := convertertest.Blobs{}
	report, err := Lint(t.Context(), f.Tree(blobs), blobs, provider)
	if err != nil {
		t.Fatal(err)
	}
	return report.Providers[0]
}

// find returns the finding of a check, or nil.
func (r ProviderReport) find(check string) *Finding {
	i := slices.IndexFunc(r.Findings, func(f Finding) bool { return f.Check == check })
	if i < 0 {
		return nil
	}
	return &r.Findings[i]
}

// TestEachCheckFinds takes one thing from a sound image, or adds one, at a time.
func TestEachCheckFinds(t *testing.T) {
	for name, c := range map[string]struct {
		change   files
		provider string
		check    string
		severity Severity
		says     []string // in the finding
	}{
		"no kernel":       {files{"boot/vmlinuz-6.1": removed}, "kvm", "kernel", Error, []string{"no kernel", "/boot/vmlinuz-VERSION"}},
		"no driver":       {files{"boot/initrd.img-6.1": initrd(t, "virtio_pci.ko")}, "kvm", "disk-driver", Error, []string{"virtio_blk: not there", "virtio_pci: in the initrd", "/boot/config-6.1", "linux-image-amd64"}},
		"driver in root":  {files{"boot/initrd.img-6.1": initrd(t, "virtio_pci.ko"), "lib/modules/6.1/x/virtio_blk.ko.xz": ""}, "kvm", "disk-driver", Error, []string{"not in the initrd", "update-initramfs"}},
		"no initrd":       {files{"boot/initrd.img-6.1": removed, "lib/modules/6.1/x/virtio_blk.ko.xz": ""}, "kvm", "disk-driver", Error, []string{"an initrd (not there)"}},
		"no config":       {files{"boot/initrd.img-6.1": initrd(t, "x"), "boot/config-6.1": removed, "lib/modules/6.1/modules.builtin": removed}, "kvm", "disk-driver", Warning, []string{"cannot be told", "keep /boot/config-6.1"}},
		"broken initrd":   {files{"boot/initrd.img-6.1": "070701"}, "kvm", "initrd", Error, []string{"cannot be read", "ends without its trailer"}},
		"no filesystem":   {files{"boot/config-6.1": "CONFIG_SERIAL_8250_CONSOLE=y\n"}, "kvm", "filesystem", Error, []string{"ext4: not there"}},
		"no console":      {files{"boot/config-6.1": "CONFIG_EXT4_FS=y\nCONFIG_SERIAL_8250_CONSOLE=m\n"}, "kvm", "console", Warning, []string{"ttyS0", "it is \"m\""}},
		"unknown console": {files{"boot/config-6.1": removed}, "kvm", "console", Warning, []string{"cannot be told"}},
		"no getty":        {files{"usr/lib/systemd/system-generators/systemd-getty-generator": removed}, "kvm", "getty", Warning, []string{"/etc/inittab"}},
		"no bootloader":   {files{"usr/lib/systemd/boot/efi/systemd-bootx64.efi": removed}, "kvm", "bootloader", Error, []string{"BIOS or UEFI", "grub-pc-bin", "grub-efi-amd64-bin", "--bootkit"}},
		"UEFI alone":      {nil, "kvm", "bootloader", Warning, []string{"no bootloader for BIOS", "/usr/lib/grub/i386-pc"}},
		"no init":         {files{"sbin/init": removed, "lib/systemd/systemd": removed}, "kvm", "init", Error, []string{"/sbin/init", "nothing to start"}},
		"shell as init":   {files{"sbin/init": removed, "lib/systemd/systemd": removed, "bin/sh": ""}, "kvm", "init", Warning, []string{"/bin/sh instead"}},
		"no network":      {files{"lib/modules/6.1/modules.builtin": removed}, "kvm", "network-driver", Warning, []string{"virtio_net"}},
		"no DHCP":         {files{"usr/sbin/NetworkManager": removed}, "kvm", "dhcp", Warning, []string{"inet dhcp", "systemd-networkd"}},
		"no agent":        {files{"usr/bin/cloud-init": removed}, "kvm", "agent", Warning, []string{"cloud-init", "/usr/bin"}},
		"no growth":       {files{"usr/bin/growpart": removed}, "kvm", "growth", Warning, []string{"growpart", "repart.d"}},
		"identity":        {files{"etc/machine-id": "0123456789abcdef0123456789abcdef\n"}, "kvm", "machine-id", Warning, []string{"same identity", "volatile"}},
		"D-Bus identity":  {files{"var/lib/dbus/machine-id": "0123456789abcdef0123456789abcdef\n"}, "kvm", "machine-id", Warning, []string{"/var/lib/dbus/machine-id"}},
		"host keys":       {files{"etc/ssh/ssh_host_rsa_key": "key"}, "kvm", "ssh-host-keys", Warning, []string{"/etc/ssh/ssh_host_rsa_key"}},
		"no password":     {files{"etc/shadow": "root::1:::::\n"}, "kvm", "root-password", Warning, []string{"anybody"}},
		"a password":      {files{"etc/shadow": "root:$6$x:1:::::\n"}, "kvm", "root-password", Warning, []string{"all instances"}},
		"nobody":          {files{"usr/bin/cloud-init": removed}, "kvm", "login", Warning, []string{"all users are locked"}},
		"no guest":        {nil, "xen", "guest", Error, []string{"CONFIG_XEN_PV=y or CONFIG_XEN_PVH=y"}},
		"other disks":     {nil, "hyperv", "disk-driver", Error, []string{"hv_storvsc: not there"}},
		"other agent":     {nil, "vmware", "agent", Warning, []string{"vmtoolsd"}},
		"newer machines":  {files{"boot/config-6.1": "CONFIG_XEN_BLKDEV_FRONTEND=y\nCONFIG_EXT4_FS=y\n"}, "ec2", "driver", Warning, []string{"Nitro"}},
		"without PCI":     {nil, "firecracker", "disk-driver", Error, []string{"virtio_mmio: not there"}},
		"no live":         {nil, "iso", "live", Error, []string{"/scripts/live", "live-boot"}},
		"no shell":        {nil, "wsl", "shell", Error, []string{"/bin/sh"}},
		"no users":        {nil, "wsl", "users", Error, []string{"/etc/passwd"}},
		"no systemd":      {nil, "wsl", "wsl-conf", Warning, []string{"systemd=true"}},
		"no LXC init":     {files{"sbin/init": removed, "lib/systemd/systemd": removed, "bin/sh": ""}, "lxc", "init", Error, []string{"nothing to start"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := mustLint(t, sound(t).With(c.change), c.provider)
			f := r.find(c.check)
			if f == nil || f.Severity != c.severity {
				t.Fatalf("got %+v, want the %s %s", r.Findings, c.severity, c.check)
			}
			if c.severity == Error && r.Boots {
				t.Errorf("boots is %t", r.Boots)
			}
			text := strings.Join([]string{f.What, f.Why, f.Do, f.Looked}, "\n")
			for _, want := range c.says {
				if !strings.Contains(text, want) {
					t.Errorf("%q is not in\n%s", want, text)
				}
			}
			if f.What == "" || f.Why == "" || f.Do == "" || f.Looked == "" {
				t.Errorf("a part is missing: %+v", f)
			}
		})
	}
}

func TestSoundImagesHaveNoFindings(t *testing.T) {
	live := files{"boot/initrd.img-6.1": initrd(t, "scripts/live", "isofs.ko", "squashfs.ko", "overlay.ko", "sr_mod.ko", "virtio_pci.ko", "virtio_net.ko", "virtio_blk.ko", "hv_vmbus.ko")}
	wsl := files{"bin/sh": "", "etc/passwd": "root:x:0:0::/root:/bin/sh\n", "etc/wsl.conf": "[boot]\nsystemd = true\n"}
	for provider, more := range map[string]files{"pxe": nil, "lxc": nil, "wsl": wsl} {
		if r := mustLint(t, sound(t).With(more), provider); len(r.Findings) > 0 || !r.Boots {
			t.Errorf("%s: %+v", provider, r.Findings)
		}
	}
	// It has a bootloader for UEFI alone.
	for provider, more := range map[string]files{"iso": live, "kvm": nil} {
		if r := mustLint(t, sound(t).With(more), provider); len(r.Findings) != 1 || r.Findings[0].Check != "bootloader" {
			t.Errorf("%s: %+v", provider, r.Findings)
		}
	}
}

// TestARootThatIsFetchedNeedsTheNetworkInTheInitrd has a live system, whose initrd
// a render for the network makes use of.
func TestARootThatIsFetchedNeedsTheNetworkInTheInitrd(t *testing.T) {
	const liveBoot = "usr/share/initramfs-tools/scripts/live"
	root := []string{"scripts/live", "squashfs.ko", "overlay.ko"}
	for name, test := range map[string]struct {
		initrd []string
		lacks  string
	}{
		"all of it":           {append(root, "virtio_pci.ko", "virtio_net.ko"), ""},
		"no network card":     {root, "network-driver"},
		"no live system":      {[]string{"squashfs.ko", "overlay.ko", "virtio_pci.ko", "virtio_net.ko"}, "live"},
		"nothing to mount it": {[]string{"scripts/live", "virtio_pci.ko", "virtio_net.ko"}, "driver"},
	} {
		t.Run(name, func(t *testing.T) {
			r := mustLint(t, sound(t).With(files{liveBoot: "x", "boot/initrd.img-6.1": initrd(t, test.initrd...)}), "pxe")
			f := r.find(test.lacks)
			if r.Boots != (test.lacks == "") || test.lacks != "" && (f == nil || f.Severity != Error) {
				t.Errorf("boots is %t, want something to lack in %q: %+v", r.Boots, test.lacks, r.Findings)
			}
		})
	}
}

// TestUnifiedKernelImagesAreLookedInto has the kernel and its initrd in one.
func TestUnifiedKernelImagesAreLookedInto(t *testing.T) {
	stub, err := os.ReadFile("/usr/lib/systemd/boot/efi/linuxx64.efi.stub")
	if err != nil {
		t.Fatalf("%v; the test needs it: apt-get install systemd-boot-efi", err)
	}
	unified := func(commandLine string, modules ...string) files {
		var linux, ramdisk extent.Builder
		linux.Inline([]byte("kernel"))
		ramdisk.Inline([]byte(initrd(t, modules...)))
		o := uki.Options{Stub: stub, Uname: "6.2", CommandLine: commandLine}
		var err1, err2 error
		o.Linux, err1 = linux.Build()
		o.Initrd, err2 = ramdisk.Build()
		m, err := uki.Write(o)
		if err := errors.Join(err1, err2, err); err != nil {
			t.Fatal(err)
		}
		return files{
			"boot/vmlinuz-6.1": removed, "lib/modules/6.2/linux.efi": string(convertertest.Bytes(t, m, nil)),
			"lib/modules/6.2/config": "CONFIG_EXT4_FS=y\nCONFIG_SERIAL_8250_CONSOLE=y\nCONFIG_VIRTIO_NET=y\n",
		}
	}
	good := mustLint(t, sound(t).With(unified("console=ttyS0", "virtio_pci.ko", "virtio_blk.ko")), "kvm")
	if len(good.Findings) != 1 || good.Findings[0].Check != "bootloader" {
		t.Errorf("got %+v", good.Findings)
	}
	bad := mustLint(t, sound(t).With(unified("quiet", "virtio_pci.ko")), "kvm")
	if f := bad.find("disk-driver"); f == nil || !strings.Contains(f.Looked, "6.2.efi") {
		t.Errorf("got %+v", bad.Findings)
	}
	if f := bad.find("command-line"); f == nil || !strings.Contains(f.Looked, `it is "quiet"`) {
		t.Errorf("got %+v", bad.Findings)
	}
	// Who loads a kernel by itself finds none.
	if direct := mustLint(t, sound(t).With(unified("quiet")), "firecracker"); direct.find("kernel") == nil {
		t.Errorf("got %+v", direct.Findings)
	}
}

func TestWaysToAnAddress(t *testing.T) {
	without := sound(t).With(files{"usr/sbin/NetworkManager": removed})
	for name, c := range map[string]struct {
		more files
		want bool
	}{
		"ifupdown":            {files{"usr/sbin/ifup": "", "usr/sbin/dhclient": "", "etc/network/interfaces": "auto eth0\niface eth0 inet dhcp\n"}, true},
		"ifupdown, included":  {files{"sbin/ifup": "", "sbin/udhcpc": "", "etc/network/interfaces.d/eth0": "iface eth0 inet dhcp\n"}, true},
		"ifupdown for lo":     {files{"usr/sbin/ifup": "", "usr/sbin/dhclient": "", "etc/network/interfaces": "iface lo inet loopback\n", "usr/bin/cloud-init": removed}, false},
		"ifupdown, no client": {files{"usr/sbin/ifup": "", "etc/network/interfaces": "iface eth0 inet dhcp\n"}, false},
		"networkd": {files{"lib/systemd/systemd-networkd": "", "etc/systemd/network/a.network": "[Network]\nDHCP=yes\n", "usr/bin/cloud-init": removed,
			"etc/systemd/system/multi-user.target.wants/systemd-networkd.service": linkTo + "/lib/x"}, true},
		"networkd, not started": {files{"lib/systemd/systemd-networkd": "", "etc/systemd/network/a.network": "[Network]\nDHCP=yes\n", "usr/bin/cloud-init": removed}, false},
		"cloud-init":            {files{"lib/systemd/systemd-networkd": ""}, true},
	} {
		if r := mustLint(t, without.With(c.more), "kvm"); (r.find("dhcp") == nil) != c.want {
			t.Errorf("%s: %+v", name, r.find("dhcp"))
		}
	}
}

// TestInitrdsOfAllKindsAreRead puts archives together as distributions do.
func TestInitrdsOfAllKindsAreRead(t *testing.T) {
	early, main := initrd(t, "kernel/x86/microcode/GenuineIntel.bin"), initrd(t, "virtio_pci.ko", "virtio_blk.ko")
	padding := strings.Repeat("\x00", 512)
	for name, command := range map[string]string{
		"as it is": "cat", "gzip": "gzip", "xz": "xz --check=crc32", "lz4": "lz4 -l", "zstd": "zstd -q -19", "bzip2": "bzip2", "lzma": "xz --format=lzma",
	} {
		packed := string(convertertest.Filter(t, command, []byte(main)))
		for _, whole := range []string{packed, early + padding + packed} {
			if r := mustLint(t, sound(t).With(files{"boot/initrd.img-6.1": whole}), "kvm"); r.find("disk-driver") != nil || r.find("initrd") != nil {
				t.Errorf("%s: %+v", name, r.Findings)
			}
		}
	}
	packed := string(convertertest.Filter(t, "gzip", []byte("text")))
	if r := mustLint(t, sound(t).With(files{"boot/initrd.img-6.1": packed}), "kvm"); r.find("initrd") == nil {
		t.Error("a gzip of text was taken for an initrd")
	}
}

func TestOneProviderOrAll(t *testing.T) {
	blobs := convertertest.Blobs{}
	tree := sound(t).Tree(blobs)
	report, err := Lint(t.Context(), tree, blobs)
	if err != nil || len(report.Providers) != len(Providers()) || report.Kernel != "6.1" || report.Initrd != "/boot/initrd.img-6.1" {
		t.Errorf("got %+v, %v", report, err)
	}
	if _, err := Lint(t.Context(), tree, blobs, "hal"); !errors.Is(err, ErrProvider) || !strings.Contains(err.Error(), "expected one of kvm, xen") {
		t.Errorf("another provider: %v", err)
	}
	if _, err := Lint(t.Context(), tree, convertertest.Blobs{}, "kvm"); err == nil || !strings.Contains(err.Error(), "holds no blob") {
		t.Errorf("without the blobs: %v", err)
	}
}

// TestEveryDriverHasItsSymbol keeps the table of symbols whole.
func TestEveryDriverHasItsSymbol(t *testing.T) {
	for _, p := range providers {
		for _, n := range append([]need{p.disks, p.networks}, p.others...) {
			for _, a := range n.alternatives {
				for _, driver := range a {
					if driverSymbols[driver] == "" {
						t.Errorf("%s needs %s, of which no symbol is known", p.name, driver)
					}
				}
			}
		}
		if p.way == fromDisk && len(p.firmware) == 0 || p.console != "" && consoleSymbols[p.console] == "" {
			t.Errorf("%s lacks a firmware or the symbol of its console", p.name)
		}
	}
}

func TestDebian(t *testing.T) {
	const rootfs = "../../.cache/debian.tar"
	tar, err := os.Open(rootfs)
	if err != nil {
		t.Fatalf("%v: make debian", err)
	}
	defer tar.Close()
	info, err := tar.Stat()
	if err != nil {
		t.Fatal(err)
	}
	tree, err := image.Merge([]image.Layer{{Digest: "debian", Tar: tar, Size: info.Size()}})
	if err != nil {
		t.Fatal(err)
	}
	report, err := Lint(t.Context(), tree, opener{"debian": tar})
	if err != nil {
		t.Fatal(err)
	}
	// A kernel for clouds, without a bootloader, which a boot kit brings, and
	// without a live system.
	want := map[string]string{"iso": "live", "pxe": "", "usb": "disk-driver", "kvm": "", "azure": "", "ec2": "", "gce": "", "vmware": "", "firecracker": "", "xen": "", "lxc": "", "wsl": ""}
	for _, r := range report.Providers {
		check, ok := want[r.Provider]
		if !ok {
			continue
		}
		if f := r.find(check); check != "" && (f == nil || f.Severity != Error) || check == "" && !r.Boots {
			t.Errorf("%s: %+v", r.Provider, r.Findings)
		}
	}
}

// opener opens files by digest.
type opener map[extent.Digest]*os.File

func (o opener) OpenBlob(_ context.Context, d extent.Digest) (extent.Blob, error) {
	info, err := o[d].Stat()
	if err != nil {
		return nil, err
	}
	return blob{io.NewSectionReader(o[d], 0, info.Size())}, nil
}

type blob struct{ *io.SectionReader }

func (blob) Close() error { return nil }

func FuzzInitrd(f *testing.F) {
	f.Add([]byte("070701" + strings.Repeat("0", 88) + "0000000b" + "00000000" + "TRAILER!!!\x00\x00\x00\x00"))
	f.Add([]byte("070701" + strings.Repeat("0", 88) + "00000002" + "00000000" + "a\x00"))
	f.Add([]byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x4b\x04\x00\x43\xbe\xb7\xe8\x01\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, content []byte) {
		names, err := initrdNames(bytes.NewReader(content))
		if err != nil && names != nil {
			t.Fatalf("names and an error: %v", err)
		}
	})
}
