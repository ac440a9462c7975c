package container

import (
	"github.com/cloudlets/cloudlets/extent"
)

// UUID returns id, or if it is zero a UUID of the disk's [Identity]: version 8
// (RFC 9562, section 5.8), in the order of its text form.
func UUID(id [16]byte, disk *extent.Map, purpose string) [16]byte {
	if id != [16]byte{} {
		return id
	}
	id = Identity(disk, purpose)
	id[6] = id[6]&0x0f | 0x80 // version 8
	id[8] = id[8]&0x3f | 0x80 // the variant of RFC 9562
	return id
}

// MixedEndian returns the form of a UUID in which Microsoft's and VirtualBox's
// files have it: the first three groups of its text are little-endian. The
// function is its own inverse.
func MixedEndian(id [16]byte) [16]byte {
	return [16]byte{id[3], id[2], id[1], id[0], id[5], id[4], id[7], id[6],
		id[8], id[9], id[10], id[11], id[12], id[13], id[14], id[15]}
}
