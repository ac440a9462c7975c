package main

import (
	"context"
	"fmt"
	"runtime"
)

// trial is one run of a test. Its methods that find a deviation end the test.
type trial struct {
	*session
	ctx      context.Context // of this run
	outcome  outcome
	finding  finding
	cleanups []func()
}

// isolate runs f, which may end early by [runtime.Goexit].
func (t *trial) isolate(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	<-done
}

// end ends the test, unless it had ended before: then only a cleanup ends.
func (t *trial) end(o outcome, f finding) {
	if t.outcome == "" {
		t.outcome, t.finding = o, f
	}
	runtime.Goexit()
}

// failf ends the test: the registry deviates.
func (t *trial) failf(request, want, format string, args ...any) {
	t.end(failed, finding{Request: request, Want: want, Got: fmt.Sprintf(format, args...)})
}

// skipf ends the test: the registry does not support what is tested.
func (t *trial) skipf(format string, args ...any) {
	t.end(skipped, finding{Got: fmt.Sprintf(format, args...)})
}

// check fails the test if the suite itself could not go on.
func (t *trial) check(err error) {
	if err != nil {
		t.failf("", "the suite to work", "%v", err)
	}
}

// cleanup has f run after the test, before earlier cleanups. What becomes of it
// does not matter.
func (t *trial) cleanup(f func()) { t.cleanups = append(t.cleanups, f) }

// deleteLater deletes what the test has pushed, after it.
func (t *trial) deleteLater(path string) {
	t.cleanup(func() { t.do("DELETE", path, nil) })
}
