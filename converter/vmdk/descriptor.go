package vmdk

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/extent"
)

// Types of disks, as descriptors name them (createType).
const (
	monolithicSparse = "monolithicSparse"
	monolithicFlat   = "monolithicFlat"
	streamOptimized  = "streamOptimized"
)

// Options say how a file is written. The zero Options are the defaults.
type Options struct {
	// Name is the file's own name in its descriptor; empty is "disk.vmdk".
	// Readers of files that hold their own content do not look at it.
	Name string
	// Identity is what the content ID and the UUID of the disk are made from.
	// The zero Identity is [container.Identity] of the disk.
	Identity [16]byte
}

const defaultName = "disk.vmdk"

// withDefaults returns the options with what they leave open, or an error if the
// name cannot stand in a descriptor.
func (o Options) withDefaults(disk *extent.Map) (Options, error) {
	if o.Name == "" {
		o.Name = defaultName
	}
	if err := checkName(o.Name); err != nil {
		return o, err
	}
	if o.Identity == [16]byte{} {
		o.Identity = container.Identity(disk, "vmdk")
	}
	return o, nil
}

// checkName checks a file's name. It stands between quotes, and readers follow
// it: it must not lead out of the folder.
func checkName(name string) error {
	const maxName = 255
	if len(name) > maxName || strings.ContainsAny(name, "/\\\"") || name == "." || name == ".." {
		return fmt.Errorf("name %q: want at most %d bytes without slashes and quotes", name, maxName)
	}
	for _, c := range []byte(name) {
		if c < ' ' || c > '~' {
			return fmt.Errorf("name %q: want printable ASCII", name)
		}
	}
	return nil
}

// descriptor returns the text that says what a disk is made of. part is its
// extent line after the size: `SPARSE "disk.vmdk"`.
func descriptor(createType string, sectors int64, part string, identity [16]byte) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, `# Disk DescriptorFile
version=1
encoding="UTF-8"
CID=%08x
parentCID=%08x
createType="%s"

# Extent description
RW %d %s

# The Disk Data Base
#DDB

ddb.adapterType = "lsilogic"
ddb.geometry.cylinders = "%d"
ddb.geometry.heads = "%d"
ddb.geometry.sectors = "%d"
ddb.longContentID = "%s"
ddb.uuid = "%s"
ddb.virtualHWVersion = "4"
`, contentID(identity), uint32(noParent), createType, sectors, part,
		sectors/(geometryHeads*geometrySectors), geometryHeads, geometrySectors,
		hex.EncodeToString(longContentID(identity)), uuid(identity))
	return []byte(b.String())
}

// The geometry of SCSI disks over 2 GB, for guests that ask the BIOS.
const (
	geometryHeads   = 255
	geometrySectors = 63
)

// contentID returns the number by which a differencing disk would name this one
// as its parent. Numbers that mean "none" are not used.
func contentID(identity [16]byte) uint32 {
	id := binary.BigEndian.Uint32(identity[12:])
	if id >= noParent-1 {
		return 0
	}
	return id
}

// longContentID returns the content ID in 16 bytes; it ends in the short one.
func longContentID(identity [16]byte) []byte {
	return binary.BigEndian.AppendUint32(identity[:12:12], contentID(identity))
}

// uuid returns the UUID of a disk as VMware writes it, within the block that is
// VMware's: 60:00:C2:9x, an NAA identifier of IEEE.
func uuid(identity [16]byte) string {
	id := identity
	id[0], id[1], id[2], id[3] = 0x60, 0x00, 0xc2, 0x90|id[3]&0x0f
	half := func(p []byte) string { return fmt.Sprintf("% x", p) }
	return half(id[:8]) + "-" + half(id[8:])
}
