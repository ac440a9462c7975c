package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cloudlets/cloudlets/converter/lint"
)

func TestLintSaysWhatIsMissing(t *testing.T) {
	rootfs := t.TempDir()
	for path, content := range map[string]string{"sbin/init": "", "bin/sh": "", "etc/passwd": "root:x:0:0::/root:/bin/sh\n", "etc/machine-id": "0123\n", ".cloudlet/manifest": `{"volatile": ["/etc/machine-id"]}`} {
		path = filepath.Join(rootfs, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if text := ok(t, "lint", rootfs, "--format", "wsl"); !strings.Contains(text, "boots:         wsl") {
		t.Errorf("it says\n%s", text)
	}
	// Without a provider nothing is asked for, and nothing fails.
	all := ok(t, "lint", rootfs)
	for _, text := range []string{"error: the image has no kernel (kvm xen ", "boots:         lxc wsl\n", "does not boot: kvm "} {
		if !strings.Contains(all+"\n", text) {
			t.Errorf("%q is not in\n%s", text, all)
		}
	}
	if strings.Contains(all, "machine-id") {
		t.Error("a volatile file is found fault with")
	}
	r := cloudlets(t, "lint", rootfs, "--format", "kvm", "--json")
	var report lint.Report
	if err := json.Unmarshal([]byte(r.stdout), &report); err != nil || r.code != exitFailed || len(report.Providers) != 1 || report.Providers[0].Findings[0].Check != "kernel" {
		t.Errorf("exit code %d, %v\n%s", r.code, err, r.stdout)
	}
	fails(t, exitUsage, []string{`unknown provider "hal"`, "expected one of kvm"}, "lint", rootfs, "--format", "hal")
}
