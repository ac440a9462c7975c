package boot

import (
	"context"

	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// maxBootFile bounds the bootloader files that are read, in bytes. The largest
// of Debian 12, GRUB for UEFI, has 4 MB.
const maxBootFile = 16 << 20

// readInode returns the content of a regular file of at most maxBootFile bytes.
func readInode(ctx context.Context, open extent.Opener, n *image.Inode) ([]byte, error) {
	return n.Read(ctx, open, maxBootFile)
}
