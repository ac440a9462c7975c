package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
)

// settings are where things are and how often they are measured.
type settings struct {
	binary  string // the cloudlets under test
	tar     string // a Debian root filesystem
	old     string // the same system before its security updates
	work    string // scratch space
	rounds  int
	address string   // for the registry
	env     []string // of the registry, beside what there is
}

// measurements are what can be measured, by name, each a few rows.
var measurements = []struct {
	name    string
	measure func(context.Context, settings) error
}{
	{"registry-rates", rates},
	{"registry-push", pushBlob},
	{"registry-pull", pullBlob},
	{"registry-crowd", manyPulls},
	{"registry-lists", lists},
	{"registry-bucket", toBucket},
	{"registry-collection", collection},
	{"image-sparse", sparse},
	{"image-push", push},
	{"image-second-push", secondPush},
	{"image-render", render},
	{"image-configured", configured},
	{"format-planned", formats},
	{"format-written", written},
	{"format-compressed", compressed},
	{"format-bootable", bootable},
	{"format-memory", huge},
	{"image-commit", commit},
	{"image-diff", compare},
	{"nbd-reads", nbdReads},
	{"lazy-boot", lazyBoot},
}

func main() {
	var s settings
	flag.StringVar(&s.binary, "binary", "bin/cloudlets", "the binary to measure")
	flag.StringVar(&s.tar, "rootfs", ".cache/debian.tar", "tar of a Debian root filesystem")
	flag.StringVar(&s.old, "old", ".cache/debian-old.tar", "tar of the same system before its security updates")
	flag.StringVar(&s.address, "listen", "127.0.0.1:5077", "address for the registry")
	flag.IntVar(&s.rounds, "rounds", 5, "how often each thing is measured")
	chosen := flag.String("run", ".", "measure what has a name that matches this regular expression: "+names())
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, s, *chosen)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// names lists the measurements.
func names() string {
	var all []string
	for _, m := range measurements {
		all = append(all, m.name)
	}
	return strings.Join(all, ", ")
}

func run(ctx context.Context, s settings, chosen string) (err error) {
	pattern, err := regexp.Compile(chosen)
	if err != nil {
		return fmt.Errorf("-run: %w", err)
	}
	for _, path := range []*string{&s.binary, &s.tar, &s.old} {
		if *path, err = filepath.Abs(*path); err != nil {
			return err
		}
		if _, err := os.Stat(*path); err != nil {
			return fmt.Errorf("%w: run `make bench`, which makes it", err)
		}
	}
	if s.work, err = os.MkdirTemp("", "cloudlets-bench-*"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(s.work)) }()
	fmt.Println("| what | against | cloudlets | other | ratio | bar |")
	fmt.Println("|---|---|---|---|---|---|")
	for _, m := range measurements {
		if !pattern.MatchString(m.name) {
			continue
		}
		if err := m.measure(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
	}
	return nil
}
