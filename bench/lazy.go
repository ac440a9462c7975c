package main

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// The line of the lazy boots.
const (
	lineRoundTrip = 20 * time.Millisecond
	lineRate      = 100e6 // bits a second
)

// bootRounds is how often a boot is measured: it takes long, and varies little.
const bootRounds = 3

// lazyBoot measures boots to the login prompt of an image that is not here: how
// many bytes are fetched, and how long it takes over a long line, against
// fetching all, converting and booting. Until a trace is pushed, what a boot reads
// is guessed.
func lazyBoot(ctx context.Context, s settings) error {
	srv, err := startServer(ctx, s, "lazy")
	if err != nil {
		return err
	}
	if _, err := srv.cloudlets(ctx, "push", s.tar, srv.ref("golden/debian:12")); err != nil {
		return err
	}
	kernel, ramdisk, err := bootFiles(s.tar, s.work)
	if err != nil {
		return err
	}
	near, err := srv.bootLazily(ctx, srv.process.address, "--record", filepath.Join(s.work, "boot.trace"))
	if err != nil {
		return err
	}
	share("lazy boot to `login:`: bytes fetched beyond kernel and ramdisk", "the image, compressed",
		near.Fetched.Bytes-kernel.size-ramdisk.size, near.Size, "≤ 15 %")
	long, err := newLine(ctx, srv.process.address, lineRoundTrip, lineRate)
	if err != nil {
		return err
	}
	boot := func(options ...string) func(int) error {
		return func(int) error {
			_, err := srv.bootLazily(ctx, long.address(), options...)
			return err
		}
	}
	rounds := min(bootRounds, s.rounds)
	sides, err := alternate(rounds, nil, boot(), boot("--direct=false"), func(int) error { return peerBoot(ctx, s, long.address(), kernel, ramdisk) })
	if err != nil {
		return err
	}
	const against = "`skopeo copy` + `zstd -d` + `tar x` + `mke2fs -d` + `sfdisk` + `qemu-img convert` + boot with the kernel beside it"
	row("lazy boot to `login:` at 20 ms and 100 Mbit/s", against, sides[0], sides[2], "≥ 2×")
	row("the same by the disk's bootloader", against, sides[1], sides[2], "")
	if _, err := srv.cloudlets(ctx, "trace", "push", filepath.Join(s.work, "boot.trace"), srv.ref("golden/debian:12")); err != nil {
		return err
	}
	traced, err := alternate(rounds, nil, boot())
	if err != nil {
		return err
	}
	row("the same with the trace of an earlier boot", against, traced[0], sides[2], "")
	return errors.Join(long.stop(), srv.stop())
}

// lazyResult is what a lazy boot says of itself.
type lazyResult struct {
	Size    int64
	Fetched struct{ Bytes, Requests int64 }
}

// bootLazily boots the image to the login prompt, through an address.
func (s *server) bootLazily(ctx context.Context, address string, options ...string) (lazyResult, error) {
	args := append([]string{"-q", "boot", "--lazy", address + "/golden/debian:12", "--accel", "tcg", "--until", "login:", "--json"}, options...)
	out, err := quietly(ctx, s.binary, args...)
	if err != nil {
		return lazyResult{}, err
	}
	var r lazyResult
	return r, json.Unmarshal([]byte(out), &r)
}

// peerBoot fetches the image whole, makes a qcow2 of it, and boots that.
func peerBoot(ctx context.Context, s settings, address string, kernel, ramdisk bootFile) error {
	fetch := fmt.Sprintf(`
rm -rf fetched
skopeo copy -q --src-tls-verify=false docker://%s/golden/debian:12 dir:fetched
layer=$(python3 -c 'import json; print(json.load(open("fetched/manifest.json"))["layers"][0]["digest"].split(":")[1])')
zstd -q -d -f fetched/$layer -o fetched.tar`, address)
	if err := script(ctx, s.work, fetch); err != nil {
		return err
	}
	if err := script(ctx, s.work, fmt.Sprintf(peerRender, filepath.Join(s.work, "fetched.tar"))); err != nil {
		return err
	}
	return untilLogin(exec.CommandContext(ctx, "qemu-system-x86_64", "-accel", "tcg", "-m", "1024", "-smp", "2", "-display", "none", "-serial", "stdio", "-monitor", "none",
		"-device", "virtio-rng-pci", "-nic", "user,model=virtio-net-pci", "-drive", "if=virtio,format=qcow2,file="+filepath.Join(s.work, "peer/disk.qcow2"),
		"-kernel", kernel.path, "-initrd", ramdisk.path, "-append", "root=/dev/vda3 rw console=ttyS0"))
}

// untilLogin runs a node until its console asks who logs in, which is not the end
// of a line.
func untilLogin(node *exec.Cmd) error {
	console, err := node.StdoutPipe()
	if err != nil {
		return err
	}
	if err := node.Start(); err != nil {
		return fmt.Errorf("boot a node: %w", err)
	}
	var said []byte
	for piece := make([]byte, 4096); !bytes.Contains(said, []byte("login:")); {
		n, err := console.Read(piece)
		if err != nil {
			return errors.Join(fmt.Errorf("the node has not come to login: %w", err), node.Wait())
		}
		said = append(said, piece[:n]...)
	}
	err = node.Process.Kill()
	_ = node.Wait() // it was killed
	return err
}

// bootFile is a kernel or a ramdisk.
type bootFile struct {
	path string
	size int64
}

// bootFiles takes the kernel and the ramdisk out of a tar.
func bootFiles(rootfs, dir string) (kernel, ramdisk bootFile, err error) {
	f, err := os.Open(rootfs)
	if err != nil {
		return kernel, ramdisk, err
	}
	defer f.Close()
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return kernel, ramdisk, err
		}
		file := &kernel
		name := strings.TrimPrefix(h.Name, "./")
		switch {
		case h.Typeflag == tar.TypeReg && strings.HasPrefix(name, "boot/vmlinuz-"):
		case h.Typeflag == tar.TypeReg && strings.HasPrefix(name, "boot/initrd.img-"):
			file = &ramdisk
		default:
			continue
		}
		*file = bootFile{filepath.Join(dir, filepath.Base(name)), h.Size}
		if err := writeFile(file.path, r); err != nil {
			return kernel, ramdisk, err
		}
	}
	if kernel.size == 0 || ramdisk.size == 0 {
		err = fmt.Errorf("%s has no kernel and ramdisk in /boot", rootfs)
	}
	return kernel, ramdisk, err
}

func writeFile(path string, content io.Reader) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	return errors.Join(err, f.Close())
}
