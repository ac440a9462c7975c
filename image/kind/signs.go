package kind

import (
	"bytes"
	"encoding/binary"
	"io"
	"math"

	"github.com/cloudlets/cloudlets/image/tarball"
)

// sectorSize is that of disks and of the places of magic numbers, in bytes.
const sectorSize = 512

// class is what signs that do not exclude each other have in common.
type class int

const (
	iso class = iota + 1
	table
	filesystem
	kernel
	ramdisk
	program      // what may be a kernel
	packed       // what may be a ramdisk
	packedDisk   // a compressed disk
	bootSector   // what may be a disk
	encrypted    // what may be anything that is attached as a block device
	foreign      // what is no image
	tarballClass // the same, but one of a root filesystem
)

// types returns the image types that a class allows by itself.
func (c class) types() []Type {
	switch c {
	case iso:
		return []Type{ISO9660}
	case table:
		return []Type{Disk}
	case filesystem:
		return []Type{Filesystem}
	case kernel:
		return []Type{Kernel}
	case ramdisk:
		return []Type{Ramdisk}
	case program:
		return []Type{Kernel, Other}
	case packed:
		return []Type{Ramdisk, Other}
	case packedDisk:
		return []Type{Disk}
	case bootSector:
		return []Type{Disk, Other}
	case encrypted:
		return []Type{Filesystem, Disk, Other}
	}
	return []Type{Other}
}

// sign is something found in content.
type sign struct {
	what  string
	class class
}

// magic is a magic number, and what else must be so where it is short.
type magic struct {
	offset int
	magic  string
	sign
	check func(head []byte, size int64) bool
}

// magics returns the magic numbers of content: filesystems from the magic(5) of
// each and the kernel's include/uapi/linux/magic.h, kernels from the kernel's
// Documentation/arch.
func magics() []magic {
	return []magic{
		{512, "EFI PART\x00\x00\x01\x00", sign{"a GPT", table}, nil},
		{4096, "EFI PART\x00\x00\x01\x00", sign{"a GPT of 4096-byte sectors", table}, nil},
		{510, "\x55\xaa", sign{"an MBR partition table", table}, isPartitionTable},

		{16 * 2048, "\x01CD001\x01", sign{"an ISO 9660 volume", iso}, nil},
		{16 * 2048, "\x00CD001\x01", sign{"an ISO 9660 volume", iso}, nil}, // its boot record first

		{1024 + 56, "\x53\xef", sign{"an ext2, ext3 or ext4 filesystem", filesystem}, isExt},
		{0, "XFSB\x00\x00", sign{"an XFS filesystem", filesystem}, nil},
		{64<<10 + 64, "_BHRfS_M", sign{"a btrfs filesystem", filesystem}, nil},
		{1024, "\xe2\xe1\xf5\xe0", sign{"an EROFS filesystem", filesystem}, nil},
		{1024, "\x10\x20\xf5\xf2", sign{"an F2FS filesystem", filesystem}, nil},
		{0, "hsqs", sign{"a squashfs filesystem", filesystem}, nil},
		{0, "\x45\x3d\xcd\x28", sign{"a cramfs filesystem", filesystem}, nil},
		{3, "NTFS    ", sign{"an NTFS filesystem", filesystem}, nil},
		{3, "EXFAT   ", sign{"an exFAT filesystem", filesystem}, nil},
		{54, "FAT", sign{"a FAT filesystem", filesystem}, isFAT},
		{82, "FAT32", sign{"a FAT filesystem", filesystem}, isFAT},

		{0x202, "HdrS", sign{"a Linux kernel for x86", kernel}, nil},
		{56, "ARM\x64", sign{"a Linux kernel for arm64", kernel}, nil},
		{56, "RSC\x05", sign{"a Linux kernel for RISC-V", kernel}, nil},
		{36, "\x18\x28\x6f\x01", sign{"a Linux kernel for ARM", kernel}, nil},
		{4, "zimg", sign{"a compressed EFI kernel", kernel}, isPE},
		{0, "\x27\x05\x19\x56", sign{"a U-Boot kernel", kernel}, isUBoot(2)},
		{0, "\x27\x05\x19\x56", sign{"a U-Boot ramdisk", ramdisk}, isUBoot(3)},

		{0, "070701", sign{"a cpio archive", ramdisk}, nil},
		{0, "070702", sign{"a cpio archive", ramdisk}, nil},

		{0, "LUKS\xba\xbe", sign{"a LUKS header", encrypted}, nil},

		{0, "070707", sign{"an old cpio archive", foreign}, nil},
		{0, "PK\x03\x04", sign{"a zip archive", foreign}, nil},
		{0, "7z\xbc\xaf\x27\x1c", sign{"a 7z archive", foreign}, nil},
		{0, "!<arch>\n", sign{"an ar archive or Debian package", foreign}, nil},
		{0, "\xed\xab\xee\xdb", sign{"an RPM package", foreign}, nil},
		{0, "#!", sign{"a script", foreign}, nil},
		{257, "ustar", sign{"a tar", tarballClass}, nil},
	}
}

// weak returns the signs that count where there is no other: they are short, or
// left behind by what was there before.
func weak() []magic {
	return []magic{
		{4086, "SWAPSPACE2", sign{"swap space", foreign}, nil},
		{512, "LABELONE", sign{"an LVM physical volume", bootSector}, nil},
		{510, "\x55\xaa", sign{"a boot sector without partitions", bootSector}, nil},
	}
}

