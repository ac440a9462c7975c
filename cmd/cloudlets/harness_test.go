package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// binaryVariable names a binary to test instead of one that is built, such as
// one with the race detector.
const binaryVariable = "CLOUDLETS_TEST_BINARY"

// commandTimeout only bounds a hang.
const commandTimeout = 5 * time.Minute

// binary is the command under test.
var binary string

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(testMain(m))
}

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "cloudlets-test-*")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if binary = os.Getenv(binaryVariable); binary == "" {
		binary = filepath.Join(dir, "cloudlets")
		build := exec.Command("go", "build", "-o", binary, ".")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
			return 1
		}
	}
	defer stopDebian()
	return m.Run()
}

// result is what became of a command.
type result struct {
	stdout, stderr string
	code           int
}

// command returns the cloudlets command with arguments, ready to start. Nothing
// of the home directory of whoever tests is read.
func command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = append(os.Environ(), "HOME=/nonexistent", "DOCKER_CONFIG=/nonexistent")
	return cmd
}

// cloudlets runs a command to its end.
func cloudlets(t testing.TB, args ...string) result {
	t.Helper()
	return cloudletsFrom(t, "", args...)
}

// cloudletsFrom runs a command with a standard input.
func cloudletsFrom(t testing.TB, stdin string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	cmd := command(ctx, args...)
	cmd.Stdin = strings.NewReader(stdin)
	return finish(t, cmd)
}

// finish runs a command that was prepared to its end.
func finish(t testing.TB, cmd *exec.Cmd) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s: %v", cmd, err)
	}
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// ok runs a command that must succeed and returns what it prints.
func ok(t testing.TB, args ...string) string {
	t.Helper()
	r := cloudlets(t, args...)
	if r.code != 0 {
		t.Fatalf("cloudlets %s: exit code %d\n%s", strings.Join(args, " "), r.code, r.stderr)
	}
	return strings.TrimSuffix(r.stdout, "\n")
}

// fails runs a command that must fail with a code and a message that holds all
// of the texts.
func fails(t testing.TB, code int, texts []string, args ...string) {
	t.Helper()
	cloudlets(t, args...).mustFail(t, code, texts...)
}

func (r result) mustFail(t testing.TB, code int, texts ...string) {
	t.Helper()
	if r.code != code {
		t.Errorf("got exit code %d, want %d:\n%s%s", r.code, code, r.stdout, r.stderr)
	}
	if r.stdout != "" {
		t.Errorf("a failure printed a result: %q", r.stdout)
	}
	for _, text := range texts {
		if !strings.Contains(r.stderr, text) {
			t.Errorf("got the message\n%s\nwant one with %q", r.stderr, text)
		}
	}
	if strings.Contains(r.stderr, "goroutine ") {
		t.Errorf("the command has crashed:\n%s", r.stderr)
	}
}

// debianPackages says which Debian package has a tool.
var debianPackages = map[string]string{
	"buildah": "buildah", "busybox": "busybox-static", "bzip2": "bzip2", "debugfs": "e2fsprogs", "partx": "util-linux", "setfattr": "attr", "sfdisk": "fdisk", "docker-registry": "docker-registry", "dumpe2fs": "e2fsprogs", "e2fsck": "e2fsprogs",
	"fsck.vfat": "dosfstools", "mke2fs": "e2fsprogs", "mkfs.ext4": "e2fsprogs", "mkfs.xfs": "xfsprogs", "xorriso": "xorriso", "gzip": "gzip", "mcopy": "mtools", "podman": "podman", "qemu-img": "qemu-utils", "runc": "runc",
	"qemu-system-x86_64": "qemu-system-x86", "sgdisk": "gdisk", "openssl": "openssl", "skopeo": "skopeo", "tar": "tar", "unshare": "util-linux",
	"xz": "xz-utils", "zstd": "zstd",
}

// find returns the path of a tool, also of an administrator's.
func find(t testing.TB, name string) string {
	t.Helper()
	for _, candidate := range []string{name, "/usr/sbin/" + name, "/sbin/" + name} {
		if path, err := exec.LookPath(candidate); err == nil {
			return path
		}
	}
	t.Fatalf("this test needs %s: install the Debian package %s", name, debianPackages[name])
	return ""
}

// tool runs a tool that must succeed and returns what it prints.
func tool(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := try(t, name, args...)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return out
}

// try runs a tool. The error holds all that it prints.
func try(t testing.TB, name string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, find(t, name), args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8", "TZ=UTC", "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s %s: %w\n%s%s", name, strings.Join(args, " "), err, &stdout, &stderr)
	}
	return stdout.String(), nil
}

// same fails the test unless two files have the same content.
func same(t testing.TB, got, want string) {
	t.Helper()
	if _, err := try(t, "cmp", got, want); err != nil {
		t.Errorf("%s and %s differ: %v", got, want, err)
	}
}

func mustWrite(t testing.TB, path, content string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func mustRead(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
