package grub_test

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
	"github.com/cloudlets/cloudlets/converter/grub"
)

// bootTimeout only bounds a hang: GRUB speaks after a second or two.
const bootTimeout = 2 * time.Minute

func TestBIOSBootsTheCoreImage(t *testing.T) {
	const (
		marker  = "core image is running"
		coreLBA = 2048
		size    = 4 << 20
	)
	kit := debianKit(t)
	core, err := grub.CoreImage(kit, grub.Options{
		Prefix:  "/boot/grub",
		Config:  "serial --unit=0 --speed=115200\nterminal_output serial\necho " + marker + "\n",
		Modules: diskModules,
		LBA:     coreLBA,
	})
	if err != nil {
		t.Fatal(err)
	}
	code, err := grub.BootSector(kit, coreLBA)
	if err != nil {
		t.Fatal(err)
	}
	disk := make([]byte, size)
	copy(disk, code)
	copy(disk[510:], []byte{0x55, 0xaa})
	copy(disk[coreLBA*grub.SectorSize:], core)
	path := filepath.Join(t.TempDir(), "disk.raw")
	if err := os.WriteFile(path, disk, 0o600); err != nil {
		t.Fatal(err)
	}
	waitForSerial(t, path, marker)
}

// waitForSerial boots the disk in QEMU with a BIOS and returns when the marker
// is on the serial console.
func waitForSerial(t *testing.T, disk, marker string) {
	t.Helper()
	const tool = "qemu-system-x86_64"
	convertertest.Need(t, tool, "qemu-system-x86")
	ctx, cancel := context.WithTimeout(t.Context(), bootTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, tool, "-accel", "tcg", "-m", "128", "-nodefaults", "-display", "none",
		"-serial", "stdio", "-drive", "file="+disk+",format=raw,if=virtio,snapshot=on")
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
}
