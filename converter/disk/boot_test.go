package disk_test

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/converter/disk"
)

// bootTimeout only bounds a hang: a menu is there after a few seconds.
const bootTimeout = 3 * time.Minute

// marker is said by the last file that the menu reads. To get there, the
// bootloader was found by the firmware, the menu by the bootloader, and the
// root filesystem by the menu.
const marker = "the menu has found its root filesystem"

func bootableRootfs() files {
	return rootfs().with(files{"boot/grub/custom.cfg": "echo " + marker + "\n"})
}

func TestBIOSBootsToTheMenu(t *testing.T) {
	p := mustPlan(t, bootableRootfs(), biosGRUB(t), disk.Options{})
	waitForSerial(t, marker, "-drive", "file="+p.write(t)+",format=raw,if=virtio,snapshot=on")
}

func TestUEFIBootsToTheMenu(t *testing.T) {
	if testing.Short() {
		t.Skip("the firmware alone takes seconds")
	}
	p := mustPlan(t, bootableRootfs(), uefiGRUB(t), disk.Options{})
	waitForSerial(t, marker, append(firmware(t, "OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd"),
		"-drive", "file="+p.write(t)+",format=raw,if=virtio,snapshot=on")...)
}

// firmware returns QEMU's arguments for a firmware, with variables of its own.
func firmware(t *testing.T, code, vars string) []string {
	t.Helper()
	const dir = "/usr/share/OVMF/"
	content, err := os.ReadFile(dir + vars)
	if err != nil {
		t.Fatalf("this test needs the Debian package ovmf: %v", err)
	}
	ownVars := filepath.Join(t.TempDir(), "vars.fd")
	if err := os.WriteFile(ownVars, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{"-drive", "if=pflash,format=raw,readonly=on,file=" + dir + code, "-drive", "if=pflash,format=raw,file=" + ownVars}
}

// waitForSerial starts QEMU with the drives and returns what the serial console
// said when the marker is on it.
func waitForSerial(t *testing.T, marker string, drives ...string) string {
	t.Helper()
	const tool = "qemu-system-x86_64"
	convertertest.Need(t, tool, "qemu-system-x86")
	ctx, cancel := context.WithTimeout(t.Context(), bootTimeout)
	defer cancel()
	args := append([]string{"-accel", "tcg", "-m", "256", "-nodefaults", "-display", "none", "-serial", "stdio"}, drives...)
	cmd := exec.CommandContext(ctx, tool, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var seen strings.Builder
	found := false
	for scanner := bufio.NewScanner(out); !found && scanner.Scan(); {
		seen.WriteString(scanner.Text() + "\n")
		found = strings.Contains(scanner.Text(), marker)
	}
	cancel()
	_ = cmd.Wait() // it was killed
	if !found {
		t.Errorf("%q is not on the serial console; this is:\n%s", marker, seen.String())
	}
	return seen.String()
}

// checkGRUBScript has GRUB's own parser look at a grub.cfg.
func checkGRUBScript(t *testing.T, script string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "grub.cfg")
	if err := os.WriteFile(path, []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	convertertest.Run(t, "grub-script-check", path)
}
