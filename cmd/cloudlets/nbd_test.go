package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

// nbdServer is cloudlets nbd serve in a process of its own.
type nbdServer struct {
	uri  string
	stop func() // ends it and waits
	kill func() // ends it at once
}

// serveDisk serves an image over NBD until the test ends.
func serveDisk(t testing.TB, image string, options ...string) nbdServer {
	t.Helper()
	cmd := command(context.Background(), append([]string{"nbd", "serve", image}, options...)...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	uri, err := bufio.NewReader(stdout).ReadString('\n')
	stopped := false
	s := nbdServer{uri: strings.TrimSpace(uri), stop: func() {
		if stopped {
			return
		}
		stopped = true
		cmd.Process.Signal(syscall.SIGTERM)
		if err := cmd.Wait(); err != nil {
			t.Errorf("nbd serve: %v\n%s", err, stderr.String())
		}
	}}
	s.kill = func() {
		stopped = true
		if err := errors.Join(cmd.Process.Kill(), cmd.Wait()); err == nil {
			t.Error("nbd serve has ended before it was killed")
		}
	}
	if err != nil {
		s.stop()
		t.Fatalf("nbd serve has said nothing: %v", err)
	}
	t.Cleanup(s.stop)
	return s
}

func socket(t testing.TB) string { return "unix:" + filepath.Join(t.TempDir(), "nbd.sock") }

func TestAnImageIsServedOverNBD(t *testing.T) {
	s, d := debianServer(t)
	find(t, "qemu-img")
	image := s.ref("golden/debian@" + d)
	want := filepath.Join(t.TempDir(), "disk.raw")
	ok(t, "raw", image, "--size", "2G", "-o", want)
	cache := t.TempDir()
	disk := serveDisk(t, image, "--size", "2G", "--listen", socket(t), "--cache", cache)
	tool(t, "qemu-img", "compare", "-f", "raw", "-F", "raw", want, disk.uri)
	cloudlets(t, "nbd", "serve", image, "--listen", socket(t), "--cache", cache).mustFail(t, exitFailed, "used by another process")
	disk.stop()

	// What is kept is there again, and another form of the disk needs no more.
	again := serveDisk(t, image, "--size", "2G", "--listen", socket(t), "--cache", cache, "--format", "qcow2")
	tool(t, "qemu-img", "compare", "-f", "raw", "-F", "qcow2", want, again.uri)
}

func TestNBDServesWhatIsNotInARegistryOfOurs(t *testing.T) {
	find(t, "qemu-img")
	tar := writeTar(t, bootableRootfs(t))
	want := filepath.Join(t.TempDir(), "disk.raw")
	ok(t, "raw", tar, "-o", want)
	disk := serveDisk(t, tar, "--listen", "127.0.0.1:0")
	tool(t, "qemu-img", "compare", "-f", "raw", "-F", "raw", want, disk.uri)
}

// registries returns a registry of ours and one that knows nothing of frames.
func registries(t *testing.T) map[string]string {
	return map[string]string{"ours": newServer(t).host, "docker-registry": foreignRegistry(t)}
}

func TestAPushedDiskIsServedInPieces(t *testing.T) {
	find(t, "nbdinfo")
	dir := t.TempDir()
	raw, packed := filepath.Join(dir, "disk.raw"), filepath.Join(dir, "disk.qcow2")
	diskWithData(t, raw)
	tool(t, "qemu-img", "convert", "-O", "qcow2", raw, packed)
	for name, host := range registries(t) {
		t.Run(name, func(t *testing.T) {
			ref := host + "/disks:1"
			ok(t, "push", packed, ref, "--type", "disk")
			cache := t.TempDir()
			options := []string{"--listen", socket(t), "--cache", cache, "--readahead", "0"}
			disk := serveDisk(t, ref, options...)
			if size := tool(t, "nbdinfo", "--size", disk.uri); strings.TrimSpace(size) != strconv.Itoa(diskSize) {
				t.Errorf("the disk has %s bytes", size)
			}
			tool(t, "qemu-io", "-r", "-f", "raw", "-c", "read 2M 64k", disk.uri)
			if n := kept(t, cache); n == 0 || n > 512<<10 {
				t.Errorf("%d bytes are kept after 64 KiB were read", n)
			}
			copied := filepath.Join(t.TempDir(), "copied.raw")
			tool(t, "nbdcopy", "--connections=4", disk.uri, copied)
			same(t, copied, raw)
			disk.kill()

			// What was kept is there again; what is damaged is not taken.
			damage(t, cache)
			again := serveDisk(t, ref, append(options, "--format", "vhdx")...)
			tool(t, "qemu-img", "compare", "-f", "raw", "-F", "vhdx", raw, again.uri)
		})
	}
}

// kept returns how many bytes of content a cache holds.
func kept(t testing.TB, cache string) int64 {
	t.Helper()
	return occupied(t, contentFile(t, cache))
}

// contentFile returns the file of the one layer in a cache.
func contentFile(t testing.TB, cache string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(cache, "*.content"))
	if err != nil || len(found) != 1 {
		t.Fatal(found, err)
	}
	return found[0]
}

