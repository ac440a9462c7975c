package volume

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/extent"
)

const fileDigest extent.Digest = "sha256:file"

// shell runs a script of administrators' tools in a directory of its own, which it
// returns. The tools are in the Debian packages named.
func shell(t testing.TB, script string, tools ...string) string {
	t.Helper()
	for i := 0; i < len(tools); i += 2 {
		convertertest.Need(t, tools[i], tools[i+1])
	}
	dir := t.TempDir()
	cmd := exec.Command("sh", "-ec", script)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "TZ=UTC", "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return dir
}

// openRaw opens the raw disk in a file.
func openRaw(t testing.TB, path string) (*Disk, error) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return openMap(info.Size(), convertertest.File{ReaderAt: f, Length: info.Size()})
}

func openMap(size int64, file extent.Blob) (*Disk, error) {
	var b extent.Builder
	b.Source(fileDigest, 0, size)
	m, err := b.Build()
	if err != nil {
		return nil, err
	}
	return Open(context.Background(), m, container.Blobs{fileDigest: file})
}

func TestContentsAreWhatBlkidSays(t *testing.T) {
	for name, test := range map[string]struct {
		script string
		tools  []string
		files  bool
	}{
		"ext2":       {"mke2fs -q -F -t ext2 -L 'a label' disk 8M", []string{"mke2fs", "e2fsprogs"}, true},
		"ext3":       {"mke2fs -q -F -t ext3 disk 8M", []string{"mke2fs", "e2fsprogs"}, true},
		"ext4":       {"mke2fs -q -F -t ext4 -L 0123456789abcdef disk 8M", []string{"mke2fs", "e2fsprogs"}, true},
		"FAT12":      {"mkfs.vfat -F 12 -n LABEL -C disk 1440", []string{"mkfs.vfat", "dosfstools"}, true},
		"FAT16":      {"mkfs.vfat -F 16 -C disk 20000", []string{"mkfs.vfat", "dosfstools"}, true},
		"FAT32":      {"mkfs.vfat -F 32 -n 'TWO WORDS' -C disk 70000", []string{"mkfs.vfat", "dosfstools"}, true},
		"squashfs":   {"mkdir d; mksquashfs d disk -quiet -no-progress", []string{"mksquashfs", "squashfs-tools"}, true},
		"EROFS":      {"mkdir d; echo x > d/f; mkfs.erofs -U 12345678-1234-1234-1234-123456789abc disk d", []string{"mkfs.erofs", "erofs-utils"}, true},
		"ISO 9660":   {"mkdir d; xorriso -as mkisofs -quiet -R -V 'ISO LABEL' -o disk d", []string{"xorriso", "xorriso"}, true},
		"XFS":        {"truncate -s 320M disk; mkfs.xfs -q -L xfslabel disk", []string{"mkfs.xfs", "xfsprogs"}, false},
		"btrfs":      {"truncate -s 120M disk; mkfs.btrfs -q -L 'btrfs label' disk", []string{"mkfs.btrfs", "btrfs-progs"}, false},
		"NTFS":       {"truncate -s 10M disk; mkfs.ntfs -q -F -f disk", []string{"mkfs.ntfs", "ntfs-3g"}, false},
		"exFAT":      {"truncate -s 10M disk; mkfs.exfat disk", []string{"mkfs.exfat", "exfatprogs"}, false},
		"swap":       {"truncate -s 10M disk; mkswap -q -L swaplabel disk", []string{"mkswap", "util-linux"}, false},
		"LUKS1":      {"truncate -s 20M disk; echo secret | cryptsetup -q luksFormat --type luks1 --iter-time 1 disk -", []string{"cryptsetup", "cryptsetup-bin"}, false},
		"LUKS2":      {"truncate -s 20M disk; echo secret | cryptsetup -q luksFormat --type luks2 --label name --pbkdf pbkdf2 --pbkdf-force-iterations 1000 disk -", []string{"cryptsetup", "cryptsetup-bin"}, false},
		"no content": {"truncate -s 1M disk; echo x | dd of=disk conv=notrunc status=none", nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			dir := shell(t, test.script, test.tools...)
			// As a partition: what is recognised must not depend on a boot sector.
			disk := filepath.Join(dir, "disk")
			d, err := openRaw(t, inPartition(t, disk))
			if err != nil {
				t.Fatal(err)
			}
			got := d.Partitions[0].Contents
			want := blkid(disk)
			if got.Filesystem != want["TYPE"] || got.Label != want["LABEL"] || got.UUID != want["UUID"] && got.Filesystem != "iso9660" {
				t.Errorf("got %+v, blkid says %v", got, want)
			}
			if got.Files != test.files {
				t.Errorf("files are read: %v, want %v", got.Files, test.files)
			}
			if _, _, err := d.Filesystem(t.Context(), d.Partitions[0]); (err == nil) != test.files || err != nil && !errors.Is(err, ErrNoFiles) {
				t.Errorf("opened it: %v", err)
			}
		})
	}
}

