package disk_test

import (
	"encoding/json"
	"errors"
	"math"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/cloudlets/cloudlets/converter/boot"
	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/converter/disk"
	"github.com/cloudlets/cloudlets/extent"
)

const mib = 1 << 20

// planned is a planned disk, and what reads it.
type planned struct {
	disk   *extent.Map
	report disk.Report
	blobs  convertertest.Blobs
}

// plan plans a disk of a rootfs, with a boot kit where kit is not nil.
func plan(t *testing.T, root, kit files, opts disk.Options) (planned, error) {
	t.Helper()
	p := planned{blobs: make(convertertest.Blobs)}
	if opts.Seed == "" {
		opts.Seed = seed
	}
	if kit != nil {
		opts.Kit = kit.Tree(p.blobs)
	}
	var err error
	p.disk, p.report, err = disk.Plan(t.Context(), root.Tree(p.blobs), p.blobs, opts)
	return p, err
}

func mustPlan(t *testing.T, root, kit files, opts disk.Options) planned {
	t.Helper()
	p, err := plan(t, root, kit, opts)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// write writes the disk to a file.
func (p planned) write(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk.raw")
	convertertest.WriteFile(t, p.disk, p.blobs, path)
	return path
}

// partition writes a partition, found by sfdisk, to a file.
func (p planned) partition(t *testing.T, number int) string {
	t.Helper()
	convertertest.Need(t, "sfdisk", "fdisk")
	var table struct {
		PartitionTable struct {
			Partitions []struct{ Start, Size int64 }
		}
	}
	out := convertertest.Run(t, "sfdisk", "--json", p.write(t))
	if err := json.Unmarshal([]byte(out), &table); err != nil {
		t.Fatal(err)
	}
	where := table.PartitionTable.Partitions[number-1]
	m, err := extent.Slice(p.disk, where.Start*512, where.Size*512)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "partition.raw")
	convertertest.WriteFile(t, m, p.blobs, path)
	return path
}

// espFile returns a file of the ESP, read by mtools.
func espFile(t *testing.T, esp, path string) string {
	t.Helper()
	convertertest.Need(t, "mtype", "mtools")
	return convertertest.Run(t, "mtype", "-i", esp, "::"+path)
}

func TestPartitionsAreWhatOtherToolsExpect(t *testing.T) {
	convertertest.Need(t, "sgdisk", "gdisk")
	convertertest.Need(t, "fsck.vfat", "dosfstools")
	convertertest.Need(t, "e2fsck", "e2fsprogs")
	p := mustPlan(t, rootfs(), files{unsignedGRUB: efiStub("/EFI/debian")}.With(biosGRUB(t)), disk.Options{})
	path := p.write(t)
	if out := convertertest.Run(t, "sgdisk", "-v", path); !strings.Contains(out, "No problems found") {
		t.Error(out)
	}
	for number, want := range map[string][]string{
		"1": {"21686148-6449-6E6F-744E-656564454649", "First sector: 2048 (", "Partition size: 2048 sectors"},
		"2": {"C12A7328-F81F-11D2-BA4B-00A0C93EC93B", "First sector: 4096 (", "Partition size: 131072 sectors"},
		"3": {"4F68BCE3-E8CD-4DB1-96E7-FBCAF984B709", "First sector: 135168 (", "Attribute flags: 0800000000000000"},
	} {
		out := convertertest.Run(t, "sgdisk", "-i", number, path)
		for _, part := range want {
			if !strings.Contains(out, part) {
				t.Errorf("partition %s has no %q:\n%s", number, part, out)
			}
		}
	}
	convertertest.Run(t, "fsck.vfat", "-n", p.partition(t, 2))
	convertertest.Run(t, "e2fsck", "-fn", p.partition(t, 3))
	if p.disk.Size()%disk.Alignment != 0 {
		t.Errorf("a disk of %d bytes, want whole MiB", p.disk.Size())
	}
}