// damage changes a byte of the content in a cache, and cuts its journal short.
func damage(t testing.TB, cache string) {
	t.Helper()
	content := contentFile(t, cache)
	writeAt(t, content, 2<<20+100, "\x00")
	journal := strings.TrimSuffix(content, ".content") + ".frames"
	info, err := os.Stat(journal)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(journal, info.Size()-7); err != nil {
		t.Fatal(err)
	}
}

func TestAnImageInAnyRegistryIsServedInPieces(t *testing.T) {
	find(t, "qemu-img")
	rootfs := append(bootableRootfs(t), dir("./opt", 0o755))
	for i := range 500 {
		rootfs = append(rootfs, regular(fmt.Sprintf("./opt/file%d", i), text(uint64(i), 40_000)))
	}
	tar := writeTar(t, rootfs)
	for name, host := range registries(t) {
		t.Run(name, func(t *testing.T) {
			ref := host + "/image:1"
			ok(t, "push", tar, ref)
			want := filepath.Join(t.TempDir(), "disk.raw")
			ok(t, "raw", ref, "-o", want)
			cache := t.TempDir()
			disk := serveDisk(t, ref, "--listen", socket(t), "--cache", cache)
			if n := kept(t, cache); n > occupied(t, tar)/2 { // bootloaders are read to plan the disk
				t.Errorf("%d bytes are kept before anything was read", n)
			}
			tool(t, "qemu-img", "compare", "-f", "raw", "-F", "raw", want, disk.uri)
		})
	}
}

func TestAPartOfAnImageIsRenderedHereFromItsPieces(t *testing.T) {
	s := newServer(t)
	rootfs := append(bootableRootfs(t), dir("./opt", 0o755), regular("./opt/large", text(7, 20<<20)))
	ok(t, "push", writeTar(t, rootfs), s.ref("image:1"))
	kernel := filepath.Join(t.TempDir(), "kernel")
	proxy, sent := countingProxy(t, s.host)
	ok(t, "render", "--here", proxy+"/image:1", "--type", "kernel", "--format", "raw", "-o", kernel)
	if n, whole := sent(), layerOf(t, s.ref("image:1")).Size; n == 0 || n > whole/4 {
		t.Errorf("%d bytes of %d were sent for a kernel", n, whole)
	}
}

// countingProxy stands before a registry, and tells how many bytes of answers have
// passed.
func countingProxy(t *testing.T, host string) (address string, sent func() int64) {
	t.Helper()
	var n atomic.Int64
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: host})
	proxy.ModifyResponse = func(resp *http.Response) error {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.TeeReader(resp.Body, countTo{&n}), resp.Body}
		return nil
	}
	server := httptest.NewServer(proxy)
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://"), n.Load
}

// countTo counts what is written.
type countTo struct{ n *atomic.Int64 }

func (c countTo) Write(p []byte) (int, error) {
	c.n.Add(int64(len(p)))
	return len(p), nil
}

