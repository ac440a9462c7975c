package main

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// containers is a place for images and containers of a test's own.
type containers struct {
	t     testing.TB
	store []string // flags
}

func newContainers(t testing.TB) *containers {
	t.Helper()
	dir := t.TempDir()
	return &containers{t: t, store: []string{"--root", filepath.Join(dir, "root"), "--runroot", filepath.Join(dir, "run"), "--storage-driver", "vfs"}}
}

// podmanFlags run containers where there is no systemd.
var podmanFlags = []string{"--runtime", "runc", "--cgroup-manager", "cgroupfs", "--events-backend", "none"}

func (c *containers) buildah(args ...string) string {
	c.t.Helper()
	return strings.TrimSpace(tool(c.t, "buildah", slices.Concat(c.store, args)...))
}

func (c *containers) podman(args ...string) string {
	c.t.Helper()
	find(c.t, "runc")
	return tool(c.t, "podman", slices.Concat(c.store, podmanFlags, args)...)
}

// run runs an image as far as a machine without privileges allows.
func (c *containers) run(args ...string) string {
	c.t.Helper()
	return c.podman(append([]string{"run", "--network", "none", "--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"}, args...)...)
}

// TestContainerServes builds the image of the registry and runs it.
func TestContainerServes(t *testing.T) {
	find(t, "buildah")
	c := newContainers(t)
	ctx, cancel := context.WithTimeout(t.Context(), commandTimeout)
	defer cancel()
	const image = "localhost/cloudlets:test"
	build := exec.CommandContext(ctx, "../../scripts/container", c.store...)
	build.Env = append(os.Environ(), "CLOUDLETS_BINARY="+binary, "CLOUDLETS_IMAGE="+image)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the image: %v\n%s", err, out)
	}
	if got := c.run("--rm", image, "--version"); !strings.HasPrefix(got, "cloudlets version") {
		t.Errorf("the container says %q", got)
	}
	id := strings.TrimSpace(c.run("-d", image))
	t.Cleanup(func() { c.podman("rm", "-f", id) })
	inside := slices.Concat(c.store, podmanFlags, []string{"exec", id, "/cloudlets", "ls", "127.0.0.1:5000"})
	eventually(t, "the container serves", func() bool {
		_, err := try(t, "podman", inside...)
		return err == nil
	})
}
