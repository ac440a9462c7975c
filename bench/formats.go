package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// diskFormat is a format under our name and under QEMU's.
type diskFormat struct{ ours, qemu string }

// planned are the formats that cost us tables alone.
var planned = []diskFormat{
	{"qcow2", "qcow2"}, {"vmdk", "vmdk"}, {"vhd", "vpc"}, {"vhdx", "vhdx"}, {"vdi", "vdi"}, {"qed", "qed"},
}

// diskSize is that of the disk that is converted, in bytes: Debian has some 450
// MB in it.
const diskSize = 1536 << 20

// makeDisk makes the raw disk that is converted.
func makeDisk(ctx context.Context, s settings) (string, error) {
	path := filepath.Join(s.work, "disk.raw")
	_, err := run1(ctx, s.binary, "-q", "raw", s.tar, "--size", fmt.Sprint(diskSize), "-o", path)
	return path, err
}

// formats measures conversions in a registry that holds the disk.
func formats(ctx context.Context, s settings) error {
	disk, err := makeDisk(ctx, s)
	if err != nil {
		return err
	}
	srv, err := startServer(ctx, s, "formats")
	if err != nil {
		return err
	}
	image, err := srv.cloudlets(ctx, "push", disk, srv.ref("disks/debian:12"))
	if err != nil {
		return err
	}
	// The first render waits until the content was verified.
	if _, _, err := srv.request(ctx, "disks/debian", map[string]any{"image": image, "format": "raw"}); err != nil {
		return err
	}
	for i, f := range planned {
		if err := srv.format(ctx, f, image, disk, i); err != nil {
			return fmt.Errorf("%s: %w", f.ours, err)
		}
	}
	if err := srv.eight(ctx, image, disk); err != nil {
		return err
	}
	return srv.stop()
}

// format measures one format. No two renders may be the same, so each disk is a
// MiB larger than the one before.
func (s *server) format(ctx context.Context, f diskFormat, image, disk string, number int) error {
	out := filepath.Join(s.work, "peer."+f.qemu)
	defer os.Remove(out)
	var readable, known, converted, hashed []time.Duration
	for round := range s.rounds {
		size := diskSize + int64(1+number*s.rounds+round)<<20
		a, b, err := s.request(ctx, "disks/debian", map[string]any{"image": image, "format": f.ours, "size": size})
		if err != nil {
			return err
		}
		c, err := timed(func() error {
			_, err := run1(ctx, "qemu-img", "convert", "-f", "raw", "-O", f.qemu, disk, out)
			return err
		})
		if err != nil {
			return err
		}
		d, err := timed(func() error {
			_, err := run1(ctx, "openssl", "sha256", out)
			return err
		})
		if err != nil {
			return err
		}
		readable, known, converted, hashed = append(readable, a), append(known, b), append(converted, c), append(hashed, c+d)
	}
	fmt.Printf("| raw → %s: readable | `qemu-img convert` | %.0f ms | %.0f ms | %s | ≥ 20×, ≤ 50 ms |\n", f.ours,
		median(readable).Seconds()*1000, median(converted).Seconds()*1000, times(median(converted).Seconds()/median(readable).Seconds()))
	row("raw → "+f.ours+": digest known", "the same + `openssl sha256`", median(known), median(hashed), "≥ 2×")
	return nil
}

// request asks for a render and returns how long it took until its end could be
// read, and until its digest was known.
func (s *server) request(ctx context.Context, repository string, ask map[string]any) (readable, known time.Duration, err error) {
	body, err := json.Marshal(ask)
	if err != nil {
		return 0, 0, err
	}
	begun := time.Now()
	var state struct {
		Key, State, Content, Error string
		Size                       int64
	}
	if err := s.call(ctx, http.MethodPost, "/v2/"+repository+"/_cloudlets/renders", body, &state); err != nil {
		return 0, 0, err
	}
	if err := readAt(ctx, s.url(state.Content), state.Size-65536, 4096); err != nil {
		return 0, 0, err
	}
	readable = time.Since(begun)
	for state.State == "planned" || state.State == "planning" {
		if err := s.call(ctx, http.MethodGet, "/v2/"+repository+"/_cloudlets/renders/"+state.Key+"?wait=10s", nil, &state); err != nil {
			return 0, 0, err
		}
	}
	if state.State != "done" {
		return 0, 0, fmt.Errorf("the render is %s: %s", state.State, state.Error)
	}
	return readable, time.Since(begun), nil
}

