package convertertest

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// bootTimeout only bounds a hang: what is waited for is there after a few seconds.
const bootTimeout = 3 * time.Minute

// Boot starts QEMU with arguments for its drives and what else the machine has,
// and returns what its serial console said until there was a line with the
// marker. The test fails if there was none.
func Boot(t *testing.T, marker string, args ...string) string {
	t.Helper()
	const tool = "qemu-system-x86_64"
	Need(t, tool, "qemu-system-x86")
	ctx, cancel := context.WithTimeout(t.Context(), bootTimeout)
	defer cancel()
	args = append([]string{"-accel", "tcg", "-m", "256", "-nodefaults", "-display", "none", "-serial", "stdio"}, args...)
	cmd := exec.CommandContext(ctx, tool, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err := errors.Join(err, cmd.Start()); err != nil {
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
