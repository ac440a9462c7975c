package client

import (
	"cmp"
	"path"
	"slices"
	"strings"

	"github.com/cloudlets/cloudlets/client/lazy"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// guessShare is the part of the content of an image that a guess lists at most,
// kernel and ramdisk not counted: one of so many bytes.
const guessShare = 8

// atBoot is what a system most likely reads when it boots, the first and surest
// first: regular files by their folder, which is a pattern, and the names in it. A
// folder that ends with /** is meant with all that is below it. usr/ is left out
// of names, lib64/ stands as lib/64/, and $kernel for the kernel's version.
var atBoot = []struct {
	dir, names string
	limit      int64 // files of more bytes are left out; 0 for none
}{
	{bootFolder, "vmlinuz-$kernel", 0},
	{bootFolder, "initrd.img-$kernel initramfs-$kernel.img initrd-$kernel", 0},
	{"lib/systemd", "systemd libsystemd-core-* libsystemd-shared-*", 0},
	{"lib/*", "ld-linux-*", 0},
	{"lib/*/systemd", "libsystemd-*", 0},
	// Libraries of the programs below. Of others, the large ones are left out.
	{"lib/*", `libblkid.so* libbpf.so* libc.so* libcrypto.so* libcryptsetup.so* libdevmapper.so* libfdisk.so*
		libgcrypt.so* libgssapi_krb5.so* libkrb5.so* libm.so* libmount.so* libpcre2-8.so* libselinux.so*
		libsystemd.so* libzstd.so*`, 0},
	{"lib/*", "lib*.so*", 220 << 10},
	{"etc/**", "*", 32 << 10},
	{"lib/modules/$kernel", "modules.*bin modules.softdep modules.devname", 0},
	{"lib/modules/$kernel/**", `autofs4.ko* button.ko* configfs.ko* dm-mod.ko* efi-pstore.ko* evdev.ko* fuse.ko*
		ip_tables.ko* loop.ko* qemu_fw_cfg.ko* serio_raw.ko* sg.ko* virtio-rng.ko* x_tables.ko*`, 0},
	{"bin", "kmod", 0},
	{"lib/systemd/system-generators", "*", 0},
	{"lib/systemd/system/**", "*", 32 << 10},
	{"lib/systemd/network", "*", 32 << 10},
	{"lib/systemd", "*", 180 << 10},
	{"lib/*.d", "*.conf", 32 << 10},
	{"lib", "os-release", 0},
	{"lib/locale/C.utf8/**", "*", 0},
	{"bin", "mount bash dash udevadm systemctl journalctl login", 0},
	{"bin", "systemd-*", 160 << 10},
	{"lib/udev/rules.d", "*", 0},
	{"lib/udev", "*", 100 << 10},
	{"bin", "ip run-parts readlink", 0},
	{"sbin", "agetty cron ifup sshd", 0},
}

// bootFolder is the folder of atBoot with what the bootloader reads, which is not
// counted in a guess's share.
const bootFolder = "boot"

// GuessTrace returns a trace of what the disk of a rootfs most likely reads when
// it boots, by the names of its files.
func (r Rendered) GuessTrace() *lazy.Trace {
	t := new(lazy.Trace)
	tree := r.images[0].Tree
	if tree == nil {
		return t
	}
	kernel := ""
	if len(r.Report.Kernels) > 0 {
		kernel = r.Report.Kernels[0]
	}
	found, total := filesAtBoot(tree, kernel)
	room := total / guessShare
	for row, files := range found {
		slices.SortFunc(files, func(a, b *image.Inode) int { return cmp.Compare(a.Order, b.Order) })
		for _, n := range slices.Compact(files) {
			if atBoot[row].dir != bootFolder {
				room -= n.Size()
			}
			if room < 0 {
				return t
			}
			for _, e := range n.Content {
				if e.Kind == extent.Source {
					t.Add(e.Digest, e.Offset, e.Length)
				}
			}
		}
	}
	return t
}

// filesAtBoot returns the files of each row of atBoot, and how many bytes all
// files of the tree have.
func filesAtBoot(tree *image.Tree, kernel string) (found [][]*image.Inode, total int64) {
	found = make([][]*image.Inode, len(atBoot))
	for name, n := range tree.Walk() {
		if !n.IsRegular() {
			continue
		}
		total += n.Size()
		if row := rowAtBoot(name, kernel, n.Size()); row >= 0 {
			found[row] = append(found[row], n)
		}
	}
	return found, total
}

// rowAtBoot returns the first row of atBoot that lists a file, or -1.
func rowAtBoot(name, kernel string, size int64) int {
	name = strings.TrimPrefix(name, "usr/")
	if rest, ok := strings.CutPrefix(name, "lib64/"); ok {
		name = "lib/64/" + rest
	}
	if kernel != "" {
		name = strings.ReplaceAll(name, kernel, "$kernel")
	}
	dir, base := path.Split(name)
	for i, row := range atBoot {
		if (row.limit == 0 || size <= row.limit) && inFolder(row.dir, dir) && slices.ContainsFunc(strings.Fields(row.names), matches(base)) {
			return i
		}
	}
	return -1
}

// inFolder reports whether a folder, with a slash behind it, is one that a row of
// atBoot lists.
func inFolder(pattern, dir string) bool {
	if above, ok := strings.CutSuffix(pattern, "**"); ok {
		return strings.HasPrefix(dir, above)
	}
	return matches(strings.TrimSuffix(dir, "/"))(pattern)
}

// matches returns a function that says whether a pattern, which is a valid one,
// matches a name.
func matches(name string) func(pattern string) bool {
	return func(pattern string) bool {
		ok, err := path.Match(pattern, name)
		return ok && err == nil
	}
}
