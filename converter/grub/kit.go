package grub

import (
	"errors"
	"fmt"

	"github.com/cloudlets/cloudlets/image"
)

// KitPath is where Debian's grub-pc-bin and its kin keep the files of a [Kit],
// in a rootfs and in a boot kit alike.
const KitPath = "usr/lib/grub/i386-pc"

// ErrNoKit is wrapped by [FindKit] where a tree has no kit, or half of one.
var ErrNoKit = errors.New("no GRUB for BIOS")

// The files of a kit besides its modules.
const (
	fileBoot       = "boot.img"
	fileDiskboot   = "diskboot.img"
	fileCDBoot     = "cdboot.img" // not in every kit: only CDs need it
	fileDecompress = "lzma_decompress.img"
	fileKernel     = "kernel.img"
	fileModDep     = "moddep.lst"
)

// Kit is a set of files of GRUB's i386-pc platform.
type Kit struct {
	// ReadFile returns the content of the file of that name, without a
	// directory, or an error where there is none or where it is longer than
	// limit bytes.
	ReadFile func(name string, limit int64) ([]byte, error)
}

// ReadInode returns the content of a regular file of a tree.
type ReadInode func(*image.Inode) ([]byte, error)

// FindKit returns the kit in [KitPath] of a tree. It reads no file itself; read
// is called for the files that [CoreImage] and [BootSector] need, once they are
// known to be no longer than their limit.
func FindKit(tree *image.Tree, read ReadInode) (Kit, error) {
	dir, err := tree.Resolve(KitPath)
	if err != nil {
		return Kit{}, fmt.Errorf("%w: %w", ErrNoKit, err)
	}
	for _, name := range []string{fileBoot, fileDiskboot, fileDecompress, fileKernel, fileModDep} {
		if dir.Lookup(name) == nil {
			return Kit{}, fmt.Errorf("%w: %s has no %s", ErrNoKit, KitPath, name)
		}
	}
	return Kit{ReadFile: func(name string, limit int64) ([]byte, error) {
		n := dir.Lookup(name)
		switch {
		case n == nil:
			return nil, fmt.Errorf("no %s in %s", name, KitPath)
		case !n.IsRegular():
			return nil, fmt.Errorf("%s/%s is not a regular file", KitPath, name)
		case n.Size() > limit:
			return nil, fmt.Errorf("%s/%s is %d bytes long, expected at most %d", KitPath, name, n.Size(), limit)
		}
		return read(n)
	}}, nil
}

// read returns a file of the kit and checks what ReadFile promised, because
// everything after it relies on the bound.
func (k Kit) read(name string, limit int64) ([]byte, error) {
	data, err := k.ReadFile(name, limit)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("read %s: %d bytes, expected at most %d", name, len(data), limit)
	}
	return data, nil
}

// readSector returns a file of the kit that must be one sector long.
func (k Kit) readSector(name string) ([]byte, error) {
	data, err := k.read(name, SectorSize)
	if err != nil {
		return nil, err
	}
	if len(data) != SectorSize {
		return nil, fmt.Errorf("%s is %d bytes long, expected %d", name, len(data), SectorSize)
	}
	return data, nil
}
