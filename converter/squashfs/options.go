package squashfs

import (
	"errors"
	"fmt"
	"math/bits"

	"github.com/cloudlets/cloudlets/image"
)

// Options are the parameters of a filesystem. The zero Options are good.
type Options struct {
	// BlockSize is how many bytes of a file one data block has: a power of two
	// from 4096 to 1 MiB. 0 means 128 KiB. A larger one makes the block lists
	// of large files shorter; the kernel reads whole blocks.
	BlockSize int
	// Time is when the filesystem counts as made.
	Time image.Time
	// Dropped is told of every extended attribute that squashfs has no form
	// for — POSIX ACLs, and whatever is not in the namespaces user, trusted and
	// security — and the attribute is left out. Without it, such an attribute is
	// an error.
	Dropped func(path, attribute string)
}

// ErrOptions is wrapped by errors about options that are out of bounds.
var ErrOptions = errors.New("invalid squashfs option")

const defaultBlockSize = 128 << 10

func (o Options) withDefaults() (Options, error) {
	if o.BlockSize == 0 {
		o.BlockSize = defaultBlockSize
	}
	if log := bits.Len(uint(max(o.BlockSize, 0))) - 1; log < minBlockLog || log > maxBlockLog || o.BlockSize != 1<<log {
		return o, fmt.Errorf("%w: BlockSize is %d, expected a power of two from %d to %d", ErrOptions, o.BlockSize, 1<<minBlockLog, 1<<maxBlockLog)
	}
	return o, nil
}
