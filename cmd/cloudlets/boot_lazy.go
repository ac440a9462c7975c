package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/cloudlets/cloudlets/client"
	"github.com/cloudlets/cloudlets/client/lazy"
	"github.com/cloudlets/cloudlets/converter"
	"github.com/cloudlets/cloudlets/nbd"
	"github.com/cloudlets/cloudlets/provider/qemu"
)

// lazyBoot are the flags of a boot that fetches what the node reads.
type lazyBoot struct {
	lazyFlags
	setup   setupFlags
	on      bool
	direct  bool
	overlay string
}

// lazyOnly are the flags that mean nothing without --lazy, and fileOnly those
// that mean nothing with it.
var (
	lazyOnly = []string{"overlay", "direct", "cache", "cache-size", "readahead", "fill", "record", "trace", "manifest", "env"}
	fileOnly = []string{"disk", "kernel", "ramdisk"}
)

func (l *lazyBoot) register(cmd *cobra.Command) {
	l.lazyFlags.register(cmd)
	l.boots = true
	l.setup.registerWithoutConfig(cmd)
	cmd.Flags().BoolVar(&l.on, "lazy", false, "fetch only what the node reads, when it reads it")
	cmd.Flags().BoolVar(&l.direct, "direct", true, "have QEMU load the image's kernel and ramdisk instead of the disk's bootloader, with --lazy; false is the default with --firmware, with --overlay and for a disk that was pushed")
	cmd.Flags().StringVar(&l.overlay, "overlay", "", "file to keep in what a node writes that is booted with --lazy")
}

// check refuses flags that do not go together.
func (l *lazyBoot) check(cmd *cobra.Command) error {
	wrong, why := lazyOnly, "it goes with --lazy"
	if l.on {
		wrong, why = fileOnly, "it does not go with --lazy"
	}
	for _, name := range wrong {
		if f := cmd.Flags().Lookup(name); f != nil && f.Changed {
			return fmt.Errorf("--%s: %s", name, why)
		}
	}
	return nil
}

// boot boots an image over NBD.
func (l *lazyBoot) boot(g *globals, cmd *cobra.Command, name string, flags *renderFlags, m qemu.Machine, timeout time.Duration) error {
	dir, err := os.MkdirTemp("", "cloudlets-boot-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	return l.withDisk(g, cmd, name, flags, &l.setup, "raw", func(disk lazyDisk) error {
		if c := disk.image.Content; c != nil && c.Type != converter.TypeDisk {
			return fmt.Errorf("%s is a %s, which does not boot by itself: boot it without --lazy, and with --kernel if it is a filesystem", name, c.Type)
		}
		m.Disk, m.Format, m.Below = filepath.Join(dir, "overlay.qcow2"), "qcow2", filepath.Join(dir, "nbd.sock")
		if l.overlay != "" {
			m.Disk = l.overlay
		}
		if g.json {
			m.Console = cmd.ErrOrStderr()
		}
		if l.directly(cmd, disk.image) {
			if err := disk.startDirectly(cmd.Context(), &m, dir); err != nil {
				return err
			}
		}
		if err := qemu.Overlay(cmd.Context(), m.Disk, disk.Map()); err != nil {
			return err
		}
		err := disk.serveWhile(cmd, m.Below, func() error { return bootMachine(cmd, m, timeout) })
		return errors.Join(err, disk.tellFetched(g, cmd))
	})
}

// directly says whether a boot goes without the disk's bootloader. Where nobody
// has said, it does if that makes no difference: firmware that was asked for is to
// be seen at work, and what a node has kept may be a newer kernel.
func (l *lazyBoot) directly(cmd *cobra.Command, i *client.Image) bool {
	flags := cmd.Flags()
	if flags.Changed("direct") {
		return l.direct
	}
	return i.Tree != nil && l.overlay == "" && !flags.Changed("firmware")
}

// startDirectly has a machine started with the kernel of the disk, and its ramdisk
// if it has one. They are written to a directory.
func (d lazyDisk) startDirectly(ctx context.Context, m *qemu.Machine, dir string) error {
	kernel, ramdisk, err := d.rendered.Direct(ctx)
	if errors.Is(err, converter.ErrNoFiles) {
		return fmt.Errorf("--direct: %s is a disk, whose kernel is not looked for: leave it out", d.image.Name)
	}
	if err != nil {
		return err
	}
	m.Kernel, m.CommandLine = filepath.Join(dir, "kernel"), kernel.Report.CommandLine
	if err := saveNear(ctx, *kernel, 0, d.cache, m.Kernel); err != nil || ramdisk == nil {
		return err
	}
	m.Ramdisk = filepath.Join(dir, "ramdisk")
	return saveNear(ctx, *ramdisk, 0, d.cache, m.Ramdisk)
}

// serveWhile serves the disk on a unix socket while use runs.
func (d lazyDisk) serveWhile(cmd *cobra.Command, socket string, use func() error) error {
	log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))
	server := nbd.New(nbd.Config{Exports: nbd.Single{Export: d.export()}, Log: log})
	listener, err := nbd.Listen(cmd.Context(), "unix:"+socket)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(cmd.Context()))
	served := make(chan error, 1)
	go func() { served <- serveNBD(ctx, server, listener) }()
	err = use()
	cancel()
	return errors.Join(err, <-served)
}

// fetched is what a lazy boot has fetched.
type fetched struct {
	Image string     `json:"image"`
	Size  int64      `json:"size"` // of the image's layers, as stored
	Fetch lazy.Stats `json:"fetched"`
}

// tellFetched says how much was fetched: the console has the standard output,
// unless JSON is asked for.
func (d lazyDisk) tellFetched(g *globals, cmd *cobra.Command) error {
	result := fetched{Image: d.image.Descriptor.Digest.String(), Fetch: d.Stats()}
	if d.image.Manifest != nil {
		for _, l := range d.image.Manifest.Layers {
			result.Size += l.Size
		}
	}
	if !g.json {
		fmt.Fprintf(cmd.ErrOrStderr(), "fetched %.1f MB of %.1f MB in %d requests\n",
			float64(result.Fetch.Bytes)/1e6, float64(result.Size)/1e6, result.Fetch.Requests)
		return nil
	}
	return g.print(cmd, result, func(io.Writer) {})
}
