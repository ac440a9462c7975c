package volume

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/converter/ext4"
	"github.com/cloudlets/cloudlets/converter/fat32"
	"github.com/cloudlets/cloudlets/converter/gpt"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// system makes the directories of a system: its root filesystem, and apart what is
// on other partitions.
const system = `
mkdir -p root/etc root/usr/bin root/boot root/home root/var/log boot/grub efi/EFI/BOOT home/user
ln -s usr/bin root/bin
echo shell > root/usr/bin/sh
mkdir -p root/boot/hidden
echo kernel > boot/vmlinuz
mkdir boot/efi
echo loader > efi/EFI/BOOT/BOOTX64.EFI
echo mine > home/user/file
`

// aDisk makes a disk of four partitions and a table, with a root filesystem whose
// fstab is given. What else is to be done follows.
func aDisk(t *testing.T, fstab, more string) string {
	t.Helper()
	script := system + `
cat > root/etc/fstab <<'END'
` + fstab + `
END
` + more + `
mke2fs -q -F -t ext4 -d root -U 11111111-1111-1111-1111-111111111111 p1 16M
mke2fs -q -F -t ext2 -d boot -L BOOT p2 8M
mkfs.vfat -i cafecafe -C p3 8192
mcopy -s -i p3 efi/EFI ::
mke2fs -q -F -t ext4 -d home p4 8M
truncate -s 60M disk
printf 'label: gpt\nsize=16M, name=root\nsize=8M\nsize=8M, type=U\nsize=8M, uuid=44444444-4444-4444-4444-444444444444\nsize=8M, type=S\n' | sfdisk -q disk
truncate -s 8M p5
mkswap -q -L SWAP p5
at=1
for i in 1 2 3 4 5; do
	dd if=p$i of=disk bs=1M seek=$at conv=notrunc status=none
	at=$((at + $(stat -c %s p$i) / 1048576))
done
`
	return filepath.Join(shell(t, script, "mke2fs", "e2fsprogs", "mkfs.vfat", "dosfstools", "mcopy", "mtools", "sfdisk", "fdisk", "mkswap", "util-linux"), "disk")
}

const wholeFstab = `# made by an installer
UUID=11111111-1111-1111-1111-111111111111 / ext4 errors=remount-ro 0 1
LABEL=BOOT	/boot	ext2	defaults 0 2
UUID=CAFE-CAFE /boot/efi vfat umask=0077 0 1
PARTUUID=44444444-4444-4444-4444-444444444444 /home ext4 defaults 0 2
/dev/sda5 none swap sw 0 0
tmpfs /tmp tmpfs defaults 0 0
UUID=99999999-9999-9999-9999-999999999999 /srv xfs defaults 0 0`