func TestTracesArePushedAndFound(t *testing.T) {
	s, d := debianServer(t)
	find(t, "qemu-io")
	image := s.ref("golden/debian@" + d)
	trace := filepath.Join(t.TempDir(), "boot.trace")
	disk := serveDisk(t, image, "--listen", socket(t), "--record", trace)
	tool(t, "qemu-io", "-r", "-f", "raw", "-c", "read 200M 30M", disk.uri)
	disk.stop()
	var recorded struct{ Ranges [][3]int64 }
	if err := json.Unmarshal([]byte(mustRead(t, trace)), &recorded); err != nil || len(recorded.Ranges) == 0 {
		t.Fatal(recorded, err)
	}
	artifact := strings.TrimSpace(ok(t, "trace", "push", trace, image))
	if out := ok(t, "inspect", image); !strings.Contains(out, artifact) {
		t.Errorf("the image does not show its trace %s:\n%s", artifact, out)
	}
	// A server that finds it fetches the content before anybody reads.
	cache := t.TempDir()
	serveDisk(t, image, "--listen", socket(t), "--cache", cache)
	var want int64
	for _, r := range recorded.Ranges {
		want += r[2]
	}
	eventually(t, "the content of the trace is held", func() bool {
		found, _ := filepath.Glob(filepath.Join(cache, "*.content"))
		if len(found) != 1 {
			return false
		}
		info, err := os.Stat(found[0])
		return err == nil && info.Sys().(*syscall.Stat_t).Blocks*512 > want
	})
	fails(t, exitNotFound, nil, "trace", "push", trace, s.ref("golden/debian:none"))
	mustFailTrace := mustWrite(t, filepath.Join(t.TempDir(), "bad.trace"), "{")
	fails(t, exitFailed, []string{"not a valid boot trace"}, "trace", "push", mustFailTrace, image)
}

func TestDebianBootsLazily(t *testing.T) {
	if testing.Short() {
		t.Skip("boots a node")
	}
	s, d := debianServer(t)
	find(t, "qemu-system-x86_64")
	t.Parallel()
	boot := bootArgs(s.ref("golden/debian@"+d), "--lazy", "--until", "login:", "--json")
	overlay := filepath.Join(t.TempDir(), "node.qcow2")
	kept := append(slices.Clone(boot), "--overlay", overlay)
	for name, boot := range map[string][]string{"with its kernel": boot, "by its bootloader": kept} {
		t.Run(name, func(t *testing.T) {
			r := cloudlets(t, boot...)
			if r.code != 0 || !strings.Contains(r.stderr, "login:") {
				t.Fatalf("exit code %d\n%s\n%s", r.code, r.stdout, r.stderr)
			}
			var told struct {
				Size    int64
				Fetched struct{ Bytes int64 }
			}
			if err := json.Unmarshal([]byte(r.stdout), &told); err != nil {
				t.Fatalf("%v in %q", err, r.stdout)
			}
			if told.Fetched.Bytes == 0 || told.Fetched.Bytes > told.Size/2 {
				t.Errorf("fetched %d bytes of %d", told.Fetched.Bytes, told.Size)
			}
		})
	}
	tool(t, "qemu-img", "check", "-f", "qcow2", overlay)
	cloudlets(t, append(kept, "--size", "9G")...).mustFail(t, exitFailed, "made for another disk")
}

func TestBootFlagsThatDoNotGoTogether(t *testing.T) {
	fails(t, exitUsage, []string{"--overlay", "goes with --lazy"}, "boot", "localhost:1/a/b:1", "--overlay", "x")
	fails(t, exitUsage, []string{"--disk", "does not go with --lazy"}, "boot", "localhost:1/a/b:1", "--lazy", "--disk", "x")
}

// nbdAddress is what a registry logs once it serves disks.
var nbdAddress = regexp.MustCompile(`msg="serving disks" nbd=(\S+)`)

// attached returns what clients call an export of a registry by.
func attached(t testing.TB, s *server, scheme, name string) string {
	t.Helper()
	found := nbdAddress.FindStringSubmatch(s.logged())
	if found == nil {
		t.Fatalf("the registry serves no disks:\n%s", s.logged())
	}
	return scheme + "://" + found[1] + "/" + name
}

