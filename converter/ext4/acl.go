package ext4

import (
	"encoding/binary"
	"fmt"

	"github.com/cloudlets/cloudlets/converter/container"
)

// POSIX ACLs have two forms: in system calls and archives, version 2, whose
// entries all have an id (Linux, include/uapi/linux/posix_acl_xattr.h); and on
// disk, version 1, where only those of named users and groups do (Linux,
// fs/ext4/acl.h). Both are little-endian.
const (
	aclHeaderSize     = 4
	aclVersion        = 2
	aclVersionDisk    = 1
	aclEntrySize      = 8
	aclUserOwner      = 0x01
	aclUser           = 0x02
	aclGroupOwner     = 0x04
	aclGroup          = 0x08
	aclMask           = 0x10
	aclOther          = 0x20
	aclShortEntrySize = 4
)

// diskACL translates an ACL from version 2 to the form on disk.
func diskACL(v []byte) ([]byte, error) {
	le := binary.LittleEndian
	if len(v) < aclHeaderSize || (len(v)-aclHeaderSize)%aclEntrySize != 0 {
		return nil, fmt.Errorf("an ACL of %d bytes, expected %d and a multiple of %d more: %w", len(v), aclHeaderSize, aclEntrySize, ErrTree)
	}
	if version := le.Uint32(v); version != aclVersion {
		return nil, fmt.Errorf("an ACL of version %d, expected %d: %w", version, aclVersion, ErrTree)
	}
	disk := le.AppendUint32(make([]byte, 0, len(v)), aclVersionDisk)
	for e := v[aclHeaderSize:]; len(e) > 0; e = e[aclEntrySize:] {
		switch tag := le.Uint16(e); tag {
		case aclUserOwner, aclGroupOwner, aclMask, aclOther:
			disk = append(disk, e[:aclShortEntrySize]...)
		case aclUser, aclGroup:
			disk = append(disk, e[:aclEntrySize]...)
		default:
			return nil, fmt.Errorf("an ACL with an entry of unknown tag %#x: %w", tag, ErrTree)
		}
	}
	return disk, nil
}

// noACLID is the id of entries that name nobody, as Linux gives it.
const noACLID = 0xFFFFFFFF

// archiveACL is the inverse of diskACL.
func archiveACL(disk []byte) ([]byte, error) {
	le := binary.LittleEndian
	if len(disk) < aclHeaderSize || le.Uint32(disk) != aclVersionDisk {
		return nil, fmt.Errorf("%w: an ACL of %d bytes that is not of version %d", container.ErrFormat, len(disk), aclVersionDisk)
	}
	v := le.AppendUint32(nil, aclVersion)
	for e := disk[aclHeaderSize:]; len(e) > 0; {
		if len(e) < aclShortEntrySize {
			return nil, fmt.Errorf("%w: %d bytes are left of an ACL, an entry has %d", container.ErrFormat, len(e), aclShortEntrySize)
		}
		size, id := aclShortEntrySize, uint32(noACLID)
		switch tag := le.Uint16(e); tag {
		case aclUserOwner, aclGroupOwner, aclMask, aclOther:
		case aclUser, aclGroup:
			if size = aclEntrySize; len(e) < size {
				return nil, fmt.Errorf("%w: %d bytes are left of an ACL, an entry with an id has %d", container.ErrFormat, len(e), size)
			}
			id = le.Uint32(e[aclShortEntrySize:])
		default:
			return nil, fmt.Errorf("%w: an ACL with an entry of unknown tag %#x", container.ErrFormat, tag)
		}
		v = le.AppendUint32(append(v, e[:aclShortEntrySize]...), id)
		e = e[size:]
	}
	return v, nil
}
