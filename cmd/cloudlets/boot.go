package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/cloudlets/cloudlets/provider/qemu"
)

func newBoot(g *globals) *cobra.Command {
	var flags bootFlags
	var lazily lazyBoot
	var machine qemu.Machine
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "boot REFERENCE",
		Short: "Boot an image in QEMU, its serial console on the terminal",
		Long: `Boot an image, or a derived artifact, in QEMU with its serial console on the
terminal. The image is rendered first where that has not been done. C-a x ends
the node.

An artifact boots as its image type says: a disk alone, an ISO as a CD, and a
filesystem with the kernel, and perhaps the ramdisk, that --kernel and --ramdisk
name. They are artifacts too.

Changes to the disk are lost, unless it is kept with --disk: a file that exists
is booted as it is, without asking the registry for anything.

With --lazy the disk is planned on this machine and served to QEMU over NBD: only
the frames that the node reads are fetched. What it writes goes to an overlay, which
is lost, too, unless it is kept with --overlay. See nbd serve for what is fetched
and kept. How much was fetched is told at the end. The node is started with the
image's kernel and ramdisk; with --firmware, with --overlay or with --direct=false
by the disk's bootloader. A disk that was pushed boots lazily, too, by its own.`,
		Example: `  cloudlets boot localhost:5000/golden/debian:12
  cloudlets boot localhost:5000/fs/debian:12 --kernel localhost:5000/kernels/debian:6.1 --ramdisk localhost:5000/ramdisks/debian:6.1
  cloudlets boot localhost:5000/golden/debian@sha256:… --firmware uefi
  cloudlets boot --lazy registry.example.org/golden/debian@sha256:… --overlay node.qcow2`,
		Args: exactly("REFERENCE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := machine.Check(); err != nil {
				return usageError{err}
			}
			if err := lazily.check(cmd); err != nil {
				return usageError{err}
			}
			if lazily.on {
				return lazily.boot(g, cmd, args[0], &flags.renderFlags, machine, timeout)
			}
			return flags.boot(g, cmd, args[0], machine, timeout)
		},
	}
	flags.register(cmd)
	lazily.register(cmd)
	cmd.Flags().StringVar(&flags.kernel, "kernel", "", "reference of the kernel that a filesystem boots with")
	cmd.Flags().StringVar(&flags.ramdisk, "ramdisk", "", "reference of the ramdisk that goes with --kernel")
	f := cmd.Flags()
	f.StringVar(&machine.Accel, "accel", qemu.AccelAuto, "auto, kvm or tcg; auto is kvm unless no kernel speaks under it")
	f.StringVar(&machine.Firmware, "firmware", qemu.BIOS, "bios or uefi")
	f.IntVar(&machine.Memory, "memory", 1024, "memory of the node in MiB")
	f.IntVar(&machine.CPUs, "cpus", qemu.DefaultCPUs, "processors of the node")
	f.StringVar(&machine.Disk, "disk", "", "file to keep the node's disk in")
	f.StringVar(&machine.Until, "until", "", "end the node once its console shows this text, such as login:")
	f.DurationVar(&timeout, "timeout", 0, "fail if the node is not over by then (default: wait for ever)")
	return cmd
}

// boot boots an image or an artifact from a file, which is fetched whole first.
func (f *bootFlags) boot(g *globals, cmd *cobra.Command, name string, m qemu.Machine, timeout time.Duration) error {
	repo, err := g.repository(cmd, name)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "cloudlets-disk-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if m.Disk == "" {
		m.Disk = filepath.Join(dir, "disk")
	}
	if err := f.equip(cmd, g, repo, &m, dir); err != nil {
		return err
	}
	return bootMachine(cmd, m, timeout)
}

// bootMachine boots a node on the terminal.
func bootMachine(cmd *cobra.Command, m qemu.Machine, timeout time.Duration) error {
	m.Stdin = cmd.InOrStdin()
	if m.Console == nil {
		m.Console = cmd.OutOrStdout()
	}
	m.Notify = func(message string) { fmt.Fprintln(cmd.ErrOrStderr(), "cloudlets:", message) }
	ctx := cmd.Context()
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, timeout, fmt.Errorf("the node was not over after %s", timeout))
		defer cancel()
	}
	err := m.Run(ctx)
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
		return cause
	}
	return err
}