// compressions are those that nobody here looks into, and that kernels know.
func compressions() []magic {
	return []magic{
		{0, "\x02\x21\x4c\x18", sign{"lz4-compressed data", packed}, nil},
		{0, "\x04\x22\x4d\x18", sign{"lz4-compressed data", packed}, nil},
		{0, "\x89LZO\x00\r\n\x1a\n", sign{"lzo-compressed data", packed}, nil},
		{0, "\x5d\x00\x00", sign{"lzma-compressed data", packed}, isLZMA},
	}
}

// contentSigns returns the signs of content that begins with head.
func contentSigns(head []byte, size int64) []sign {
	signs := match(magics(), head, size)
	if s, ok := elfSign(head); ok {
		signs = append(signs, s)
	}
	if isPE(head, size) && !hasClass(signs, kernel) {
		signs = append(signs, peSign(head))
	}
	if s, ok := packedSign(head); ok {
		signs = append(signs, s)
	}
	signs = append(signs, match(compressions(), head, size)...)
	if len(signs) == 0 {
		signs = match(weak(), head, size)
	}
	return signs
}

// match returns the signs of magic numbers, each once.
func match(magics []magic, head []byte, size int64) []sign {
	var signs []sign
	seen := make(map[string]bool)
	for _, m := range magics {
		if len(head) < m.offset || !bytes.HasPrefix(head[m.offset:], []byte(m.magic)) || seen[m.what] {
			continue
		}
		if m.check == nil || m.check(head, size) {
			seen[m.what] = true
			signs = append(signs, m.sign)
		}
	}
	return signs
}

func hasClass(signs []sign, c class) bool {
	for _, s := range signs {
		if s.class == c {
			return true
		}
	}
	return false
}

// isPartitionTable reports whether the four entries of an MBR can be partitions,
// and one is.
func isPartitionTable(head []byte, size int64) bool {
	found := false
	for i := range 4 {
		entry := head[446+16*i:][:16]
		if entry[0]&0x7f != 0 {
			return false
		}
		start, sectors := binary.LittleEndian.Uint32(entry[8:]), binary.LittleEndian.Uint32(entry[12:])
		// Partition 1 of an ISO for USB sticks may begin at 0.
		found = found || entry[4] != 0 && sectors > 0 && int64(start) < size/sectorSize
	}
	return found
}

// isExt checks the block size and the revision of an ext superblock.
func isExt(head []byte, _ int64) bool {
	sb := head[1024:]
	return len(sb) >= 0x58 && binary.LittleEndian.Uint32(sb[0x18:]) <= 6 && binary.LittleEndian.Uint32(sb[0x4c:]) <= 1
}

// isFAT checks the numbers at the start of a FAT (Microsoft's FAT
// specification, section 3.1).
func isFAT(head []byte, _ int64) bool {
	if len(head) < sectorSize || head[510] != 0x55 || head[511] != 0xaa {
		return false
	}
	bytesPerSector, perCluster := binary.LittleEndian.Uint16(head[11:]), head[13]
	return isPowerOfTwo(int(bytesPerSector)) && bytesPerSector >= 512 && bytesPerSector <= 4096 &&
		isPowerOfTwo(int(perCluster)) && binary.LittleEndian.Uint16(head[14:]) > 0 && (head[16] == 1 || head[16] == 2)
}

func isPowerOfTwo(n int) bool { return n > 0 && n&(n-1) == 0 }

// isUBoot returns a check for the type in a U-Boot header (include/image.h).
func isUBoot(imageType byte) func([]byte, int64) bool {
	return func(head []byte, _ int64) bool { return len(head) >= 64 && head[30] == imageType }
}

// isLZMA checks the size in a header of LZMA alone, as the kernel's decompressor
// wants it: a dictionary of at most 256 MiB, a size below 256 GiB or none.
func isLZMA(head []byte, _ int64) bool {
	if len(head) < 13 {
		return false
	}
	dictionary, size := binary.LittleEndian.Uint32(head[1:]), binary.LittleEndian.Uint64(head[5:])
	return isPowerOfTwo(int(dictionary)) && dictionary <= 1<<28 && (size == ^uint64(0) || size < 1<<38)
}

// packedSign says what is inside of compressed content, of which head is the
// start.
func packedSign(head []byte) (sign, bool) {
	compression := tarball.DetectCompression(head)
	if compression == tarball.Uncompressed {
		return sign{}, false
	}
	what := string(compression) + "-compressed data"
	inside := unpack(head)
	signs := match(magics(), inside, math.MaxInt64) // nobody knows how much is inside
	switch {
	case len(signs) == 0 || hasClass(signs, filesystem):
		return sign{what, packed}, true
	case hasClass(signs, ramdisk):
		return sign{signs[0].what + " in " + what, ramdisk}, true
	case hasClass(signs, kernel):
		return sign{signs[0].what + " in " + what, kernel}, true
	case hasClass(signs, tarballClass):
		return sign{"a tar in " + what, tarballClass}, true
	case hasClass(signs, table):
		return sign{signs[0].what + " in " + what, packedDisk}, true
	}
	return sign{what, foreign}, true
}

// unpack returns the start of what is compressed, as far as head goes.
func unpack(head []byte) []byte {
	content, _, err := tarball.Decompress(bytes.NewReader(head))
	if err != nil {
		return nil
	}
	defer content.Close()
	inside := make([]byte, 4096) // more than any magic number of a ramdisk or kernel is in
	// The rest is cut off, so that there is always an error at the end.
	n, _ := io.ReadFull(content, inside)
	return inside[:n]
}
