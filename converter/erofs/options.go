package erofs

import (
	"errors"
	"fmt"

	"github.com/cloudlets/cloudlets/image"
)

// Options are the parameters of a filesystem. Only UUID must be set.
type Options struct {
	// UUID identifies the filesystem. It must not be zero.
	UUID [16]byte
	// Label is the volume name, at most 16 bytes.
	Label string
	// Time is when the filesystem counts as made. Files that have this very
	// time take 32 bytes less each, if their numbers are small too.
	Time image.Time
}

// ErrOptions is wrapped by errors about options that are out of bounds.
var ErrOptions = errors.New("invalid EROFS option")

const nanoseconds = 1_000_000_000

func (o Options) check() error {
	switch {
	case o.UUID == [16]byte{}:
		return fmt.Errorf("%w: UUID is zero; derive one from the image's digest", ErrOptions)
	case len(o.Label) > labelSize:
		return fmt.Errorf("%w: Label has %d bytes, expected at most %d", ErrOptions, len(o.Label), labelSize)
	case o.Time.Nsec >= nanoseconds:
		return fmt.Errorf("%w: Time has %d nanoseconds, expected less than a second", ErrOptions, o.Time.Nsec)
	}
	return nil
}
