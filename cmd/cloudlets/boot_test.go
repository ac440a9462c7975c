package main

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cloudlets/cloudlets/api"
)

// bootTimeout only bounds a hang.
const bootTimeout = 5 * time.Minute

// bootArgs are the arguments that boot an image in QEMU without KVM.
func bootArgs(image string, options ...string) []string {
	return append([]string{"boot", "-q", image, "--accel", "tcg", "--cpus", "1", "--timeout", bootTimeout.String()}, options...)
}

func TestDebianBootsByDigestWithUEFI(t *testing.T) {
	s, d := debianServer(t)
	find(t, "qemu-system-x86_64")
	t.Parallel()
	r := cloudlets(t, bootArgs(s.ref("golden/debian@"+d), "--firmware", "uefi", "--until", "login:")...)
	if r.code != 0 || !strings.Contains(r.stdout, "login:") {
		t.Errorf("exit code %d\n%s\n%s", r.code, r.stdout, r.stderr)
	}
}

// TestDebianBootsFromEveryDisk boots what providers take, through QEMU's own
// drivers.
func TestDebianBootsFromEveryDisk(t *testing.T) {
	s, d := debianServer(t)
	find(t, "qemu-system-x86_64")
	for _, format := range []string{"kvm", "vmdk", "virtualbox/disk.vdi", "vhd", "azure", "vhdx"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			format, file, _ := strings.Cut(format, "/")
			artifact := ok(t, "render", "-q", s.ref("golden/debian@"+d), "--format", format)
			args := bootArgs(s.ref("golden/debian@"+artifact), "--until", "login:")
			if file != "" {
				args = append(args, "--disk", fetchFile(t, s, d, format, file))
			}
			r := cloudlets(t, args...)
			if r.code != 0 || !strings.Contains(r.stdout, "login:") {
				t.Errorf("exit code %d\n%s\n%s", r.code, r.stdout, r.stderr)
			}
		})
	}
}

// fetchFile renders Debian and returns the path of one file of the output.
func fetchFile(t *testing.T, s *server, d, format, name string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	for _, f := range renderOf(t, s.ref("golden/debian@"+d), "--format", format).Files {
		if f.Name == name {
			download(t, "http://"+s.host+f.Content, path)
			return path
		}
	}
	t.Fatalf("format %s has no file %s", format, name)
	return ""
}

// renderOf renders an image and returns what the registry says of it.
func renderOf(t *testing.T, image string, options ...string) (render api.Render) {
	t.Helper()
	out := ok(t, append([]string{"render", "-q", "--json", image}, options...)...)
	if err := json.Unmarshal([]byte(out), &render); err != nil {
		t.Fatal(err)
	}
	return render
}

// TestDebianBootsOverTheNetwork boots a machine without a disk.
func TestDebianBootsOverTheNetwork(t *testing.T) {
	s, d := debianServer(t)
	find(t, "qemu-system-x86_64")
	t.Parallel()
	script := renderOf(t, s.ref("golden/debian@"+d), "--format", "pxe").Files[0]
	bootOverNetwork(t, s, "chain ${base}"+script.Content)
}

// TestALiveDebianFetchesItsRootFilesystem boots a machine without a disk, whose
// initrd has a live system.
func TestALiveDebianFetchesItsRootFilesystem(t *testing.T) {
	if testing.Short() {
		t.Skip("a whole Debian takes its time")
	}
	find(t, "qemu-system-x86_64")
	s := newServer(t)
	ok(t, "push", "-q", cached(t, "debian-live.tar"), s.ref("live:1"))
	files := renderOf(t, s.ref("live:1"), "--format", "pxe").Files
	var names []string
	for _, f := range files {
		names = append(names, f.Name)
	}
	if want := []string{"boot.ipxe", "vmlinuz", "initrd", "root.squashfs"}; !slices.Equal(names, want) {
		t.Fatalf("the files are %q, want %q", names, want)
	}
	folder := path.Dir(files[0].Content)
	bootOverNetwork(t, s, "set base ${base}"+folder+"/\nchain ${base}boot.ipxe")
}