func TestFilesAreWhatTheSystemWouldSee(t *testing.T) {
	d, err := openRaw(t, aDisk(t, wholeFstab, ""))
	if err != nil {
		t.Fatal(err)
	}
	f, err := d.Files(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if f.Root.Number != 1 {
		t.Errorf("the root filesystem is on %s", f.Root)
	}
	for path, want := range map[string]string{
		"usr/bin/sh": "shell\n", "boot/vmlinuz": "kernel\n", "boot/efi/EFI/BOOT/BOOTX64.EFI": "loader\n", "home/user/file": "mine\n",
		"etc/fstab": `# made by an installer
# On the disk that this image was imported from: UUID=11111111-1111-1111-1111-111111111111 / ext4 errors=remount-ro 0 1
# On the disk that this image was imported from: LABEL=BOOT	/boot	ext2	defaults 0 2
# On the disk that this image was imported from: UUID=CAFE-CAFE /boot/efi vfat umask=0077 0 1
# On the disk that this image was imported from: PARTUUID=44444444-4444-4444-4444-444444444444 /home ext4 defaults 0 2
# On the disk that this image was imported from: /dev/sda5 none swap sw 0 0
tmpfs /tmp tmpfs defaults 0 0
UUID=99999999-9999-9999-9999-999999999999 /srv xfs defaults 0 0
`,
	} {
		n := f.Tree.Lookup(path)
		if n == nil {
			t.Errorf("no /%s", path)
			continue
		}
		got, err := n.Read(t.Context(), f.Blobs, 1<<20)
		if err != nil || string(got) != want {
			t.Errorf("/%s: got\n%s\nwant\n%s%v", path, got, want, err)
		}
	}
	if f.Tree.Lookup("boot/hidden") != nil {
		t.Error("/boot/hidden shows through what is mounted on /boot")
	}
	var mounted []string
	for _, m := range f.Mounted {
		mounted = append(mounted, fmt.Sprint(m.Path, m.Number))
	}
	if got := strings.Join(mounted, " "); got != "/boot2 /home4 /boot/efi3" {
		t.Errorf("mounted %s", got)
	}
	if len(f.Notes) != 1 || !strings.Contains(f.Notes[0], "/srv") {
		t.Errorf("notes %q", f.Notes)
	}
	for path, n := range f.Tree.Walk() {
		for _, e := range n.Content {
			if e.Kind == extent.Source && e.Digest != fileDigest {
				t.Errorf("/%s: its content is of %s", path, e.Digest)
			}
		}
	}
}

func TestFilesOfTheRootAlone(t *testing.T) {
	d, err := openRaw(t, aDisk(t, wholeFstab, ""))
	if err != nil {
		t.Fatal(err)
	}
	f, err := d.Files(t.Context(), Options{RootOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	if f.Tree.Lookup("boot/hidden") == nil || f.Tree.Lookup("boot/vmlinuz") != nil || len(f.Mounted) > 0 {
		t.Errorf("mounted %v", f.Mounted)
	}
}

func TestFilesSaysWhatIsInTheWay(t *testing.T) {
	for name, test := range map[string]struct {
		fstab, more string
		options     Options
		message     string
	}{
		"two roots":           {"", "cp -r root/. home", Options{}, "partition 1 (ext4), partition 4 (ext4); name one with --partition"},
		"no root":             {"", "rm -r root/etc", Options{}, "partition 1 (ext4) without /etc and /usr; partition 2 (ext2) without"},
		"no such partition":   {"", "", Options{Partition: 7}, "there is no partition 7; there are partition 1 (ext4), partition 2 (ext2)"},
		"partition of blocks": {"", "", Options{Partition: 5}, "partition 5 (swap)"},
		"no mount point":      {"LABEL=BOOT /nowhere ext2 defaults 0 0", "", Options{}, "mount /nowhere, as /etc/fstab says"},
		"mount of blocks":     {"LABEL=SWAP /home ext4 defaults 0 0", "", Options{}, "--root-only"},
		"mount on a file":     {"LABEL=BOOT /etc/fstab ext2 defaults 0 0", "", Options{}, "not a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := openRaw(t, aDisk(t, test.fstab, test.more))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := d.Files(t.Context(), test.options); err == nil || !strings.Contains(err.Error(), test.message) {
				t.Errorf("got %v, want an error with %q", err, test.message)
			}
		})
	}
}

func TestFstabNamesPartitions(t *testing.T) {
	d := &Disk{Partitions: []Partition{
		{Number: 1, ID: "cafe-01", Name: "root", Contents: Contents{UUID: "1111-AAAA", Label: "with space"}},
		{Number: 2, ID: "cafe-02", Name: "boot"},
		{Number: 15},
	}}
	for spec, want := range map[string]string{
		"UUID=1111-aaaa": "[1] true", `UUID="1111-AAAA"`: "[1] true", "LABEL=with space": "[1] true", "PARTUUID=CAFE-02": "[2] true",
		"PARTLABEL=boot": "[2] true", "LABEL=": "[] true", "/dev/sda1": "[1] true", "/dev/vda15": "[15] true", "/dev/nvme0n1p2": "[2] true",
		"/dev/mmcblk0p1": "[1] true", "/dev/xvda2": "[2] true", "/dev/sdb1": "[] true", "/dev/sda": "[] true", "/dev/mapper/vg-root": "[] true",
		"/dev/disk/by-uuid/1111-AAAA": "[1] true", "/dev/disk/by-partlabel/root": "[1] true", "tmpfs": "[] false", "server:/export": "[] false",
		"//server/share": "[] false", "overlay=x": "[] false", "/var/file": "[] false",
	} {
		found, isDisk := d.match(spec)
		numbers := []int{}
		for _, p := range found {
			numbers = append(numbers, p.Number)
		}
		if got := fmt.Sprint(numbers, isDisk); got != want {
			t.Errorf("%s: got %s, want %s", spec, got, want)
		}
	}
	if got := unescape(`with\040space\011tab\777`); got != "with space\ttab\\777" {
		t.Errorf("unescaped %q", got)
	}
}

// The same disk has the same files, whether what is zero in it is there or not.
func TestHolesOfTheContainerAreContent(t *testing.T) {
	var b extent.Builder
	b.Source(fileDigest, 0, 100)
	b.Zero(1000)
	b.Source(fileDigest, 100, 100)
	m, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	tree := image.NewTree()
	tree.Root.Link("file", &image.Inode{Mode: image.TypeRegular, Content: []extent.Extent{
		{Kind: extent.Source, Length: 600, Digest: "partition", Offset: 50}, {Kind: extent.Zero, Length: 5}, {Kind: extent.Inline, Length: 1, Data: []byte("x")},
	}})
	if err := through(tree, "partition", m, 7); err != nil {
		t.Fatal(err)
	}
	want := []extent.Extent{
		{Kind: extent.Source, Length: 50, Digest: fileDigest, Offset: 50}, {Kind: extent.Source, Length: 550, Digest: zeros},
		{Kind: extent.Zero, Length: 5}, {Kind: extent.Inline, Length: 1, Data: []byte("x")},
	}
	if got := tree.Lookup("file").Content; !slices.EqualFunc(got, want, extent.Extent.Equal) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// A disk that was planned is opened to files that have the very extents they were
// planned with: files go in and out without a byte being copied.
func TestPlannedDiskHasItsExtents(t *testing.T) {
	blobs := convertertest.Blobs{}
	source := blobs.Add(bytes.Repeat([]byte("content "), 1<<12))
	tree := image.NewTree()
	etc, usr := &image.Inode{Mode: image.TypeDir | 0o755}, &image.Inode{Mode: image.TypeDir | 0o755}
	tree.Root.Link("etc", etc)
	tree.Root.Link("usr", usr)
	file := &image.Inode{Mode: image.TypeRegular | 0o644, Content: []extent.Extent{
		{Kind: extent.Source, Length: 8192, Digest: source, Offset: 77}, {Kind: extent.Zero, Length: 100 * 4096}, {Kind: extent.Source, Length: 9, Digest: source},
	}}
	usr.Link("file", file)
	root, err := ext4.Plan(tree, ext4.Options{UUID: [16]byte{1}})
	if err != nil {
		t.Fatal(err)
	}
	esp, err := fat32.Plan(image.NewTree(), fat32.Options{Size: 40 << 20})
	if err != nil {
		t.Fatal(err)
	}
	disk, err := gpt.Plan(gpt.Layout{ID: gpt.GUID{1}, Partitions: []gpt.Partition{
		{Type: gpt.TypeESP, ID: gpt.GUID{2}, Map: esp}, {Type: gpt.TypeLinuxFilesystem, ID: gpt.GUID{3}, Map: root},
	}})
	if err != nil {
		t.Fatal(err)
	}
	blob, err := blobs.OpenBlob(t.Context(), source)
	if err != nil {
		t.Fatal(err)
	}
	d, err := Open(t.Context(), disk, container.Blobs{source: blob})
	if err != nil {
		t.Fatal(err)
	}
	f, err := d.Files(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := f.Tree.Lookup("usr/file").Content; !slices.EqualFunc(got, file.Content, extent.Extent.Equal) {
		t.Errorf("got  %+v\nwant %+v", got, file.Content)
	}
}

func TestUnsoundPartitionIsNamed(t *testing.T) {
	path := aDisk(t, "", "")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	clear(b[1<<20+2048:][:2048]) // the descriptors of the root filesystem
	d, err := openMap(int64(len(b)), convertertest.File{ReaderAt: bytes.NewReader(b), Length: int64(len(b))})
	if err != nil {
		t.Fatal(err)
	}
	if _, err = d.Files(t.Context(), Options{}); !errors.Is(err, ErrNoFiles) || !strings.Contains(err.Error(), "partition 1 (ext4): open ext4") {
		t.Errorf("looking for the root: %v", err)
	}
	if _, err = d.Files(t.Context(), Options{Partition: 1}); !errors.Is(err, container.ErrFormat) {
		t.Errorf("opening it: %v", err)
	}
}
