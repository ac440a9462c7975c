package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/cloudlets/cloudlets/client"
	"github.com/cloudlets/cloudlets/image/kind"
	"github.com/cloudlets/cloudlets/provider/qemu"
)

// bootFormat is what images are rendered into to be booted here.
const bootFormat = "qcow2"

// bootFlags say what a node boots.
type bootFlags struct {
	renderFlags
	kernel, ramdisk string // references
}

// equip gives a machine what it boots: the disk, at the path that it has, and in
// dir what comes from elsewhere.
func (f *bootFlags) equip(cmd *cobra.Command, g *globals, repo *client.Repository, m *qemu.Machine, dir string) error {
	kernel, err := f.fetch(cmd, g, f.kernel, filepath.Join(dir, "kernel"))
	if err != nil {
		return fmt.Errorf("kernel: %w", err)
	}
	ramdisk, err := f.fetch(cmd, g, f.ramdisk, filepath.Join(dir, "ramdisk"))
	if err != nil {
		return fmt.Errorf("ramdisk: %w", err)
	}
	// What the rules forbid is not fetched first.
	check := func(image kind.Kind) error {
		plan, err := kind.Boot(image, kernel, ramdisk)
		if err != nil {
			return err
		}
		m.Format, m.CD = string(image.Container), plan.Device == kind.CD
		if plan.Direct {
			m.Kernel, m.CommandLine = filepath.Join(dir, "kernel"), f.kernelArgs
		}
		if plan.Direct && ramdisk != nil {
			m.Ramdisk = filepath.Join(dir, "ramdisk")
		}
		return nil
	}
	_, err = os.Stat(m.Disk)
	switch {
	case err == nil:
		declared := kind.Disk
		if kernel != nil {
			declared = kind.Filesystem
		}
		image, err := client.IdentifyDisk(cmd.Context(), m.Disk, declared)
		if err != nil {
			return err
		}
		return check(image)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return f.fetchDisk(cmd, g, repo, m.Disk, check)
}

// fetch writes the file of an artifact, and returns its kind. Without a reference
// there is none.
func (f *bootFlags) fetch(cmd *cobra.Command, g *globals, reference, path string) (*kind.Kind, error) {
	if reference == "" {
		return nil, nil
	}
	repo, err := g.repository(cmd, reference)
	if err != nil {
		return nil, err
	}
	m, err := repo.Manifest(cmd.Context())
	if err != nil {
		return nil, err
	}
	k, ok := m.Kind()
	if !ok {
		return nil, fmt.Errorf("%s is not an artifact that was pushed with a --type", reference)
	}
	return &k, saveFile(path, func(w io.Writer) error { return repo.PullFile(cmd.Context(), m.Layers[0], w) })
}

// fetchDisk writes the disk of what a repository's reference names to a file.
// check is asked first whether such a disk can be booted.
func (f *bootFlags) fetchDisk(cmd *cobra.Command, g *globals, repo *client.Repository, path string, check func(kind.Kind) error) error {
	ctx := cmd.Context()
	m, err := repo.Manifest(ctx)
	if err != nil {
		return err
	}
	if k, ok := m.Kind(); ok {
		if err := check(k); err != nil {
			return err
		}
		return saveFile(path, func(w io.Writer) error { return repo.PullFile(ctx, m.Layers[0], w) })
	}
	if err := check(kind.Kind{Type: kind.Disk, Container: bootFormat}); err != nil {
		return err
	}
	req, err := f.request(cmd, g, repo, bootFormat)
	if err != nil {
		return err
	}
	render, err := repo.Render(ctx, req)
	if err != nil {
		return err
	}
	tell(cmd, render.CommandLine, render.Notes)
	if render, err = repo.WaitRender(ctx, render); err != nil {
		return err
	}
	return saveFile(path, func(w io.Writer) error { return pullFile(ctx, repo, render.Files[0], w) })
}
