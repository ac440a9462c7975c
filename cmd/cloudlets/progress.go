package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/cloudlets/cloudlets/client"
)

const (
	redrawEvery = 100 * time.Millisecond // on a terminal
	logEvery    = 5 * time.Second        // elsewhere
	barWidth    = 30
)

// progress shows steps: on a terminal as a bar, elsewhere as lines.
type progress struct {
	w        io.Writer
	terminal bool

	mu sync.Mutex // one step draws at a time
}

func newProgress(w io.Writer) *progress {
	f, ok := w.(*os.File)
	return &progress{w: w, terminal: ok && term.IsTerminal(int(f.Fd()))}
}

// Step begins a step.
func (p *progress) Step(name string, total int64) client.Step {
	now := time.Now()
	return &step{p: p, name: name, total: total, begun: now, drawn: now}
}

type step struct {
	p     *progress
	name  string
	total int64 // negative where nobody knows
	begun time.Time
	drawn time.Time
	done  int64
	ended bool
}

// Set says how much is done.
func (s *step) Set(done int64) {
	s.done = done
	every := logEvery
	if s.p.terminal {
		every = redrawEvery
	}
	if now := time.Now(); now.Sub(s.drawn) >= every {
		s.drawn = now
		s.draw(false)
	}
}

// End ends the step.
func (s *step) End(err error) {
	if s.ended {
		return
	}
	s.ended = true
	if err == nil && s.total > s.done {
		s.done = s.total
	}
	s.draw(true)
}

// draw shows the step; the last time, it stays.
func (s *step) draw(last bool) {
	s.p.mu.Lock()
	defer s.p.mu.Unlock()
	elapsed := time.Since(s.begun)
	line := fmt.Sprintf("%-9s %s %6.1fs", s.name, s.amount(), elapsed.Seconds())
	switch {
	case !s.p.terminal:
		fmt.Fprintln(s.p.w, line)
	case last:
		fmt.Fprintf(s.p.w, "\r\x1b[K%s\n", line)
	default:
		fmt.Fprintf(s.p.w, "\r\x1b[K%s", line)
	}
}

func (s *step) amount() string {
	if s.total <= 0 {
		return fmt.Sprintf("%10s", human(s.done))
	}
	amount := fmt.Sprintf("%10s of %10s", human(s.done), human(s.total))
	if !s.p.terminal {
		return fmt.Sprintf("%s %3d%%", amount, 100*s.done/s.total)
	}
	filled := int(min(barWidth, barWidth*s.done/s.total))
	return fmt.Sprintf("[%s%s] %s", strings.Repeat("=", filled), strings.Repeat(" ", barWidth-filled), amount)
}
