package main

import (
	"bytes"
	"cmp"
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

// quietly runs a command and returns its output; what it says beside that is shown
// only if it fails.
func quietly(ctx context.Context, name string, args ...string) (string, error) {
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %v: %w: %s", name, args, err, said.Bytes())
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

// alternate measures things in turn, rounds times, and returns the median of
// each. prepare, if not nil, runs before each of them, unmeasured, with another
// number every time.
func alternate(rounds int, prepare func(int) error, sides ...func(round int) error) ([]time.Duration, error) {
	took := make([][]time.Duration, len(sides))
	for round := range rounds {
		for i, side := range sides {
			if prepare != nil {
				if err := prepare(round*len(sides) + i); err != nil {
					return nil, err
				}
			}
			d, err := timed(func() error { return side(round) })
			if err != nil {
				return nil, err
			}
			took[i] = append(took[i], d)
		}
	}
	medians := make([]time.Duration, len(sides))
	for i := range took {
		medians[i] = median(took[i])
	}
	return medians, nil
}

// median returns the middle of measurements.
func median[T cmp.Ordered](measured []T) T {
	slices.Sort(measured)
	return measured[len(measured)/2]
}

// times formats how many times faster something is.
func times(ratio float64) string {
	if ratio < 2 {
		return fmt.Sprintf("%.2f×", ratio)
	}
	return fmt.Sprintf("%.1f×", ratio)
}

// row prints a row of times; ratio is how many times faster we are.
func row(what, against string, ours, theirs time.Duration, bar string) {
	fmt.Printf("| %s | %s | %.2f s | %.2f s | %s | %s |\n",
		what, against, ours.Seconds(), theirs.Seconds(), times(theirs.Seconds()/ours.Seconds()), bar)
}

// share prints a row of bytes; ratio is our share of the other.
func share(what, against string, ours, theirs int64, bar string) {
	fmt.Printf("| %s | %s | %.1f MB | %.1f MB | %.1f %% | %s |\n",
		what, against, float64(ours)/1e6, float64(theirs)/1e6, 100*float64(ours)/float64(theirs), bar)
}
