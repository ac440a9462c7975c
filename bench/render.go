package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// peerRender makes a qcow2 the way it is done without us. It needs root to keep
// owners, as mke2fs -d takes them from the files.
const peerRender = `
rm -rf peer && mkdir peer && cd peer
mkdir rootfs && tar xf %[1]s -C rootfs
truncate -s 1G root.ext4 && mke2fs -q -t ext4 -d rootfs root.ext4
truncate -s 1092M disk.raw
printf 'label: gpt\nstart=2048,size=2048,type=21686148-6449-6E6F-744E-656564454649\nsize=131072,type=uefi\ntype=linux\n' | sfdisk -q disk.raw
dd if=root.ext4 of=disk.raw bs=1M seek=66 conv=notrunc,sparse status=none
qemu-img convert -f raw -O qcow2 disk.raw disk.qcow2
`

// render measures a render: until the output can be read, and until its digest
// is known.
func render(ctx context.Context, s settings) error {
	srv, err := startServer(ctx, s, "render")
	if err != nil {
		return err
	}
	if _, err := srv.cloudlets(ctx, "push", s.tar, srv.ref("golden/debian:12")); err != nil {
		return err
	}
	var readable, known, peer, hashed []time.Duration
	var writtenBefore, written, size int64
	for round := range s.rounds {
		if writtenBefore, err = srv.written(); err != nil {
			return err
		}
		a, b, n, err := srv.render(ctx, "golden/debian:12", "--append", fmt.Sprintf("round=%d", round))
		if err != nil {
			return err
		}
		size = n
		if written, err = srv.written(); err != nil {
			return err
		}
		written -= writtenBefore
		c, err := timed(func() error { return script(ctx, s.work, fmt.Sprintf(peerRender, s.tar)) })
		if err != nil {
			return err
		}
		d, err := timed(func() error { return script(ctx, s.work, "sha256sum peer/disk.qcow2 >/dev/null") })
		if err != nil {
			return err
		}
		readable, known, peer, hashed = append(readable, a), append(known, b), append(peer, c), append(hashed, c+d)
	}
	row("render: readable at any offset", "`tar x` + `mke2fs -d` + `sfdisk` + `qemu-img convert`", median(readable), median(peer), "≥ 10×")
	row("render: digest known", "the same + `sha256sum`", median(known), median(hashed), "≥ 4×")
	share("render: bytes written to disk", "the size of the qcow2", written, size, "≤ 3 %")
	return srv.stop()
}

// render renders an image and returns how long it took until a read at the end of
// the output was answered, until the digest was known, and the size. No two
// rounds may have the same options, or the second would find what the first made.
func (s *server) render(ctx context.Context, image string, options ...string) (readable, known time.Duration, size int64, err error) {
	args := append([]string{"render", "--json", s.ref(image)}, options...)
	begun := time.Now()
	out, err := s.cloudlets(ctx, append(args, "--no-wait")...)
	if err != nil {
		return 0, 0, 0, err
	}
	var state struct {
		Size    int64  `json:"size"`
		Content string `json:"content"`
	}
	if err := json.Unmarshal([]byte(out), &state); err != nil {
		return 0, 0, 0, err
	}
	if err := readAt(ctx, s.url(state.Content), state.Size-65536, 4096); err != nil {
		return 0, 0, 0, err
	}
	readable = time.Since(begun)
	_, err = s.cloudlets(ctx, args...)
	return readable, time.Since(begun), state.Size, err
}

// readAt reads a range of a URL.
func readAt(ctx context.Context, url string, off, n int64) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", off, off+n-1))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	got, err := io.Copy(io.Discard, resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusPartialContent || got != n {
		return fmt.Errorf("range of %s: %s with %d bytes", url, resp.Status, got)
	}
	return nil
}

// sparse measures the memory that an image with 21 GiB of sparse files takes.
func sparse(ctx context.Context, s settings) error {
	tar := filepath.Join(s.work, "sparse.tar")
	err := script(ctx, s.work, fmt.Sprintf(`
cp %s sparse.tar
mkdir -p sparse/data
for i in 1 2 3; do truncate -s 7G sparse/data/disk$i; echo end >> sparse/data/disk$i; done
tar --sparse --append -f sparse.tar -C sparse ./data`, s.tar))
	if err != nil {
		return err
	}
	srv, err := startServer(ctx, s, "sparse")
	if err != nil {
		return err
	}
	if _, err := srv.cloudlets(ctx, "push", tar, srv.ref("golden/sparse:1")); err != nil {
		return err
	}
	if _, err := srv.cloudlets(ctx, "render", srv.ref("golden/sparse:1"), "--size", "24G"); err != nil {
		return err
	}
	peak, err := srv.peakMemory()
	if err != nil {
		return err
	}
	fmt.Printf("| peak memory of the registry: push and render with 21 GiB of sparse files | | %.0f MB | | | ≤ 300 MB |\n", float64(peak)/1e6)
	return errors.Join(srv.stop(), os.Remove(tar))
}
