package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"time"
)

// run1 runs a command and returns its output.
func run1(ctx context.Context, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %v: %w", name, args, err)
	}
	return string(out), nil
}

// script runs a shell script in a directory.
func script(ctx context.Context, dir, text string) error {
	cmd := exec.CommandContext(ctx, "sh", "-euc", text)
	cmd.Dir = dir
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w", text, err)
	}
	return nil
}

// timed returns how long f takes.
func timed(f func() error) (time.Duration, error) {
	begun := time.Now()
	err := f()
	return time.Since(begun), err
}

// alternate measures ours and theirs in turn, rounds times, and returns the
// medians. prepare, if not nil, runs before each of them, unmeasured.
func alternate(rounds int, prepare func(round int) error, ours, theirs func(round int) error) (o, t time.Duration, err error) {
	var a, b []time.Duration
	for round := range rounds {
		for _, side := range []struct {
			f    func(int) error
			into *[]time.Duration
		}{{ours, &a}, {theirs, &b}} {
			if prepare != nil {
				if err := prepare(round); err != nil {
					return 0, 0, err
				}
			}
			d, err := timed(func() error { return side.f(round) })
			if err != nil {
				return 0, 0, err
			}
			*side.into = append(*side.into, d)
		}
	}
	return median(a), median(b), nil
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

// row prints a row of times; ratio is how many times faster we are.
func row(what, against string, ours, theirs time.Duration, bar string) {
	fmt.Printf("| %s | %s | %.2f s | %.2f s | %.1f× | %s |\n",
		what, against, ours.Seconds(), theirs.Seconds(), theirs.Seconds()/ours.Seconds(), bar)
}

// share prints a row of bytes; ratio is our share of the other.
func share(what, against string, ours, theirs int64, bar string) {
	fmt.Printf("| %s | %s | %.1f MB | %.1f MB | %.1f %% | %s |\n",
		what, against, float64(ours)/1e6, float64(theirs)/1e6, 100*float64(ours)/float64(theirs), bar)
}
