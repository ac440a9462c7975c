package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// pullBlob measures a blob as long as the root filesystem over loopback.
func pullBlob(ctx context.Context, s settings) (err error) {
	srv, err := startServer(ctx, s, "blob")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, srv.stop()) }()
	digest, err := digestOfFile(s.tar)
	if err != nil {
		return err
	}
	if err := srv.uploadFile(ctx, "golden/blob", digest, s.tar); err != nil {
		return err
	}
	nginx, files, err := startNginx(ctx, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, nginx.stop()) }()
	if err := script(ctx, files, "cp "+s.tar+" blob && chmod a+r blob"); err != nil {
		return err
	}
	get := func(url string) func(int) error {
		return func(int) error { return script(ctx, s.work, "curl -sf -o /dev/null "+url) }
	}
	took, err := alternate(3*s.rounds, nil, get(srv.url("/v2/golden/blob/blobs/"+digest)), get(nginx.url("/blob")))
	if err != nil {
		return err
	}
	row("blob GET of 430 MB over loopback", "nginx, same file", took[0], took[1], "≥ 1×")
	return nil
}

// pushBlob measures one blob as long as the root filesystem, from POST to the
// answer of the PUT. Ours is fsynced by then; distribution's is where the kernel
// keeps it, so it is measured once more with an fsync of its files.
func pushBlob(ctx context.Context, s settings) (err error) {
	srv, err := startServer(ctx, s, "pushblob")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, srv.stop()) }()
	peer, err := startDistribution(ctx, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, peer.stop()) }()
	source := filepath.Join(s.work, "push.blob")
	if err := script(ctx, s.work, "cp "+s.tar+" push.blob"); err != nil {
		return err
	}
	var digest string
	// Every round is another blob, and begins with nothing left to be written.
	prepare := func(round int) (err error) {
		if err := stamp(source, uint64(round)); err != nil {
			return err
		}
		digest, err = digestOfFile(source)
		unix.Sync()
		return err
	}
	to := func(p *process) func(int) error {
		return func(int) error { return p.uploadFile(ctx, "golden/blob", digest, source) }
	}
	synced := func(round int) error {
		if err := to(peer)(round); err != nil {
			return err
		}
		return script(ctx, s.work, "find registry -type f -newer push.blob -exec sync -d {} +")
	}
	took, err := alternate(s.rounds, prepare, to(srv.process), to(peer))
	if err != nil {
		return err
	}
	row("blob push of 430 MB, fsynced", "distribution, not fsynced", took[0], took[1], "≥ 2×")
	again := func(round int) error { return prepare(2*s.rounds + round) }
	if took, err = alternate(s.rounds, again, to(srv.process), synced); err != nil {
		return err
	}
	row("the same", "distribution and `sync -d` of its file", took[0], took[1], "")
	return nil
}

// stamp makes a file another one.
func stamp(path string, n uint64) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(binary.BigEndian.AppendUint64(nil, n), 0)
	return errors.Join(err, f.Close())
}

const (
	crowd     = 50      // concurrent pulls
	crowdBlob = 1 << 30 // bytes
)

// manyPulls measures the memory of the registry while many pull a large blob at
// once.
func manyPulls(ctx context.Context, s settings) (err error) {
	path := filepath.Join(s.work, "gigabyte")
	if err := script(ctx, s.work, fmt.Sprintf("truncate -s %d gigabyte", crowdBlob)); err != nil {
		return err
	}
	digest, err := digestOfFile(path)
	if err != nil {
		return err
	}
	srv, err := startServer(ctx, s, "crowd")
	if err != nil {
		return err
	}
	if err := errors.Join(srv.uploadFile(ctx, repository, digest, path), srv.stop()); err != nil {
		return err
	}
	// A new process has not pushed.
	if srv, err = startServer(ctx, s, "crowd"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, srv.stop()) }()
	url := srv.url("/v2/" + repository + "/blobs/" + digest)
	took, err := timed(func() error { return pullAtOnce(ctx, url, crowd) })
	if err != nil {
		return err
	}
	peak, err := srv.peakMemory()
	if err != nil {
		return err
	}
	fmt.Printf("| peak memory of the registry: %d concurrent pulls of 1 GiB (%.1f GB/s) | | %.0f MB | | | ≤ 100 MB |\n",
		crowd, crowd*crowdBlob/1e9/took.Round(time.Millisecond).Seconds(), float64(peak)/1e6)
	return nil
}

// pullAtOnce pulls a blob over n connections at once.
func pullAtOnce(ctx context.Context, url string, n int) error {
	group, ctx := errgroup.WithContext(ctx)
	for range n {
		group.Go(func() error {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
			if err != nil {
				return err
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			got, err := io.Copy(io.Discard, resp.Body)
			if err == nil && got != crowdBlob {
				err = fmt.Errorf("pulled %d bytes of %d", got, crowdBlob)
			}
			return err
		})
	}
	return group.Wait()
}
