package disk_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/converter/disk"
)

// marker is said by the last file that the menu reads. To get there, the
// bootloader was found by the firmware, the menu by the bootloader, and the
// root filesystem by the menu.
const marker = "the menu has found its root filesystem"

func bootableRootfs() files {
	return rootfs().With(files{"boot/grub/custom.cfg": "echo " + marker + "\n"})
}

func TestBIOSBootsToTheMenu(t *testing.T) {
	p := mustPlan(t, bootableRootfs(), biosGRUB(t), disk.Options{})
	convertertest.Boot(t, marker, "-drive", "file="+p.write(t)+",format=raw,if=virtio,snapshot=on")
}

func TestUEFIBootsToTheMenu(t *testing.T) {
	if testing.Short() {
		t.Skip("the firmware alone takes seconds")
	}
	p := mustPlan(t, bootableRootfs(), uefiGRUB(t), disk.Options{})
	convertertest.Boot(t, marker, append(firmware(t, "OVMF_CODE_4M.fd", "OVMF_VARS_4M.fd"),
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

// checkGRUBScript has GRUB's own parser look at a grub.cfg.
func checkGRUBScript(t *testing.T, script string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "grub.cfg")
	if err := os.WriteFile(path, []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	convertertest.Run(t, "grub-script-check", path)
}