// call asks the registry for JSON.
func (s *server) call(ctx context.Context, method, path string, body []byte, v any) error {
	req, err := http.NewRequestWithContext(ctx, method, s.url(path), bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= http.StatusMultipleChoices {
		return fmt.Errorf("%s %s: %s", method, path, resp.Status)
	}
	return json.NewDecoder(resp.Body).Decode(v)
}

// eight measures what eight formats of an image occupy.
func (s *server) eight(ctx context.Context, image, disk string) error {
	before, err := s.stored()
	if err != nil {
		return err
	}
	for _, f := range []string{"qcow2", "vmdk", "vhd", "vhdx", "vdi", "qed", "vhd-fixed", "parallels"} {
		if _, _, err := s.request(ctx, "disks/debian", map[string]any{"image": image, "format": f}); err != nil {
			return fmt.Errorf("%s: %w", f, err)
		}
	}
	after, err := s.stored()
	if err != nil {
		return err
	}
	info, err := os.Stat(disk)
	if err != nil {
		return err
	}
	share("disk used by 8 formats, beyond the image", "the content of one file", after-before, info.Sys().(*syscall.Stat_t).Blocks*512, "≤ 5 %")
	return nil
}

// conversion is a command that writes a file.
type conversion struct {
	output  string
	command []string
}

// conversions measures commands against each other. When one begins, its output is not
// there, and nothing is left to be written to disk: it would wait for what the one
// before has left.
func conversions(ctx context.Context, rounds int, sides ...conversion) ([]time.Duration, error) {
	var runs []func(int) error
	for _, c := range sides {
		runs = append(runs, func(int) error {
			_, err := run1(ctx, c.command[0], c.command[1:]...)
			return err
		})
	}
	settle := func(n int) error {
		err := os.RemoveAll(sides[n%len(sides)].output)
		syscall.Sync()
		return err
	}
	return alternate(rounds, settle, runs...)
}

// written measures conversions to a file on this machine.
func written(ctx context.Context, s settings) error {
	disk, err := makeDisk(ctx, s)
	if err != nil {
		return err
	}
	ours, theirs := filepath.Join(s.work, "ours"), filepath.Join(s.work, "theirs")
	defer os.Remove(ours)
	defer os.Remove(theirs)
	for _, f := range planned {
		took, err := conversions(ctx, s.rounds,
			conversion{ours, []string{s.binary, "-q", "render", disk, "--format", f.ours, "-o", ours}},
			conversion{theirs, []string{"qemu-img", "convert", "-f", "raw", "-O", f.qemu, disk, theirs}},
			conversion{theirs, []string{"sh", "-c", `qemu-img convert -f raw -O "$1" "$2" "$3" && sync "$3"`, "sh", f.qemu, disk, theirs}})
		if err != nil {
			return fmt.Errorf("%s: %w", f.ours, err)
		}
		row("raw → "+f.ours+": written to a file, fsynced", "`qemu-img convert`, not fsynced", took[0], took[1], "≥ 1×")
		row("the same", "`qemu-img convert` and `sync` of its file", took[0], took[2], "")
	}
	return nil
}

// compressed measures conversions that really compress.
func compressed(ctx context.Context, s settings) error {
	disk, err := makeDisk(ctx, s)
	if err != nil {
		return err
	}
	ours, theirs := filepath.Join(s.work, "ours"), filepath.Join(s.work, "theirs")
	defer os.Remove(ours)
	defer os.Remove(theirs)
	for _, f := range []struct {
		format, compress string
		peer             []string
	}{
		{"qcow2", "zlib", []string{"-O", "qcow2"}},
		{"qcow2", "zstd", []string{"-O", "qcow2", "-o", "compression_type=zstd"}},
		{"vmdk-stream", "zlib", []string{"-O", "vmdk", "-o", "subformat=streamOptimized"}},
	} {
		took, err := conversions(ctx, min(s.rounds, 3),
			conversion{ours, []string{s.binary, "-q", "render", disk, "--format", f.format, "--compress=" + f.compress, "-o", ours}},
			conversion{theirs, slices.Concat([]string{"qemu-img", "convert", "-c", "-f", "raw"}, f.peer, []string{disk, theirs})})
		if err != nil {
			return fmt.Errorf("%s: %w", f.format, err)
		}
		name := fmt.Sprintf("raw → %s, %s", f.format, f.compress)
		row(name, "`qemu-img convert -c`", took[0], took[1], "≥ 3×")
		sizes := [2]int64{}
		for i, path := range []string{ours, theirs} {
			info, err := os.Stat(path)
			if err != nil {
				return err
			}
			sizes[i] = info.Size()
		}
		share(name+": size", "the same", sizes[0], sizes[1], "100 ± 3 %")
	}
	return nil
}

// bootable measures what makes a disk of a tar.
func bootable(ctx context.Context, s settings) error {
	ours, theirs := filepath.Join(s.work, "ours"), filepath.Join(s.work, "theirs")
	defer os.Remove(ours)
	defer os.Remove(theirs)
	took, err := alternate(min(s.rounds, 3), nil,
		func(int) error {
			_, err := run1(ctx, s.binary, "-q", "raw", s.tar, "-o", ours)
			return err
		},
		func(int) error {
			return script(ctx, s.work, fmt.Sprintf("LIBGUESTFS_BACKEND=direct LIBGUESTFS_BACKEND_SETTINGS=force_tcg virt-make-fs --format=raw --type=ext4 --size=+512M %s %s", s.tar, theirs))
		})
	if err != nil {
		return err
	}
	row("tar → bootable disk, written", "`virt-make-fs`, which makes no disk that boots", took[0], took[1], "≥ 20×")
	return nil
}

// huge measures the memory that a sparse disk of 100 GiB takes.
func huge(ctx context.Context, s settings) error {
	disk := filepath.Join(s.work, "huge.raw")
	err := script(ctx, s.work, `
truncate -s 100G huge.raw
for at in 0 1000 50000 99000; do dd if=/dev/urandom of=huge.raw bs=1M count=20 seek=$at conv=notrunc status=none; done`)
	if err != nil {
		return err
	}
	defer os.Remove(disk)
	out := filepath.Join(s.work, "ours")
	defer os.Remove(out)
	for _, args := range [][]string{
		{"raw"}, {"qcow2"}, {"qcow2", "--compress"}, {"vmdk"}, {"vmdk-stream"}, {"vmdk-stream", "--compress"}, {"vhd"}, {"vhd-fixed"},
		{"vhdx"}, {"vdi"}, {"qed"}, {"qcow"}, {"parallels"}, {"raw.zst"},
	} {
		cmd := exec.CommandContext(ctx, s.binary, append([]string{"-q", "render", disk, "--type", "disk", "-o", out, "--format"}, args...)...)
		cmd.Stderr = os.Stderr
		begun := time.Now()
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("%v: %w", args, err)
		}
		peak := cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10
		fmt.Printf("| peak memory, 100 GiB sparse → %s | | %.0f MB (%.1f s) | | | ≤ 200 MB |\n", args, float64(peak)/1e6, time.Since(begun).Seconds())
	}
	return nil
}
