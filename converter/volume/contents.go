package volume

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"strings"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/converter/erofs"
	"github.com/cloudlets/cloudlets/converter/ext4"
	"github.com/cloudlets/cloudlets/converter/fat32"
	"github.com/cloudlets/cloudlets/converter/gpt"
	"github.com/cloudlets/cloudlets/converter/iso9660"
	"github.com/cloudlets/cloudlets/converter/squashfs"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// Contents is what stands in a partition.
type Contents struct {
	// Filesystem is what blkid calls it: ext4, vfat, crypto_LUKS; empty where it
	// is nothing that is known.
	Filesystem string `json:"filesystem,omitempty"`
	Label      string `json:"label,omitempty"`
	UUID       string `json:"uuid,omitempty"` // as blkid writes it
	// Files says that the files are read here.
	Files bool `json:"files"`

	open          opener
	hasBootSector bool
}

// opener reads the files of a filesystem, as the folder of each has it.
type opener func(r io.ReaderAt, size int64, source extent.Digest) (*container.Filesystem, error)

// ofTree is the opener of a filesystem that compresses nothing.
func ofTree(open func(r io.ReaderAt, size int64, source extent.Digest) (*image.Tree, error)) opener {
	return func(r io.ReaderAt, size int64, source extent.Digest) (*container.Filesystem, error) {
		tree, err := open(r, size, source)
		if err != nil {
			return nil, err
		}
		return &container.Filesystem{Tree: tree}, nil
	}
}

// signature is how something is recognised.
type signature struct {
	name   string
	offset int
	magic  string
	// describe adds what else there is to know. head is at least headSize bytes.
	describe func(c *Contents, head []byte)
	open     opener // nil where it stays blocks
	boot     bool   // its first sector is a boot sector, or may be
}

// headSize is how much of a partition is looked at, in bytes: up to the label of
// btrfs.
const headSize = 68 << 10

// signatures are what is recognised, in this order: magic numbers and the places
// of labels and UUIDs are those of each one's own specification, as libblkid has
// them too.
func signatures() []signature {
	return []signature{
		{name: "crypto_LUKS", magic: "LUKS\xba\xbe", describe: describeLUKS},
		{name: "LVM2_member", offset: 512, magic: "LABELONE"},
		{name: "linux_raid_member", offset: 4096, magic: "\xfc\x4e\x2b\xa9"},
		{name: "linux_raid_member", magic: "\xfc\x4e\x2b\xa9"},
		{name: "BitLocker", offset: 3, magic: "-FVE-FS-", boot: true},
		{name: "ntfs", offset: 3, magic: "NTFS    ", describe: describeNTFS, boot: true},
		{name: "exfat", offset: 3, magic: "EXFAT   ", describe: describeExFAT, boot: true},
		{name: "xfs", magic: "XFSB", describe: named(108, 12, 32)},
		{name: "btrfs", offset: 64<<10 + 64, magic: "_BHRfS_M", describe: named(64<<10+299, 256, 64<<10+32)},
		{name: "iso9660", offset: 32<<10 + 1, magic: "CD001", describe: named(32<<10+40, 32, 0), open: ofTree(iso9660.Open), boot: true},
		{name: "squashfs", magic: "hsqs", open: squashfs.Open},
		{name: "erofs", offset: 1024, magic: "\xe2\xe1\xf5\xe0", describe: named(1024+64, 16, 1024+48), open: erofs.Open},
		{name: "f2fs", offset: 1024, magic: "\x10\x20\xf5\xf2"},
		{name: "vfat", offset: 82, magic: "FAT32   ", describe: describeFAT(67), open: ofTree(fat32.Open), boot: true},
		{name: "vfat", offset: 54, magic: "FAT1", describe: describeFAT(39), open: ofTree(fat32.Open), boot: true},
		{name: "ext2", offset: 1024 + 56, magic: "\x53\xef", describe: describeExt, open: ofTree(ext4.Open)},
		{name: "swap", offset: 4086, magic: "SWAPSPACE2", describe: named(1024+28, 16, 1024+12)},
		{name: "swap", offset: 64<<10 - 10, magic: "SWAPSPACE2", describe: named(1024+28, 16, 1024+12)},
	}
}

