package converter

import (
	"errors"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/blobstore/frame"
	"github.com/cloudlets/cloudlets/extent"
)

// ErrNoFiles is wrapped by errors about renders that need the files of a root
// filesystem, of an image that is a disk.
var ErrNoFiles = errors.New("the image is no root filesystem: make one of its files with cloudlets import --files, and render that")

// Content is an image that is no rootfs: a disk, a filesystem, a kernel or a
// ramdisk, as it was pushed. It goes into containers as it is.
type Content struct {
	Type string // of outputs
	Map  *extent.Map
	// Digest is that of the content, raw, and Frames are what it is kept in; empty
	// and nil where it is not.
	Digest digest.Digest
	Frames *frame.Index
}

// ContentTypes returns the types that an image which is no rootfs may be of.
func ContentTypes() []string { return []string{TypeDisk, TypeFilesystem, TypeKernel, TypeRamdisk} }

// adapt makes the type of the output that of the content, unless another is asked
// for, and refuses parameters that the content cannot have.
func (c *Content) adapt(p *Parameters) error {
	f, err := FindFormat(p.Format)
	if err != nil {
		return err
	}
	if p.Type == "" {
		p.Type = c.Type
	}
	if !slices.Contains(f.Types, TypeDisk) {
		return fmt.Errorf("the format %s is made of files: %w", f.Name, ErrNoFiles)
	}
	if p.Type != c.Type && slices.Contains(Types(), p.Type) { // else it is no type at all
		return fmt.Errorf("the image is of the type %s, not %s: %w", c.Type, p.Type, ErrNoFiles)
	}
	for _, o := range []struct {
		given bool
		what  string
	}{
		{len(p.Disk.KernelArgs) > 0, "arguments of the kernel"},
		{p.Disk.FreeSpace > 0, "free space"},
		{p.Disk.Kit != nil, "a boot kit"},
		{p.Entrypoint != "", "an entry point"},
		{p.Mounts.Persistent, "persistent paths"},
		{p.Mounts.VolatileTmpfs, "volatile paths"},
	} {
		if o.given {
			return fmt.Errorf("%s cannot be had: %w", o.what, ErrNoFiles)
		}
	}
	return nil
}

// sized returns the content as long as size, 0 for as it is. What is added is
// zero: a guest moves the backup of its partition table there.
func (c *Content) sized(size int64) (*extent.Map, error) {
	if size == 0 || size == c.Map.Size() {
		return c.Map, nil
	}
	if size < c.Map.Size() {
		return nil, fmt.Errorf("the %s has %d bytes, %d are asked for: it can be made larger, and not smaller", c.Type, c.Map.Size(), size)
	}
	if c.Type != TypeDisk && c.Type != TypeFilesystem {
		return nil, fmt.Errorf("a %s has %d bytes, and no other size", c.Type, c.Map.Size())
	}
	var b extent.Builder
	b.Map(c.Map)
	b.ZeroTo(size)
	return b.Build()
}