// inPartition makes a disk with the content of a file as its partition.
func inPartition(t testing.TB, path string) string {
	t.Helper()
	return filepath.Join(shell(t, `size=$(($(stat -c %s `+path+`) / 512 + 1))
		truncate -s $(((size + 4096) * 512)) disk
		echo "start=2048, size=$size, type=83" | sfdisk -q --label dos disk
		dd if=`+path+` of=disk bs=1M seek=1 conv=notrunc,sparse status=none`, "sfdisk", "fdisk"), "disk")
}

// blkid returns what libblkid finds.
func blkid(path string) map[string]string {
	found := make(map[string]string)
	out, err := convertertest.Try("blkid", "-p", "-o", "export", path)
	if err != nil {
		return found // it says so where there is nothing
	}
	for line := range strings.Lines(out) {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		found[key] = strings.ReplaceAll(value, `\ `, " ")
	}
	return found
}

func TestTablesAreWhatSfdiskMakes(t *testing.T) {
	const gptScript = "label: gpt\nlabel-id: 11111111-2222-3333-4444-555555555555\n" +
		"size=2048, type=21686148-6449-6E6F-744E-656564454649, name=\"bios\"\nsize=4096, type=U, uuid=AAAAAAAA-2222-3333-4444-555555555555\nsize=4096, type=L"
	for name, test := range map[string]struct {
		script string
		want   string
	}{
		"GPT": {
			"truncate -s 10M disk; printf '" + gptScript + "' | sfdisk -q disk",
			"gpt 11111111-2222-3333-4444-555555555555 1:BIOS boot:bios:1048576+1048576 2:EFI system::2097152+2097152 3:Linux filesystem::4194304+2097152",
		},
		"MBR": {
			"truncate -s 10M disk; printf 'label: dos\\nlabel-id: 0xcafe\\nsize=2048, type=83\\nsize=8192, type=5\\nsize=1000, type=82\\n' | sfdisk -q disk",
			"mbr 0000cafe 1:Linux::1048576+1048576 3:Linux swap::6291456+512000",
		},
		"no table": {"mke2fs -q -F -t ext4 disk 8M", "none  0:::0+8388608"},
		"a filesystem with a boot sector": {
			"mke2fs -q -F -t ext4 disk 8M; printf '\\125\\252' | dd of=disk bs=1 seek=510 conv=notrunc status=none", "none  0:::0+8388608",
		},
		"an ISO with a table": {
			"mkdir d; echo x > d/f; xorriso -as mkisofs -quiet -R --protective-msdos-label -o disk d; truncate -s 1M disk", "none  0:::0+1048576",
		},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := openRaw(t, filepath.Join(shell(t, test.script, "sfdisk", "fdisk", "xorriso", "xorriso"), "disk"))
			if err != nil {
				t.Fatal(err)
			}
			got := d.Table + " " + d.ID
			for _, p := range d.Partitions {
				got += fmt.Sprintf(" %d:%s:%s:%d+%d", p.Number, p.Type, p.Name, p.Start, p.Size)
			}
			if got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

func TestOpenRefusesWhatIsNoDisk(t *testing.T) {
	if _, err := openMap(0, convertertest.File{ReaderAt: bytes.NewReader(nil)}); !errors.Is(err, ErrNoFiles) && err == nil {
		t.Errorf("nothing: %v", err)
	}
	b := bytes.Repeat([]byte("text"), 1<<16)
	if _, err := openMap(int64(len(b)), convertertest.File{ReaderAt: bytes.NewReader(b), Length: int64(len(b))}); !errors.Is(err, ErrNoFiles) {
		t.Errorf("text: %v", err)
	}
}