// probe recognises what is in a partition. The error is one of reading.
func probe(r *io.SectionReader) (Contents, error) {
	head := make([]byte, headSize)
	n := min(r.Size(), headSize)
	if err := container.ReadFull(r, head[:n], 0); err != nil {
		return Contents{}, fmt.Errorf("read its start: %w", err)
	}
	for _, s := range signatures() {
		if !bytes.HasPrefix(head[s.offset:], []byte(s.magic)) {
			continue
		}
		c := Contents{Filesystem: s.name, Files: s.open != nil, open: s.open, hasBootSector: s.boot}
		if s.describe != nil {
			s.describe(&c, head)
		}
		return c, nil
	}
	return Contents{}, nil
}

// named describes what has a label of n bytes and, where at is not 0, a UUID.
func named(label, n, at int) func(c *Contents, head []byte) {
	return func(c *Contents, head []byte) {
		c.Label = text(head[label:][:n])
		if at != 0 {
			c.UUID = uuid(head[at:])
		}
	}
}

// text returns what stands in a field that is padded with zeros or spaces.
func text(field []byte) string {
	field, _, _ = bytes.Cut(field, []byte{0})
	return strings.TrimRight(strings.ToValidUTF8(string(field), "\uFFFD"), " ")
}

// uuid returns the text of a UUID, "" of none.
func uuid(b []byte) string {
	id := gpt.GUID(b[:16])
	if id.IsZero() {
		return ""
	}
	return id.String()
}

func describeLUKS(c *Contents, head []byte) {
	const version, label, id = 6, 24, 168
	c.UUID = text(head[id:][:40])
	if binary.BigEndian.Uint16(head[version:]) == 2 {
		c.Label = text(head[label:][:48])
	}
}

func describeNTFS(c *Contents, head []byte) {
	const serial = 72
	c.UUID = fmt.Sprintf("%016X", binary.LittleEndian.Uint64(head[serial:]))
}

func describeExFAT(c *Contents, head []byte) {
	const serial = 100
	c.UUID = serialNumber(head[serial:])
}

// serialNumber returns the text of the serial number of a FAT.
func serialNumber(b []byte) string {
	id := binary.LittleEndian.Uint32(b)
	return fmt.Sprintf("%04X-%04X", id>>16, id&0xFFFF)
}

// describeFAT describes a FAT filesystem whose serial number stands at an offset,
// followed by its label.
func describeFAT(serial int) func(c *Contents, head []byte) {
	return func(c *Contents, head []byte) {
		c.UUID = serialNumber(head[serial:])
		if label := text(head[serial+4:][:11]); label != "NO NAME" {
			c.Label = label
		}
	}
}

// describeExt tells ext2, ext3 and ext4 by their features: a journal makes it
// ext3, anything that ext3 does not know ext4.
func describeExt(c *Contents, head []byte) {
	const compat, incompat, roCompat, id, label = 1024 + 92, 1024 + 96, 1024 + 100, 1024 + 104, 1024 + 120
	const hasJournal, ext3Incompat, ext3ROCompat = 0x4, 0x2 | 0x4 | 0x10, 0x1 | 0x2 | 0x4
	le := binary.LittleEndian
	named(label, 16, id)(c, head)
	switch {
	case le.Uint32(head[incompat:])&^ext3Incompat != 0 || le.Uint32(head[roCompat:])&^ext3ROCompat != 0:
		c.Filesystem = "ext4"
	case le.Uint32(head[compat:])&hasJournal != 0:
		c.Filesystem = "ext3"
	}
}

// sameUUID reports whether two texts are one UUID.
func sameUUID(a, b string) bool { return a != "" && strings.EqualFold(a, b) }
