package boot

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// DeriveUUID returns the UUID of what a seed names: version 8, made of the SHA-256
// of both (RFC 9562, sections 5.8 and B.2).
func DeriveUUID(seed, name string) (id [16]byte) {
	sum := sha256.Sum256([]byte("cloudlets disk\x00" + name + "\x00" + seed))
	copy(id[:], sum[:])
	id[6] = id[6]&0x0f | 0x80 // version 8
	id[8] = id[8]&0x3f | 0x80 // the variant of RFC 9562
	return id
}

// FormatUUID returns the lower-case text form of an id, as Linux and GRUB want
// it.
func FormatUUID(id [16]byte) string {
	h := hex.EncodeToString(id[:])
	return fmt.Sprintf("%s-%s-%s-%s-%s", h[:8], h[8:12], h[12:16], h[16:20], h[20:])
}
