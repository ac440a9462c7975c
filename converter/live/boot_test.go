package live_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/converter/live"
	"github.com/cloudlets/cloudlets/image"
	"github.com/cloudlets/cloudlets/provider/qemu"
)

// bootTimeout only bounds a hang: a login is there after half a minute.
const bootTimeout = 10 * time.Minute

// GRUB has found the volume where its menu is on the console.
func TestBIOSBootsToTheMenu(t *testing.T) {
	convertertest.Need(t, "qemu-system-x86_64", "qemu-system-x86")
	iso := mustPlan(t, rootfs().With(files{liveBoot: "x"}).With(biosGRUB(t)), live.Options{}).write(t)
	for name, m := range map[string]qemu.Machine{"CD": {CD: true}, "disk": {}} {
		t.Run(name, func(t *testing.T) {
			m.Until = "Linux 6.12"
			mustShow(t, iso, m)
		})
	}
}

// mustShow boots a volume until the console shows what is waited for.
func mustShow(t *testing.T, iso string, m qemu.Machine) {
	t.Helper()
	var console bytes.Buffer
	m.Disk, m.Format, m.Accel, m.CPUs = iso, "raw", qemu.AccelTCG, 2
	m.Console, m.Notify = &console, func(string) {}
	ctx, cancel := context.WithTimeout(t.Context(), bootTimeout)
	defer cancel()
	start := time.Now()
	if err := m.Run(ctx); err != nil {
		t.Fatalf("%v; the console shows:\n%s", err, console.Bytes())
	}
	t.Logf("%q after %s", m.Until, time.Since(start).Round(time.Second))
}

// A Debian with live-boot boots from a CD and from a disk, with both firmwares.
// From the menu on, a disk with UEFI is as the others are.
func TestDebianBootsToALogin(t *testing.T) {
	if testing.Short() {
		t.Skip("boots a whole system several times")
	}
	const path = "../../.cache/debian-live.tar"
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("this test needs the root filesystem that `make debian` makes: %v", err)
	}
	blobs := make(convertertest.Blobs)
	tree, err := image.Merge([]image.Layer{{Digest: blobs.Add(data), Tar: bytes.NewReader(data), Size: int64(len(data))}})
	if err != nil {
		t.Fatal(err)
	}
	volume, report, err := live.Plan(t.Context(), tree, blobs, live.Options{Seed: "sha256:test"})
	if err != nil {
		t.Fatal(err)
	}
	if report.System != "live-boot" || report.UEFI == "" || report.BIOS == "" {
		t.Fatalf("report %+v", report)
	}
	iso := filepath.Join(t.TempDir(), "live.iso")
	convertertest.WriteFile(t, volume, blobs, iso)
	for _, test := range []struct {
		name string
		qemu.Machine
	}{
		{"CD, BIOS", qemu.Machine{CD: true, Firmware: qemu.BIOS, Until: "login:"}},
		{"CD, UEFI", qemu.Machine{CD: true, Firmware: qemu.UEFI, Until: "login:"}},
		{"disk, BIOS", qemu.Machine{Firmware: qemu.BIOS, Until: "login:"}},
		{"disk, UEFI", qemu.Machine{Firmware: qemu.UEFI, Until: "Linux 6.1."}},
	} {
		t.Run(test.name, func(t *testing.T) {
			mustShow(t, iso, test.Machine)
		})
	}
}
