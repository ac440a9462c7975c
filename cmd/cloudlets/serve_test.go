package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestServeKeepsWhatItHas(t *testing.T) {
	data := t.TempDir()
	rootfs := writeTar(t, bootableRootfs(t))
	s := startServer(t, data)
	d := ok(t, "push", rootfs, s.ref("golden/small:1"))
	artifact := ok(t, "render", s.ref("golden/small:1"))
	s.stop(t)
	if s.status != nil && !strings.Contains(s.status.Error(), strconv.Itoa(exitInterrupted)) {
		t.Errorf("the registry has ended with %v:\n%s", s.status, s.logged())
	}
	s = startServer(t, data)
	out := filepath.Join(t.TempDir(), "out.tar")
	if got := ok(t, "pull", s.ref("golden/small:1"), "-o", out); got != d {
		t.Errorf("the image is now %s, want %s", got, d)
	}
	same(t, out, rootfs)
	ok(t, "pull", s.ref("golden/small@"+artifact), "-o", out)
	tool(t, "qemu-img", "check", out)
}

func TestSecondRegistryOnTheSameDataIsRefused(t *testing.T) {
	s := newServer(t)
	fails(t, exitFailed, []string{"in use by another process", s.data}, "serve", "--listen", "127.0.0.1:0", "--data", s.data)
	ok(t, "ls", s.host)
	s.kill()
	startServer(t, s.data)
}

// crashesVariable says how often each of the crash tests kills something.
const crashesVariable = "CLOUDLETS_CRASHES"

func crashes(t testing.TB) int {
	t.Helper()
	if n, err := strconv.Atoi(os.Getenv(crashesVariable)); err == nil {
		return n
	}
	if testing.Short() {
		return 4
	}
	return 10
}

// crashed is a registry that is killed, and what it has acknowledged.
type crashed struct {
	server *server
	rootfs map[string]string // tar by reference without the registry
}

// killAt runs a command and kills it, or the registry, after a while.
func (c *crashed) killAt(t testing.TB, after time.Duration, victim string, args ...string) (acknowledged bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	cmd := command(ctx, args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(after, func() {
		if victim == "client" {
			_ = cmd.Process.Kill() // it may be done
			return
		}
		c.server.kill()
	})
	err := cmd.Wait()
	if timer.Stop() {
		return err == nil
	}
	if victim == "server" {
		<-c.server.ended
		c.server = startServer(t, c.server.data)
	}
	return err == nil
}

// check pulls all that was acknowledged.
func (c *crashed) check(t testing.TB) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "out.tar")
	for name, rootfs := range c.rootfs {
		ok(t, "pull", "-q", c.server.ref(name), "-o", out)
		same(t, out, rootfs)
	}
}

// lose throws the database away and has it rebuilt.
func (c *crashed) lose(t testing.TB) {
	t.Helper()
	c.server.stop(t)
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(filepath.Join(c.server.data, "metadata.sqlite"+suffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
	}
	fails(t, 1, []string{"fsck --rebuild"}, "gc", "--data", c.server.data)
	t.Log(ok(t, "fsck", "--rebuild", "--data", c.server.data))
	fails(t, 1, []string{"not empty"}, "fsck", "--rebuild", "--data", c.server.data)
	ok(t, "fsck", "--data", c.server.data)
	c.server = startServer(t, c.server.data)
}

// versions returns tars that share most of their files.
func versions(t testing.TB, n int) []string {
	t.Helper()
	base := bootableRootfs(t)
	var tars []string
	for i := range n {
		changed := regular("./var/lib/changed", text(uint64(7000+i), 3<<20))
		tars = append(tars, writeTar(t, append(base[:len(base):len(base)], changed)))
	}
	return tars
}

// TestPushSurvivesKill kills the registry and clients in the middle of pushes.
// The next push succeeds, and what was acknowledged stays.
func TestPushSurvivesKill(t *testing.T) {
	c := &crashed{server: newServer(t), rootfs: map[string]string{}}
	tars := versions(t, 5)
	acknowledged := 0
	for i := range crashes(t) {
		victim := []string{"server", "client"}[i%2]
		name := fmt.Sprintf("golden/small-%d:%d", i%3, i)
		rootfs := tars[i%len(tars)]
		if c.killAt(t, rand.N(600*time.Millisecond), victim, "push", "-q", rootfs, c.server.ref(name)) {
			acknowledged++
			c.rootfs[name] = rootfs
		}
		next := fmt.Sprintf("golden/small-%d:next", i%3)
		ok(t, "push", "-q", rootfs, c.server.ref(next))
		c.rootfs[next] = rootfs
	}
	c.check(t)
	c.lose(t)
	c.check(t)
	t.Logf("%d of the pushes were faster than the kill", acknowledged)
}

// TestRenderSurvivesKill does the same to renders.
func TestRenderSurvivesKill(t *testing.T) {
	tars := versions(t, 2)
	c := &crashed{server: newServer(t), rootfs: map[string]string{"golden/small:1": tars[0]}}
	ok(t, "push", tars[0], c.server.ref("golden/small:1"))
	sizes := []string{"512M", "1G"}
	reference := newServer(t)
	ok(t, "push", tars[0], reference.ref("golden/small:1"))
	out := filepath.Join(t.TempDir(), "disk.qcow2")
	for i := range crashes(t) {
		// Every render is another: what is done is not done again.
		arg := []string{"--format", "raw", "--size", sizes[i%2], "--append", fmt.Sprintf("round=%d", i)}
		render := append([]string{"render", "-q", c.server.ref("golden/small:1")}, arg...)
		c.killAt(t, rand.N(800*time.Millisecond), []string{"server", "client"}[i%2], render...)
		render[2] = c.server.ref("golden/small:1")
		got := ok(t, render...)
		if i%5 == 0 {
			if want := ok(t, append([]string{"render", "-q", reference.ref("golden/small:1")}, arg...)...); got != want {
				t.Errorf("after a kill the artifact is %s, want %s", got, want)
			}
		}
	}
	ok(t, "render", c.server.ref("golden/small:1"), "--format", "qcow2", "-o", out)
	tool(t, "qemu-img", "check", out)
	c.check(t)
	c.lose(t)
	c.check(t)
}
