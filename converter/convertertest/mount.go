package convertertest

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// Mount mounts a filesystem read-only with this machine's kernel and returns
// where. Where the machine cannot mount such a filesystem — the test does not
// run as root, or the kernel lacks it or loop devices — the test is skipped:
// unlike a tool, that cannot be installed.
func Mount(t *testing.T, path, filesystem string) string {
	t.Helper()
	if err := canMount(filesystem); err != nil {
		t.Skipf("this machine cannot mount %s: %v", filesystem, err)
	}
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", filesystem, "-o", "loop,ro", path, dir).CombinedOutput(); err != nil {
		t.Fatalf("mount %s: %v\n%s", filesystem, err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("umount %s: %v\n%s", dir, err, out)
		}
	})
	return dir
}

func canMount(filesystem string) error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("it takes root")
	}
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		return err
	}
	known, err := os.ReadFile("/proc/filesystems")
	if err != nil {
		return err
	}
	if !slices.Contains(strings.Fields(string(known)), filesystem) {
		return fmt.Errorf("its kernel has no %s", filesystem)
	}
	return nil
}