// bootOverNetwork boots a machine whose network card fetches a script that goes on
// with another: "${base}" in that is the URL of the server.
func bootOverNetwork(t *testing.T, s *server, script string) {
	t.Helper()
	_, port, _ := strings.Cut(s.host, ":")
	dir := t.TempDir()
	// Names longer than this do not fit into an answer of DHCP.
	mustWrite(t, filepath.Join(dir, "chain.ipxe"), "#!ipxe\nset base http://10.0.2.2:"+port+"\n"+script+"\n")
	ctx, cancel := context.WithTimeout(t.Context(), 2*bootTimeout) // The root filesystem is fetched first.
	defer cancel()
	cmd := exec.CommandContext(ctx, "qemu-system-x86_64", "-accel", "tcg", "-m", "2048", "-display", "none", "-monitor", "none",
		"-serial", "stdio", "-device", "virtio-rng-pci", "-boot", "n", "-nic", "user,model=virtio-net-pci,bootfile=chain.ipxe,tftp="+dir)
	console := &waitWriter{text: "login:", seen: make(chan struct{})}
	cmd.Stdout = console
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-console.seen:
	case <-ctx.Done():
		t.Errorf("no login prompt:\n%s", console.String())
	}
	cancel()
	_ = cmd.Wait() // It was killed.
}

// TestDebianGrowsAndSurvivesKill boots a disk that was made larger than it was
// rendered, kills its QEMU and boots it again.
func TestDebianGrowsAndSurvivesKill(t *testing.T) {
	s, d := debianServer(t)
	find(t, "qemu-system-x86_64")
	t.Parallel()
	disk := filepath.Join(t.TempDir(), "disk.qcow2")
	ok(t, "render", s.ref("golden/debian@"+d), "--format", "qcow2", "-o", disk)
	rendered := sizesOf(t, disk)
	const size = 4 << 30
	tool(t, "qemu-img", "resize", "-q", disk, strconv.Itoa(size))

	killAfterLogin(t, bootArgs(s.ref("golden/debian@"+d), "--disk", disk))
	r := cloudlets(t, bootArgs(s.ref("golden/debian@"+d), "--disk", disk, "--until", "login:")...)
	if r.code != 0 || !strings.Contains(r.stdout, "login:") {
		t.Fatalf("the second boot: exit code %d\n%s\n%s", r.code, r.stdout, r.stderr)
	}
	grown := sizesOf(t, disk)
	if grown.partition < size-(size>>4) || grown.filesystem < size-(size>>4) {
		t.Errorf("rendered with %+v the root has %+v on a disk of %d bytes", rendered, grown, size)
	}
}

// killAfterLogin boots a node and kills its QEMU once it shows a login prompt.
func killAfterLogin(t testing.TB, args []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), bootTimeout)
	defer cancel()
	cmd := command(ctx, args...)
	keyboard, err := cmd.StdinPipe() // one that nobody types on
	if err != nil {
		t.Fatal(err)
	}
	defer keyboard.Close()
	console := &waitWriter{text: "login:", seen: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = console, console
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case <-console.seen:
	case err := <-ended:
		t.Fatalf("the node has ended: %v\n%s", err, console)
	}
	qemu := childOf(t, cmd.Process.Pid)
	if err := syscall.Kill(qemu, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil {
		t.Error("cloudlets has not noticed that QEMU was killed")
	}
}

// waitWriter keeps what is written, and says when a text has been.
type waitWriter struct {
	text string
	seen chan struct{}

	mu      sync.Mutex
	content strings.Builder
	closed  bool
}

func (w *waitWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.content.Write(p)
	if !w.closed && strings.Contains(w.content.String(), w.text) {
		close(w.seen)
		w.closed = true
	}
	return len(p), nil
}

func (w *waitWriter) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.content.String()
}

