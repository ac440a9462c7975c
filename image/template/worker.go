package template

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// workerArgument is the only argument of a child.
const workerArgument = "render-templates-of-parent-process"

// Main renders templates and ends the process, if the process was started as a
// child of [Runner.Render]; otherwise it returns at once. It is called before
// anything else, and by TestMain in the tests of packages that render.
func Main() {
	if len(os.Args) != 2 || os.Args[1] != workerArgument {
		return
	}
	if err := work(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "render templates:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// work does one job in a process of its own.
func work(in io.Reader, out io.Writer) error {
	time.Local = time.UTC
	job, texts, err := decodeJob(in)
	if err != nil {
		return fmt.Errorf("read the job: %w", err)
	}
	if err := bound(job.Limits); err != nil {
		return err
	}
	answers := &answers{out: out}
	watch := newWatch(job.Limits, answers)
	engine, err := newEngine(job.Limits, job.Scope, watch.guard)
	if err != nil {
		return err
	}
	go watch.run()
	for _, text := range texts {
		output, failure := engine.render(text)
		if failure != nil {
			return answers.fail(failure)
		}
		if err := answers.send(messageOutput, output); err != nil {
			return fmt.Errorf("answer: %w", err)
		}
	}
	return nil
}

// answers writes messages to the parent, one at a time.
type answers struct {
	mu  sync.Mutex
	out io.Writer
}

func (a *answers) send(kind byte, body []byte) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return writeMessage(a.out, kind, body)
}

func (a *answers) fail(failure *Error) error {
	body, err := json.Marshal(newReport(failure))
	if err != nil {
		return err
	}
	return a.send(messageFailure, body)
}
