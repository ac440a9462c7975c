package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

const (
	nginxAddress        = "127.0.0.1:5078"
	distributionAddress = "127.0.0.1:5079"
	debianAddress       = "127.0.0.1:5080"
)

// nginxConfig serves files, with as many workers as there are processors and no
// limit to what one connection may ask for.
const nginxConfig = `
daemon off;
worker_processes auto;
pid %[1]s/nginx.pid;
error_log stderr crit;
events {}
http {
	access_log off;
	sendfile on;
	keepalive_requests 100000000;
	server { listen %[2]s; root %[1]s/www; }
}
`

// startNginx serves the files in the directory that is returned.
func startNginx(ctx context.Context, s settings) (p *process, files string, err error) {
	dir := filepath.Join(s.work, "nginx")
	files = filepath.Join(dir, "www")
	if err := os.MkdirAll(files, 0o755); err != nil {
		return nil, "", err
	}
	if err := script(ctx, dir, "chmod -R a+rX . && chmod a+x "+s.work); err != nil {
		return nil, "", err
	}
	config := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(config, fmt.Appendf(nil, nginxConfig, dir, nginxAddress), 0o600); err != nil {
		return nil, "", err
	}
	p, err = startProcess(ctx, s, "nginx, static files", nginxAddress, nil, "nginx", "-c", config)
	return p, files, err
}

// distributionConfig is distribution's own example, without the log of every
// request: ours has none either, unless it is told to.
const distributionConfig = `
version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage:
  cache: {blobdescriptor: inmemory}
  filesystem: {rootdirectory: %s}
  delete: {enabled: true}
http: {addr: %q}
`

// startDistribution starts CNCF distribution, of the version that the Makefile
// names.
func startDistribution(ctx context.Context, s settings) (*process, error) {
	return startRegistry(ctx, s, "distribution", distributionAddress, "registry")
}

// startDebian starts the older one of Debian.
func startDebian(ctx context.Context, s settings) (*process, error) {
	return startRegistry(ctx, s, "Debian's docker-registry", debianAddress, "docker-registry")
}

func startRegistry(ctx context.Context, s settings, name, address, binary string) (*process, error) {
	config := filepath.Join(s.work, binary+".yml")
	data := filepath.Join(s.work, binary)
	if err := os.WriteFile(config, fmt.Appendf(nil, distributionConfig, data, address), 0o600); err != nil {
		return nil, err
	}
	return startProcess(ctx, s, name, address, []string{"OTEL_TRACES_EXPORTER=none"}, binary, "serve", config)
}