func TestTheRegistryServesItsDisks(t *testing.T) {
	find(t, "qemu-img")
	find(t, "nbdinfo")
	s := startServer(t, t.TempDir(), "sh", "-c", `exec "$@" --nbd-listen 127.0.0.1:0`, "sh")
	image := s.ref("golden/small:1")
	d := strings.TrimSpace(ok(t, "push", writeTar(t, bootableRootfs(t)), image))
	raw, qcow := filepath.Join(t.TempDir(), "disk.raw"), filepath.Join(t.TempDir(), "disk.qcow2")
	ok(t, "raw", image, "-o", raw)
	derived := strings.TrimSpace(ok(t, "render", image, "--format", "qcow2", "-o", qcow))
	for _, c := range []struct{ name, format string }{
		{"golden/small:1", "raw"}, {"golden/small@" + d, "raw"}, {"golden/small@" + derived, "qcow2"},
	} {
		tool(t, "qemu-img", "compare", "-f", "raw", "-F", c.format, raw, attached(t, s, "nbd", c.name))
	}
	if out := tool(t, "nbdinfo", "--list", "--no-content", attached(t, s, "nbd", "")); !strings.Contains(out, "golden/small@"+d) {
		t.Errorf("the list has no image:\n%s", out)
	}
	ok(t, "push", writeTar(t, smallRootfs()), s.ref("golden/plain:1"))
	if out, err := try(t, "qemu-img", "info", attached(t, s, "nbd", "golden/plain:1")); err == nil || !strings.Contains(out+err.Error(), "no kernel") {
		t.Errorf("a client does not learn why a disk is none: %v\n%s", err, out)
	}
	for _, name := range []string{"golden/small:2", "golden/other:1", "golden/small", ":", "@", "golden/small@sha256:0"} {
		if out, err := try(t, "nbdinfo", attached(t, s, "nbd", name)); err == nil {
			t.Errorf("%s can be attached:\n%s", name, out)
		}
	}
}

func TestNothingIsFetchedForAnAddressThatIsNone(t *testing.T) {
	fails(t, exitFailed, []string{"listen", "nowhere"}, "nbd", "serve", "localhost:1/a/b:1", "--listen", "nowhere")
}

func TestTheRegistryServesWhatWasPushedAsADisk(t *testing.T) {
	find(t, "qemu-img")
	s := startServer(t, t.TempDir(), "sh", "-c", `exec "$@" --nbd-listen 127.0.0.1:0`, "sh")
	raw, iso := filepath.Join(t.TempDir(), "disk.raw"), filepath.Join(t.TempDir(), "files.iso")
	diskWithData(t, raw)
	ok(t, "render", writeTar(t, bootableRootfs(t)), "--format", "iso-data", "-o", iso)
	ok(t, "push", raw, s.ref("disks/data:1"), "--type", "disk")
	ok(t, "push", iso, s.ref("isos/files:1"))
	for name, want := range map[string]string{"disks/data:1": raw, "isos/files:1": iso} {
		tool(t, "qemu-img", "compare", "-f", "raw", "-F", "raw", want, attached(t, s, "nbd", name))
	}
}

func TestTheRegistryServesDisksToWhoMayPull(t *testing.T) {
	find(t, "nbdinfo")
	ca := newAuthority(t)
	cert, key := ca.issue(t, "registry")
	s := startServer(t, t.TempDir(), "sh", "-c", `exec "$@" --nbd-listen 127.0.0.1:0 --tls-cert '`+cert+`' --tls-key '`+key+`' --tls-client-ca '`+ca.file+`'`, "sh")
	mine, myKey := ca.issue(t, "node")
	ok(t, "push", writeTar(t, bootableRootfs(t)), s.ref("golden/small:1"), "--ca-file", ca.file, "--cert", mine, "--key", myKey)

	credentials := t.TempDir()
	mustWrite(t, filepath.Join(credentials, "ca-cert.pem"), mustRead(t, ca.file))
	at := func() string { return attached(t, s, "nbds", "golden/small:1") + "?tls-certificates=" + credentials }
	if out, err := try(t, "nbdinfo", "--no-content", at()); err == nil {
		t.Errorf("a client without a certificate attaches the disk:\n%s", out)
	}
	if out, err := try(t, "nbdinfo", "--no-content", attached(t, s, "nbd", "golden/small:1")); err == nil {
		t.Errorf("a client without TLS attaches the disk:\n%s", out)
	}
	mustWrite(t, filepath.Join(credentials, "client-cert.pem"), mustRead(t, mine))
	mustWrite(t, filepath.Join(credentials, "client-key.pem"), mustRead(t, myKey))
	tool(t, "nbdinfo", "--no-content", at())
}