func TestRootIsAsPushed(t *testing.T) {
	convertertest.Need(t, "debugfs", "e2fsprogs")
	p := mustPlan(t, rootfs(), files{unsignedGRUB: efiStub("/EFI/debian")}, disk.Options{})
	root := p.partition(t, 3)
	if got := convertertest.Run(t, "debugfs", "-R", "cat /etc/hostname", root); got != "image\n" {
		t.Errorf("/etc/hostname is %q", got)
	}
	for dir, want := range map[string]string{"/": ". .. boot etc lost+found", "/boot": ". .. initrd.img-6.1.0 vmlinuz-6.1.0"} {
		var names []string
		for line := range strings.Lines(convertertest.Run(t, "debugfs", "-R", "ls -p "+dir, root)) {
			if fields := strings.Split(line, "/"); len(fields) > 5 && fields[5] != "" {
				names = append(names, fields[5])
			}
		}
		if got := strings.Join(names, " "); len(names) != len(strings.Fields(want)) {
			t.Errorf("%s holds %s, want %s", dir, got, want)
		}
	}
}

func TestDiskHasTheSizeAskedFor(t *testing.T) {
	convertertest.Need(t, "dumpe2fs", "e2fsprogs")
	kit := files{unsignedGRUB: efiStub("/EFI/debian")}
	p := mustPlan(t, rootfs(), kit, disk.Options{Size: 3 << 30})
	if p.disk.Size() != 3<<30 {
		t.Errorf("a disk of %d bytes, want 3 GiB", p.disk.Size())
	}
	info := convertertest.Run(t, "dumpe2fs", "-h", p.partition(t, 3))
	// All but the first MiB, BIOS boot, ESP, and the last MiB with the backup table.
	if want := "Block count:              769280"; !strings.Contains(info, want) {
		t.Errorf("no %q:\n%s", want, info)
	}
	small := mustPlan(t, rootfs(), kit, disk.Options{FreeSpace: 8 * mib}).disk.Size()
	large := mustPlan(t, rootfs(), kit, disk.Options{FreeSpace: 108 * mib}).disk.Size()
	usual := mustPlan(t, rootfs(), kit, disk.Options{}).disk.Size()
	if grown := large - small; grown < 100*mib || grown > 110*mib {
		t.Errorf("100 MiB more of free space make the disk %d bytes larger", grown)
	}
	if usual-small < disk.DefaultFreeSpace-16*mib {
		t.Errorf("the usual disk has %d bytes, one with 8 MiB free %d", usual, small)
	}
}

func TestTooSmallDiskSaysWhatIsEnough(t *testing.T) {
	kit := files{unsignedGRUB: efiStub("/EFI/debian")}
	if _, err := plan(t, rootfs(), kit, disk.Options{Size: 10 * mib}); err == nil || !strings.Contains(err.Error(), "too small") {
		t.Errorf("10 MiB give %v", err)
	}
	opts := disk.Options{Size: 100 * mib, FreeSpace: 200 * mib}
	_, err := plan(t, rootfs(), kit, opts)
	if err == nil || !strings.Contains(err.Error(), "make it at least ") {
		t.Fatalf("too much free space gives %v", err)
	}
	_, after, _ := strings.Cut(err.Error(), "make it at least ")
	number, _, _ := strings.Cut(after, ":")
	if err := json.Unmarshal([]byte(number), &opts.Size); err != nil {
		t.Fatal(err)
	}
	if _, err := plan(t, rootfs(), kit, opts); err != nil {
		t.Errorf("the size that was said to be enough is not: %v", err)
	}
}

func TestPlanIsDeterministic(t *testing.T) {
	kit := files{unsignedGRUB: efiStub("/EFI/debian")}.With(biosGRUB(t))
	var disks []*extent.Map
	for _, s := range []string{"a", "a", "b"} {
		disks = append(disks, mustPlan(t, rootfs(), kit, disk.Options{Seed: s}).disk)
	}
	if !reflect.DeepEqual(disks[0], disks[1]) {
		t.Error("the same input gave two disks")
	}
	if reflect.DeepEqual(disks[0], disks[2]) {
		t.Error("two seeds gave the same disk")
	}
}

