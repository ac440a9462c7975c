// Package qemu is create_node for this machine: it boots a disk in QEMU with the
// serial console on the terminal.
//
// What enters: a disk file and its format, or an overlay and the socket of what lies
// below it; perhaps a kernel. What leaves: a running node, until it powers off or
// shows what was waited for.
package qemu

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Accelerators.
const (
	AccelAuto = "auto" // kvm, unless no kernel speaks under it
	AccelKVM  = "kvm"
	AccelTCG  = "tcg"
)

// Firmware.
const (
	BIOS = "bios" // SeaBIOS
	UEFI = "uefi" // OVMF
)

const (
	program = "qemu-system-x86_64"
	kvmPath = "/dev/kvm"

	// silence is how long a kernel may take to speak under KVM, and silenceDirect
	// the same without firmware and bootloader before it. It needs a second or two
	// where KVM works.
	silence       = 25 * time.Second
	silenceDirect = 10 * time.Second
)

// ovmf are the places where distributions keep OVMF: code, and the variables
// that go with it.
var ovmf = [][2]string{
	{"/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"},
	{"/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"},
	{"/usr/share/edk2/ovmf/OVMF_CODE.fd", "/usr/share/edk2/ovmf/OVMF_VARS.fd"},
}

// DefaultCPUs is how many processors a node has unless more or fewer are asked for:
// what starts a system runs side by side.
const DefaultCPUs = 2

// Machine is a node to boot.
type Machine struct {
	Disk   string // file
	Format string // of the file: a container format, such as "raw", "qcow2" or "vhd"
	CD     bool   // attaches the file as a CD, to be read only
	// Below is the unix socket of an NBD server whose default export lies below
	// Disk, which is a qcow2 file then; empty for none.
	Below    string
	Firmware string // BIOS or UEFI; empty is BIOS
	Accel    string // empty is AccelAuto
	Memory   int    // in MiB; 0 is 1024
	CPUs     int    // 0 is DefaultCPUs
	// Kernel and Ramdisk are files that the node is started with instead of what
	// is on its disk; empty for none. CommandLine is that of the kernel, after
	// what says where root and console are.
	Kernel, Ramdisk, CommandLine string
	// Until, if not empty, ends the node as soon as its console shows it.
	Until string

	Stdin   io.Reader // the console's keyboard; nil for none
	Console io.Writer // what the console shows
	Notify  func(message string)
}

// errSilent says that no kernel spoke.
var errSilent = errors.New("no kernel has spoken on the serial console")

// Check returns what is wrong with the machine, before there is a disk for it.
func (m Machine) Check() error {
	if !slices.Contains([]string{"", AccelAuto, AccelKVM, AccelTCG}, m.Accel) {
		return fmt.Errorf("accelerator %q: expected %s, %s or %s", m.Accel, AccelAuto, AccelKVM, AccelTCG)
	}
	if !slices.Contains([]string{"", BIOS, UEFI}, m.Firmware) {
		return fmt.Errorf("firmware %q: expected %s or %s", m.Firmware, BIOS, UEFI)
	}
	return nil
}

// Run boots the node and returns when it is over: powered off, or Until was
// seen. The error says so where Until was never seen.
func (m Machine) Run(ctx context.Context) error {
	if err := m.Check(); err != nil {
		return err
	}
	if _, err := exec.LookPath(program); err != nil {
		return fmt.Errorf("%s is not installed: install the Debian package qemu-system-x86: %w", program, err)
	}
	if m.Accel == AccelKVM || m.Accel == AccelTCG {
		return m.run(ctx, m.Accel, 0)
	}
	if !usable(kvmPath) {
		return m.run(ctx, AccelTCG, 0)
	}
	err := m.run(ctx, AccelKVM, m.patience())
	if !errors.Is(err, errSilent) {
		return err
	}
	m.Notify(fmt.Sprintf("%s exists, but %s: starting again with tcg, which is slower", kvmPath, err))
	return m.run(ctx, AccelTCG, 0)
}

// patience returns how long the machine may take to have a kernel speak under KVM.
func (m Machine) patience() time.Duration {
	if m.Kernel != "" {
		return silenceDirect
	}
	return silence
}

// usable reports whether a device can be opened for reading and writing.
func usable(path string) bool {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return false
	}
	f.Close()
	return true
}

