package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/cloudlets/cloudlets/converter/tar"
	"github.com/cloudlets/cloudlets/converter/volume"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image/kind"
)

// Disk is the disk in a file, opened to its partitions. It must be closed.
type Disk struct {
	Format string `json:"format"` // of the file
	*volume.Disk

	file *File
}

// Close ends reading.
func (d *Disk) Close() error { return d.file.Close() }

// OpenDisk opens the disk in a file: raw, compressed or not, or in a container
// that is read. The container, where it is declared, is compared with what the
// file is.
func (c *Client) OpenDisk(ctx context.Context, path string, stdin io.Reader, o FileOptions) (*Disk, error) {
	f, err := c.openFileContent(path, stdin, kind.Kind{Type: kind.Disk})
	if err != nil {
		return nil, err
	}
	d, err := c.openPartitions(ctx, f, o)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), f.Close())
	}
	return d, nil
}

func (c *Client) openPartitions(ctx context.Context, f *File, o FileOptions) (*Disk, error) {
	err := c.prepare(f, o)
	if err == nil {
		err = f.decideDisk(o.Declared)
	}
	if err != nil {
		return nil, err
	}
	disk, err := f.openContainer(ctx, nil)
	if err != nil {
		return nil, err
	}
	opened, err := volume.Open(ctx, disk.Map, f.blobs(disk))
	if err != nil {
		return nil, err
	}
	return &Disk{Format: string(f.Kind.Container), Disk: opened, file: f}, nil
}

// decideDisk is decide for what must be a disk, a filesystem or an ISO: which of
// them it is shows when it is opened.
func (f *File) decideDisk(declared kind.Kind) error {
	found, err := f.detect()
	if err != nil {
		return err
	}
	for _, t := range []kind.Type{kind.ISO9660, kind.Filesystem, kind.Disk} {
		if slices.Contains(found.Types, t) {
			declared.Type = t
		}
	}
	if declared.Type == "" {
		return fmt.Errorf("expected a disk, found %s", found.Describe())
	}
	found.Parent = false // opening the disk names it
	f.Kind, err = found.Decide(declared)
	return err
}

// DiskFiles are the files of a disk.
type DiskFiles struct {
	*volume.Files
	// Tar is the tar of the files, whose content are extents of the disk.
	Tar *extent.Map

	client *Client
}

// ReadFiles reads what files are on the disk.
func (c *Client) ReadFiles(ctx context.Context, d *Disk, o volume.Options) (*DiskFiles, error) {
	files, err := d.Files(ctx, o)
	if err != nil {
		return nil, err
	}
	plan, err := tar.Plan(ctx, files.Tree)
	return &DiskFiles{files, plan, c}, err
}

// Rootfs returns the files as a rootfs to push. It must be closed.
func (f *DiskFiles) Rootfs(ctx context.Context) *Rootfs {
	rootfs := planned(ctx, f.Tar, f.Blobs)
	rootfs.Reader = &stepReader{r: rootfs.Reader, step: f.client.step("import", f.Tar.Size())}
	return rootfs
}
