package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/cloudlets/cloudlets/client"
	"github.com/cloudlets/cloudlets/provider/qemu"
)

// bootFormat is what images are rendered into to be booted here.
const bootFormat = "qcow2"

func newBoot(g *globals) *cobra.Command {
	var flags renderFlags
	var machine qemu.Machine
	var disk string
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "boot REFERENCE",
		Short: "Boot an image in QEMU, its serial console on the terminal",
		Long: `Boot an image, or a derived artifact, in QEMU with its serial console on the
terminal. The image is rendered first where that has not been done. C-a x ends
the node.

Changes to the disk are lost, unless it is kept with --disk: a file that exists
is booted as it is, without asking the registry for anything.`,
		Example: `  cloudlets boot localhost:5000/golden/debian:12
  cloudlets boot localhost:5000/golden/debian@sha256:… --firmware uefi`,
		Args: exactly("REFERENCE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := machine.Check(); err != nil {
				return usageError{err}
			}
			repo, err := g.repository(cmd, args[0])
			if err != nil {
				return err
			}
			dir, err := os.MkdirTemp("", "cloudlets-disk-*")
			if err != nil {
				return err
			}
			defer os.RemoveAll(dir)
			if disk == "" {
				disk = filepath.Join(dir, "disk.qcow2")
			}
			machine.Disk = disk
			if machine.Format, err = fetchDisk(cmd, g, repo, &flags, disk); err != nil {
				return err
			}
			return bootMachine(cmd, machine, timeout)
		},
	}
	flags.register(cmd)
	f := cmd.Flags()
	f.StringVar(&machine.Accel, "accel", qemu.AccelAuto, "auto, kvm or tcg; auto is kvm unless no kernel speaks under it")
	f.StringVar(&machine.Firmware, "firmware", qemu.BIOS, "bios or uefi")
	f.IntVar(&machine.Memory, "memory", 1024, "memory of the node in MiB")
	f.IntVar(&machine.CPUs, "cpus", 1, "processors of the node")
	f.StringVar(&disk, "disk", "", "file to keep the node's disk in")
	f.StringVar(&machine.Until, "until", "", "end the node once its console shows this text, such as login:")
	f.DurationVar(&timeout, "timeout", 0, "fail if the node is not over by then (default: wait for ever)")
	return cmd
}

// fetchDisk writes the disk of what a repository's reference names to a file,
// if there is none, and returns its format.
func fetchDisk(cmd *cobra.Command, g *globals, repo *client.Repository, flags *renderFlags, path string) (format string, err error) {
	if _, err := os.Stat(path); err == nil {
		return bootFormat, nil
	}
	ctx := cmd.Context()
	m, err := repo.Manifest(ctx)
	if err != nil {
		return "", err
	}
	if format, ok := m.DiskFormat(); ok {
		return format, saveFile(path, func(w io.Writer) error { return repo.PullBlob(ctx, m.Layers[0], w) })
	}
	req, err := flags.request(cmd, g, repo, bootFormat)
	if err != nil {
		return "", err
	}
	render, err := repo.Render(ctx, req)
	if err != nil {
		return "", err
	}
	tell(cmd, render)
	if render, err = repo.WaitRender(ctx, render); err != nil {
		return "", err
	}
	return bootFormat, saveBlob(ctx, repo, render, path)
}

// bootMachine boots a node on the terminal.
func bootMachine(cmd *cobra.Command, m qemu.Machine, timeout time.Duration) error {
	m.Stdin, m.Console = cmd.InOrStdin(), cmd.OutOrStdout()
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
