package disk

import (
	"encoding/binary"

	"github.com/cloudlets/cloudlets/converter/boot"
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
	volume := boot.DeriveUUID(seed, "ESP volume")
	return identities{
		disk:       boot.DeriveUUID(seed, "disk"),
		biosBoot:   boot.DeriveUUID(seed, "BIOS boot partition"),
		esp:        boot.DeriveUUID(seed, "ESP partition"),
		root:       boot.DeriveUUID(seed, "root partition"),
		filesystem: boot.DeriveUUID(seed, "root filesystem"),
		hashSeed:   boot.DeriveUUID(seed, "root filesystem hash seed"),
		volume:     binary.BigEndian.Uint32(volume[:]),
	}
}
