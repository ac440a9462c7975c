package template

import (
	"os"
	"runtime/metrics"
	"sync"
	"syscall"
	"time"

	"github.com/dop251/goja"
)

const (
	// watchInterval is how often the watch looks.
	watchInterval = 5 * time.Millisecond
	// haltDelay is how long a script has to stop by itself, which tells the line.
	// It does not while it is in a function of the engine, such as a search for a
	// regular expression.
	haltDelay = 500 * time.Millisecond
)

// watch stops the scripts of this process when they have used up time or memory,
// and if they do not stop, the process.
type watch struct {
	limits   Limits
	answers  *answers
	deadline time.Time
	initial  uint64 // memory at the start
	samples  []metrics.Sample

	mu       sync.Mutex
	running  *goja.Runtime
	exceeded error
}

func newWatch(limits Limits, answers *answers) *watch {
	w := &watch{
		limits:   limits,
		answers:  answers,
		deadline: time.Now().Add(limits.Time),
		samples: []metrics.Sample{
			{Name: "/memory/classes/total:bytes"},
			{Name: "/memory/classes/heap/released:bytes"},
		},
	}
	w.initial = w.memory()
	return w
}

// guard names the runtime that is to be stopped.
func (w *watch) guard(vm *goja.Runtime) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.running = vm
	if w.exceeded != nil {
		vm.Interrupt(w.exceeded)
	}
}

// run watches until the process ends.
func (w *watch) run() {
	for range time.Tick(watchInterval) {
		if reason := w.look(); reason != nil {
			w.halt(reason)
			time.Sleep(haltDelay)
			_ = w.answers.fail(w.limits.exceeded(reason))
			os.Exit(1)
		}
	}
}

func (w *watch) halt(reason error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.exceeded = reason
	if w.running != nil {
		w.running.Interrupt(reason)
	}
}

// look returns the limit that is exceeded, or nil.
func (w *watch) look() error {
	if time.Now().After(w.deadline) || processorTime() > w.limits.CPU {
		return ErrTime
	}
	if w.memory() > w.initial+uint64(w.limits.Memory) {
		return ErrMemory
	}
	return nil
}

// memory returns how many bytes the process holds.
func (w *watch) memory() uint64 {
	metrics.Read(w.samples)
	return w.samples[0].Value.Uint64() - w.samples[1].Value.Uint64()
}

// processorTime returns what this process has used.
func processorTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0 // RLIMIT_CPU is a bound as well.
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
