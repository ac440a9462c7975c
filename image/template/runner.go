package template

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// executable is this process's program, also after its file was replaced.
const executable = "/proc/self/exe"

const (
	// maxReport bounds the message of a failure, in bytes.
	maxReport = 64 << 10
	// maxStderr is how much of what a dying child says is read, in bytes.
	maxStderr = 4 << 10
)

// DefaultProcesses is how many children a Runner has at once, if it is not told.
const DefaultProcesses = 4

// Runner renders templates in child processes. The zero value is ready. It can be
// used by several goroutines, and must not be copied after its first use.
type Runner struct {
	// Limits bounds each call of Render.
	Limits Limits
	// Processes is how many children there may be at once, [DefaultProcesses] if
	// it is zero. Further calls wait.
	Processes int

	once  sync.Once
	slots chan struct{}
}

// Render renders templates in their order, in one child process, and returns
// their bytes in that order. It fails as a whole: with an [*Error] if a template
// could not be rendered, with an error that is [ErrTooLarge] if there is too much
// to render, with the context's if that ends; any other error is not the
// templates' fault. No process is left when it returns.
func (r *Runner) Render(ctx context.Context, templates []Template, scope Scope) ([][]byte, error) {
	limits := r.Limits.withDefaults()
	object, err := scope.object()
	if err != nil {
		return nil, err
	}
	if err := limits.check(templates, object); err != nil {
		return nil, err
	}
	if len(templates) == 0 {
		return nil, nil
	}
	request, err := encodeJob(limits, object, templates)
	if err != nil {
		return nil, fmt.Errorf("encode the templates: %w", err)
	}
	if err := r.acquire(ctx); err != nil {
		return nil, err
	}
	defer r.release()
	c := child{templates: templates, limits: limits, secrets: scope.Secrets}
	return c.render(ctx, request)
}

func (r *Runner) acquire(ctx context.Context) error {
	r.once.Do(func() {
		setDefault(&r.Processes, DefaultProcesses)
		r.slots = make(chan struct{}, r.Processes)
	})
	select {
	case r.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for a process to render templates: %w", ctx.Err())
	}
}

func (r *Runner) release() { <-r.slots }

// child is a process that renders templates.
type child struct {
	templates []Template
	limits    Limits
	secrets   []string
	outputs   [][]byte
}

// render starts the process, reads its answers and ends it.
func (c *child) render(ctx context.Context, request []byte) ([][]byte, error) {
	running, kill := context.WithTimeoutCause(ctx, c.limits.Time+killDelay, ErrTime)
	defer kill()
	cmd, stderr := c.command(running, request)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("render templates: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start a process to render templates: %w", err)
	}
	readErr := c.read(stdout)
	cause := context.Cause(running)
	kill()
	_ = cmd.Wait() // How it ended matters only if it did not answer.
	switch {
	case readErr == nil:
		return c.outputs, nil
	case isFailure(readErr):
		return nil, readErr
	case ctx.Err() != nil:
		return nil, fmt.Errorf("render templates: %w", ctx.Err())
	case errors.Is(cause, ErrTime):
		return nil, c.exceeded(ErrTime)
	}
	return nil, c.death(cmd, stderr.bytes, readErr)
}

// command prepares the process: nothing of the environment, no files but pipes, a
// process group of its own that is killed when ctx ends.
func (c *child) command(ctx context.Context, request []byte) (*exec.Cmd, *head) {
	cmd := exec.CommandContext(ctx, executable, workerArgument)
	stderr := &head{limit: maxStderr}
	cmd.Env = []string{}
	cmd.Dir = "/"
	cmd.Stdin = bytes.NewReader(request)
	cmd.Stderr = stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	return cmd, stderr
}

// read reads an answer for each template. It trusts no length.
func (c *child) read(stdout io.Reader) error {
	room := c.limits.TotalOutput
	for range c.templates {
		kind, body, err := readMessage(stdout, max(maxReport, min(room, c.limits.Output)))
		switch {
		case err != nil:
			return err
		case kind == messageFailure:
			return c.failure(body)
		case kind != messageOutput:
			return fmt.Errorf("a message of kind %q", kind)
		}
		room -= len(body)
		c.outputs = append(c.outputs, body)
	}
	return nil
}

func (c *child) failure(body []byte) error {
	var r report
	if err := json.Unmarshal(body, &r); err != nil {
		return fmt.Errorf("a report of a failure: %w", err)
	}
	return r.failure(c.current(), c.secrets)
}

// current returns the path of the template that is being rendered.
func (c *child) current() string { return c.templates[len(c.outputs)].Path }

// exceeded is the failure of the template that is being rendered.
func (c *child) exceeded(limit error) error {
	failure := c.limits.exceeded(limit)
	failure.Path = c.current()
	return failure
}

// death tells from what a process left why it ended without an answer.
func (c *child) death(cmd *exec.Cmd, stderr []byte, readErr error) error {
	status, _ := cmd.ProcessState.Sys().(syscall.WaitStatus)
	ended := errors.Is(readErr, io.EOF) || errors.Is(readErr, io.ErrUnexpectedEOF)
	switch {
	case !ended: // It was killed for a wrong answer.
	case bytes.Contains(stderr, []byte("stack exceeds")):
		return c.exceeded(ErrDepth)
	case bytes.Contains(stderr, []byte("out of memory")), bytes.Contains(stderr, []byte("cannot allocate memory")):
		return c.exceeded(ErrMemory)
	case status.Signaled() && cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime() >= c.limits.CPU:
		return c.exceeded(ErrTime)
	case status.Signaled() && status.Signal() == syscall.SIGKILL:
		return c.exceeded(ErrMemory) // The kernel does that when memory runs out.
	}
	line, _, _ := bytes.Cut(stderr, []byte("\n"))
	return fmt.Errorf("render template %s: the process for it ended (%v) instead of an answer: %w: %s",
		c.current(), cmd.ProcessState, readErr, printable(string(line), maxMessage))
}

func isFailure(err error) bool {
	var failure *Error
	return errors.As(err, &failure)
}

// head keeps the first bytes that are written to it.
type head struct {
	bytes []byte
	limit int
}

func (h *head) Write(p []byte) (int, error) {
	h.bytes = append(h.bytes, p[:min(len(p), h.limit-len(h.bytes))]...)
	return len(p), nil
}
