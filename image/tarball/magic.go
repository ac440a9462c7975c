package tarball

import (
	"bytes"
	"fmt"
)

// magicReach is how many bytes of a stream its magic number may be in: up to
// that of ISO 9660, in sector 16.
const magicReach = 16*2048 + 6

// magics are the magic numbers of what gets pushed by mistake.
var magics = []struct {
	off   int
	magic string
	is    string
}{
	{0, string(magicGzip), "gzip-compressed data"},
	{0, string(magicZstd), "zstd-compressed data"},
	{0, string(magicXZ), "xz-compressed data"},
	{0, string(magicBzip2), "bzip2-compressed data"},
	{0, "\x04\x22\x4d\x18", "lz4-compressed data"},
	{0, "LZIP", "lzip-compressed data"},
	{0, "PK\x03\x04", "a zip archive"},
	{0, "7z\xbc\xaf\x27\x1c", "a 7z archive"},
	{0, "!<arch>\n", "an ar archive or Debian package"},
	{0, "\xed\xab\xee\xdb", "an RPM package"},
	{0, "07070", "a cpio archive"},
	{0, "\xc7\x71", "a cpio archive"},
	{0, "QFI\xfb", "a qcow or qcow2 disk"},
	{0, "QED\x00", "a QED disk"},
	{0, "KDMV", "a VMDK disk"},
	{0, "# Disk DescriptorFile", "a VMDK descriptor"},
	{0, "vhdxfile", "a VHDX disk"},
	{0, "conectix", "a VHD disk"},
	{0x40, "\x7f\x10\xda\xbe", "a VDI disk"},
	{0, "hsqs", "a squashfs filesystem"},
	{0, "\x7fELF", "an ELF program"},
	{0, "MZ", "a Windows or EFI program"},
	{0, "#!", "a script"},
	{1024, "\xe2\xe1\xf5\xe0", "an EROFS filesystem"},
	{1024 + 56, "\x53\xef", "an ext2, ext3 or ext4 filesystem"},
	{16*2048 + 1, "CD001", "an ISO 9660 filesystem"},
	{512, "EFI PART", "a disk with a GPT"},
	{510, "\x55\xaa", "a disk with a boot sector"},
}

// describe says what the start of a stream looks like.
func describe(head []byte) string {
	for _, m := range magics {
		if len(head) > m.off && bytes.HasPrefix(head[m.off:], []byte(m.magic)) {
			return "it looks like " + m.is
		}
	}
	if start := head[:min(len(head), BlockSize)]; isZero(start) {
		return "it begins with zeros, as a disk does, and goes on with something else"
	}
	return fmt.Sprintf("it begins with %q", head[:min(len(head), 16)])
}
