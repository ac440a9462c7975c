package disk

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
)

// identities are the names a disk and its parts go by. All come from one seed,
// so the same seed gives the same disk and another gives one that can stand
// beside it in a machine.
type identities struct {
	disk, biosBoot, esp, root [16]byte // GPT: of the disk and its partitions
	filesystem, hashSeed      [16]byte // of the root filesystem
	volume                    uint32   // the ESP's FAT volume serial number
}

func deriveIdentities(seed string) identities {
	volume := derive(seed, "ESP volume")
	return identities{
		disk:       derive(seed, "disk"),
		biosBoot:   derive(seed, "BIOS boot partition"),
		esp:        derive(seed, "ESP partition"),
		root:       derive(seed, "root partition"),
		filesystem: derive(seed, "root filesystem"),
		hashSeed:   derive(seed, "root filesystem hash seed"),
		volume:     binary.BigEndian.Uint32(volume[:]),
	}
}

// derive returns the UUID of what a seed names: version 8, made of the SHA-256
// of both (RFC 9562, sections 5.8 and B.2).
func derive(seed, name string) (id [16]byte) {
	sum := sha256.Sum256([]byte("cloudlets disk\x00" + name + "\x00" + seed))
	copy(id[:], sum[:])
	id[6] = id[6]&0x0f | 0x80 // version 8
	id[8] = id[8]&0x3f | 0x80 // the variant of RFC 9562
	return id
}

// formatUUID returns the lower-case text form of an id, as Linux and GRUB want
// it.
func formatUUID(id [16]byte) string {
	h := hex.EncodeToString(id[:])
	return fmt.Sprintf("%s-%s-%s-%s-%s", h[:8], h[8:12], h[12:16], h[16:20], h[20:])
}
