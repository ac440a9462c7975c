package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// process is a server under test, ours or another's.
type process struct {
	name    string // for tables
	address string
	cmd     *exec.Cmd
}

// startProcess starts a server and waits until it answers.
func startProcess(ctx context.Context, s settings, name, address string, env []string, command ...string) (*process, error) {
	return startProcessOn(ctx, s, "tcp", name, address, env, command...)
}

// startProcessOn is startProcess for a server on a network.
func startProcessOn(ctx context.Context, s settings, network, name, address string, env []string, command ...string) (*process, error) {
	p := &process{name: name, address: address, cmd: exec.CommandContext(ctx, command[0], command[1:]...)}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // it ends with us, however we end
	log, err := os.Create(filepath.Join(s.work, filepath.Base(command[0])+".log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w: `make bench` installs it", name, err)
	}
	for range 500 {
		conn, err := new(net.Dialer).DialContext(ctx, network, address)
		if err == nil {
			return p, conn.Close()
		}
		time.Sleep(20 * time.Millisecond)
	}
	return nil, errors.Join(fmt.Errorf("%s does not answer on %s: see %s", name, address, log.Name()), p.stop())
}

// stop ends the server, which may take that for a failure.
func (p *process) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	err := p.cmd.Wait()
	var failed *exec.ExitError
	if errors.As(err, &failed) {
		return nil
	}
	return err
}

// url returns the URL of a path.
func (p *process) url(path string) string { return "http://" + p.address + path }

// stopAll ends several servers.
func stopAll(processes []*process) error {
	var errs []error
	for _, p := range processes {
		errs = append(errs, p.stop())
	}
	return errors.Join(errs...)
}