func TestPlanLeavesTheTreeAlone(t *testing.T) {
	blobs := make(convertertest.Blobs)
	tree := rootfs().With(files{unsignedGRUB: efiStub("/EFI/debian")}).Tree(blobs)
	if _, _, err := disk.Plan(t.Context(), tree, blobs, disk.Options{Seed: seed}); err != nil {
		t.Fatal(err)
	}
	for path, n := range tree.Walk() {
		if n.Links != 1 {
			t.Errorf("/%s has %d names now", path, n.Links)
		}
	}
}

func TestPlanReadsNoFileContentButBootloaders(t *testing.T) {
	blobs := make(convertertest.Blobs)
	tree := rootfs().Tree(blobs)
	clear(blobs) // of the rootfs, nothing can be read
	kit := files{unsignedGRUB: efiStub("/EFI/debian")}.With(biosGRUB(t)).Tree(blobs)
	if _, _, err := disk.Plan(t.Context(), tree, blobs, disk.Options{Seed: seed, Kit: kit}); err != nil {
		t.Error(err)
	}
}

func TestNothingToBootIsAnErrorWithAWayOut(t *testing.T) {
	efi := files{unsignedGRUB: efiStub("/EFI/debian")}
	cases := []struct {
		name string
		root files
		want error
		says []string
	}{
		{"no bootloader", rootfs(), boot.ErrNoBootloader,
			[]string{"grub-efi-amd64-bin", "grub-pc-bin", "systemd-boot-efi", "cloudlets bootkit", "--bootkit"}},
		{"half a bootloader", rootfs().With(files{"usr/lib/grub/i386-pc/kernel.img": "x"}), boot.ErrNoBootloader, nil},
		{"no kernel", efi.With(files{"boot/config-6.1": "x"}), boot.ErrNoKernel, []string{"/boot/vmlinuz-*", "linux-image"}},
		{"no /boot", efi, boot.ErrNoKernel, nil},
		{"kernel is a dangling link", efi.With(files{"boot/vmlinuz-6.1": linkTo + "gone"}), boot.ErrNoKernel, nil},
		{"kernel with an odd name", efi.With(files{"boot/vmlinuz-6.1 ' {": "x"}), boot.ErrNoKernel, nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := plan(t, c.root, nil, disk.Options{})
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

func TestBadInputIsNamed(t *testing.T) {
	efi := files{unsignedGRUB: efiStub("/EFI/debian")}
	brokenKit := biosGRUB(t).With(files{"usr/lib/grub/i386-pc/fat.mod": "not an ELF file"})
	cases := []struct {
		name string
		kit  files
		opts disk.Options
		says string
	}{
		{"odd size", efi, disk.Options{Size: 1<<30 + 512}, "such as 1074790400"},
		{"far too large", efi, disk.Options{Size: math.MaxInt64}, "such as 9223372036853727232"},
		{"negative size", efi, disk.Options{Size: -mib}, "disk size -1048576"},
		{"negative free space", efi, disk.Options{FreeSpace: -1}, "free space -1"},
		{"argument with a space", efi, disk.Options{KernelArgs: []string{"a b"}}, `kernel argument "a b"`},
		{"argument with a quote", efi, disk.Options{KernelArgs: []string{"a'b"}}, `kernel argument "a'b"`},
		{"argument with a newline", efi, disk.Options{KernelArgs: []string{"a\nb"}}, "give each argument by itself"},
		{"empty argument", efi, disk.Options{KernelArgs: []string{""}}, `kernel argument ""`},
		{"GRUB without a prefix", files{unsignedGRUB: "MZ"}, disk.Options{}, unsignedGRUB},
		{"GRUB with a device in its prefix", files{unsignedGRUB: efiStub("(hd0)/x")}, disk.Options{}, `"(hd0)/x"`},
		{"broken module", brokenKit, disk.Options{}, "fat.mod"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if _, err := plan(t, rootfs(), c.kit, c.opts); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want one that says %q", err, c.says)
			}
		})
	}
	t.Run("no seed", func(t *testing.T) {
		blobs := make(convertertest.Blobs)
		if _, _, err := disk.Plan(t.Context(), rootfs().Tree(blobs), blobs, disk.Options{}); err == nil {
			t.Error("no error")
		}
	})
}