// run boots the node with an accelerator. Where patience is not zero, the error
// wraps errSilent if no kernel speaks for as long as that, or before QEMU fails.
func (m Machine) run(ctx context.Context, accel string, patience time.Duration) error {
	dir, err := os.MkdirTemp("", "cloudlets-boot-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	args, err := m.args(accel, dir)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	console := &watcher{w: m.Console, until: m.Until, seen: func() { cancel(errSeen) }}
	if patience > 0 {
		timer := time.AfterFunc(patience, func() { cancel(fmt.Errorf("%w for %s", errSilent, patience)) })
		defer timer.Stop()
		console.spoken = func() { timer.Stop() }
	}
	var complaints bytes.Buffer
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 5 * time.Second
	cmd.Stdin = m.Stdin
	cmd.Stdout = console
	cmd.Stderr = &complaints
	err = cmd.Run()
	switch cause := context.Cause(ctx); {
	case errors.Is(cause, errSeen):
		return nil
	case cause != nil:
		return cause
	case err != nil:
		err = fmt.Errorf("%s: %w: %s", program, err, bytes.TrimSpace(complaints.Bytes()))
		if console.spoken != nil {
			err = fmt.Errorf("%w: %w", errSilent, err)
		}
		return err
	case m.Until != "":
		return fmt.Errorf("the node has ended without showing %q on its console", m.Until)
	}
	return nil
}

// errSeen ends a node whose console has shown what was waited for.
var errSeen = errors.New("seen")

// args returns QEMU's arguments. dir is for what QEMU writes besides the disk.
func (m Machine) args(accel, dir string) ([]string, error) {
	args := []string{
		"-accel", accel,
		"-m", strconv.Itoa(orDefault(m.Memory, 1024)),
		"-smp", strconv.Itoa(orDefault(m.CPUs, DefaultCPUs)),
		"-display", "none",
		"-serial", "mon:stdio",
		"-device", "virtio-rng-pci",
		"-nic", "user,model=virtio-net-pci",
		"-drive", m.drive(),
	}
	args = append(args, m.directArgs()...)
	if m.Firmware == BIOS || m.Firmware == "" {
		return args, nil
	}
	code, vars, err := findOVMF(dir)
	if err != nil {
		return nil, err
	}
	return append(args,
		"-drive", "if=pflash,format=raw,readonly=on,file="+code,
		"-drive", "if=pflash,format=raw,file="+escape(vars)), nil
}

// drive returns the option for the disk. The format is always said: QEMU must
// not look for one in content that a guest has written.
func (m Machine) drive() string {
	format := m.Format
	if format == "vhd" {
		format = "vpc" // as QEMU calls it
	}
	drive := "file=" + escape(m.Disk) + ",format=" + escape(format)
	if m.CD {
		return "media=cdrom,readonly=on," + drive
	}
	if m.Below != "" {
		drive += ",backing.driver=raw,backing.file.driver=nbd,backing.file.server.type=unix,backing.file.server.path=" + escape(m.Below)
	}
	return "if=virtio," + drive
}

// directArgs returns the arguments that start a kernel.
func (m Machine) directArgs() []string {
	if m.Kernel == "" {
		return nil
	}
	line := strings.TrimSpace("root=/dev/vda rw console=ttyS0 " + m.CommandLine)
	args := []string{"-kernel", m.Kernel, "-append", line}
	if m.Ramdisk != "" {
		args = append(args, "-initrd", m.Ramdisk)
	}
	return args
}

// findOVMF returns OVMF's code and a copy of its variables in dir.
func findOVMF(dir string) (code, vars string, err error) {
	for _, place := range ovmf {
		template, err := os.ReadFile(place[1])
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", "", err
		}
		vars = filepath.Join(dir, "vars.fd")
		return place[0], vars, os.WriteFile(vars, template, 0o600)
	}
	return "", "", errors.New("no UEFI firmware for QEMU: install the Debian package ovmf, or boot with --firmware bios")
}

func orDefault(n, otherwise int) int {
	if n == 0 {
		return otherwise
	}
	return n
}

// escape doubles the commas of a value in an option of QEMU, which would end
// it.
func escape(value string) string {
	var b []byte
	for i := range len(value) {
		if value[i] == ',' {
			b = append(b, ',')
		}
		b = append(b, value[i])
	}
	return string(b)
}
