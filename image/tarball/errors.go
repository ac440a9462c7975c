package tarball

import (
	"errors"
	"fmt"
)

// The ways in which a stream can be wrong. Errors about a stream's content wrap
// one of them and are of type [*Error].
var (
	ErrNotTar    = errors.New("not a tar archive")
	ErrTruncated = errors.New("the tar is cut short")
	ErrInvalid   = errors.New("invalid tar")
)

// Error says where in a tar stream something is wrong.
type Error struct {
	Offset int64  // in bytes from the start of the stream
	Name   string // of the entry concerned, as the tar has it; may be empty
	Err    error
}

func (e *Error) Error() string {
	if e.Name == "" {
		return fmt.Sprintf("tar, byte %d: %v", e.Offset, e.Err)
	}
	return fmt.Sprintf("tar, byte %d, entry %q: %v", e.Offset, e.Name, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

func invalid(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrInvalid}, args...)...)
}