// childOf returns the only child of a process.
func childOf(t testing.TB, pid int) int {
	t.Helper()
	tasks, err := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/children")
	if err != nil {
		t.Fatal(err)
	}
	for _, task := range tasks {
		for _, child := range strings.Fields(mustRead(t, task)) {
			return int(atoi(t, child))
		}
	}
	t.Fatalf("process %d has no child", pid)
	return 0
}

// sizes are those of the root, in bytes.
type sizes struct{ partition, filesystem int64 }

var (
	dumpBlocks    = regexp.MustCompile(`Block count: +(\d+)`)
	dumpBlockSize = regexp.MustCompile(`Block size: +(\d+)`)
)

// sizesOf checks a disk that may have been booted, and measures its root.
func sizesOf(t testing.TB, disk string) sizes {
	t.Helper()
	raw := filepath.Join(t.TempDir(), "disk.raw")
	tool(t, "qemu-img", "convert", "-O", "raw", disk, raw)
	tool(t, "sgdisk", "-v", raw)
	// e2fsck replays no journal of a filesystem inside of a larger file.
	root := cutOut(t, raw, partition(t, raw, rootNumber))
	// The journal of a node that was killed is replayed first; then nothing may
	// be left to repair.
	tool(t, "e2fsck", "-p", "-E", "journal_only", root)
	tool(t, "e2fsck", "-fn", root)
	dump := tool(t, "dumpe2fs", "-h", root)
	blocks, size := dumpBlocks.FindStringSubmatch(dump), dumpBlockSize.FindStringSubmatch(dump)
	if blocks == nil || size == nil {
		t.Fatalf("dumpe2fs says %s", dump)
	}
	return sizes{partition(t, raw, rootNumber).size, atoi(t, blocks[1]) * atoi(t, size[1])}
}

// TestBootOfDerivedArtifactRunsQEMUWithItsDisk boots with a QEMU that only says
// how it was started.
func TestBootOfDerivedArtifactRunsQEMUWithItsDisk(t *testing.T) {
	s := newServer(t)
	ok(t, "push", writeTar(t, bootableRootfs(t)), s.ref("a:1"))
	artifact := ok(t, "render", s.ref("a:1"), "--format", "raw", tight)
	fake := t.TempDir()
	script := mustWrite(t, filepath.Join(fake, "qemu-system-x86_64"), "#!/bin/sh\necho \"$@\"\necho login:\nexec sleep 60\n")
	if err := os.Chmod(script, 0o755); err != nil {
		t.Fatal(err)
	}
	disk := filepath.Join(t.TempDir(), "disk,1.raw")
	cmd := command(t.Context(), "boot", "-q", s.ref("a@"+artifact), "--accel", "tcg", "--until", "login:", "--disk", disk, "--memory", "333")
	cmd.Env = append(cmd.Env, "PATH="+fake+":"+os.Getenv("PATH"))
	cmd.WaitDelay = time.Second
	r := finish(t, cmd)
	if r.code != 0 || !strings.Contains(r.stdout, "-m 333") || !strings.Contains(r.stdout, "format=raw") ||
		!strings.Contains(r.stdout, strings.ReplaceAll(disk, ",", ",,")) {
		t.Errorf("exit code %d:\n%s%s", r.code, r.stdout, r.stderr)
	}
	want := filepath.Join(t.TempDir(), "want.raw")
	ok(t, "pull", s.ref("a@"+artifact), "-o", want)
	same(t, disk, want)
}

func TestBootSaysWhenQEMUIsMissing(t *testing.T) {
	s := newServer(t)
	ok(t, "push", writeTar(t, bootableRootfs(t)), s.ref("a:1"))
	cmd := exec.Command(binary, "boot", "-q", s.ref("a:1"), "--accel", "tcg")
	cmd.Env = []string{"PATH=/nonexistent", "HOME=/nonexistent", "TMPDIR=" + t.TempDir()}
	cmd.Stdin = io.LimitReader(os.Stdin, 0)
	finish(t, cmd).mustFail(t, exitFailed, "Debian package qemu-system-x86")
}
