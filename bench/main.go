package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
)

// settings are where things are and how often they are measured.
type settings struct {
	binary  string // the cloudlets under test
	tar     string // a Debian root filesystem
	old     string // the same system before its security updates
	work    string // scratch space
	rounds  int
	address string // for the registry
}

func main() {
	s := settings{address: "127.0.0.1:5077"}
	flag.StringVar(&s.binary, "binary", "bin/cloudlets", "the binary to measure")
	flag.StringVar(&s.tar, "rootfs", ".cache/debian.tar", "tar of a Debian root filesystem")
	flag.StringVar(&s.old, "old", ".cache/debian-old.tar", "tar of the same system before its security updates")
	flag.IntVar(&s.rounds, "rounds", 5, "how often each thing is measured")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, s)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, s settings) (err error) {
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
	for _, measure := range []func(context.Context, settings) error{serveBlob, sparse, push, secondPush, render} {
		if err := measure(ctx, s); err != nil {
			return err
		}
	}
	return nil
}
