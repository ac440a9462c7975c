package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const nginxAddress = "127.0.0.1:5078"

const nginxConfig = `
daemon off;
pid %[1]s/nginx.pid;
error_log stderr crit;
events {}
http {
	access_log off;
	sendfile on;
	server { listen %[2]s; root %[1]s/www; }
}
`

// serveBlob measures a blob as long as the root filesystem over loopback.
func serveBlob(ctx context.Context, s settings) error {
	srv, err := startServer(ctx, s, "blob")
	if err != nil {
		return err
	}
	sum, err := run1(ctx, "sha256sum", s.tar)
	if err != nil {
		return err
	}
	digest := "sha256:" + strings.Fields(sum)[0]
	if err := srv.upload(ctx, "golden/blob", digest, s.tar); err != nil {
		return err
	}
	stop, err := startNginx(ctx, s)
	if err != nil {
		return err
	}
	get := func(url string) func(int) error {
		return func(int) error { return script(ctx, s.work, "curl -sf -o /dev/null "+url) }
	}
	ours, theirs, err := alternate(3*s.rounds, nil,
		get("http://"+s.address+"/v2/golden/blob/blobs/"+digest), get("http://"+nginxAddress+"/blob"))
	if err != nil {
		return err
	}
	row("blob GET over loopback", "nginx, same file", ours, theirs, "≥ 0.9×")
	return errors.Join(stop(), srv.stop())
}

// upload uploads a file as a blob.
func (s *server) upload(ctx context.Context, repository, digest, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	url := fmt.Sprintf("http://%s/v2/%s/blobs/uploads/?digest=%s", s.address, repository, digest)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, f)
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/octet-stream")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		return fmt.Errorf("upload %s: %s", path, resp.Status)
	}
	return nil
}

// startNginx serves the root filesystem's tar as /blob.
func startNginx(ctx context.Context, s settings) (stop func() error, err error) {
	dir := filepath.Join(s.work, "nginx")
	if err := os.MkdirAll(filepath.Join(dir, "www"), 0o755); err != nil {
		return nil, err
	}
	if err := script(ctx, dir, "cp "+s.tar+" www/blob && chmod -R a+rX . && chmod a+x "+s.work); err != nil {
		return nil, err
	}
	config := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, nginxConfig, dir, nginxAddress), 0o600); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "nginx", "-c", config)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	time.Sleep(500 * time.Millisecond) // until it listens
	return func() error {
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			return err
		}
		return cmd.Wait()
	}, nil
}
