package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"
)

// Exit codes.
const (
	exitConforms = 0
	exitDeviates = 1 // something failed or was skipped
	exitUsage    = 2 // the suite could not run
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// settings are the flags.
type settings struct {
	url, profile       string
	repo, other        string
	username, password string
	filter, junit      string
	json               bool
	timeout            time.Duration
}

func parseFlags(args []string, stderr io.Writer) (settings, error) {
	var s settings
	f := flag.NewFlagSet("conformance", flag.ContinueOnError)
	f.SetOutput(stderr)
	f.StringVar(&s.url, "url", "", "the registry, such as http://localhost:5000")
	f.StringVar(&s.profile, "profile", string(profileReleased), "specification: 1.1, dev for its main branch, or cloudlets for what cloudlets adds to it")
	f.StringVar(&s.repo, "repo", "conformance/one", "repository to push to")
	f.StringVar(&s.other, "repo2", "conformance/two", "repository to mount blobs from")
	f.StringVar(&s.username, "username", "", "user name, for registries that want one")
	f.StringVar(&s.password, "password", "", "password")
	f.StringVar(&s.filter, "filter", "", "run only the tests whose name, group/test, begins with this")
	f.StringVar(&s.junit, "junit", "", "write the results to this file too, as JUnit XML")
	f.BoolVar(&s.json, "json", false, "print JSON, not a table")
	f.DurationVar(&s.timeout, "timeout", time.Minute, "how long one request may take")
	if err := f.Parse(args); err != nil {
		return s, err
	}
	if f.NArg() > 0 {
		return s, fmt.Errorf("unexpected argument %q: everything is a flag", f.Arg(0))
	}
	return s, nil
}

// run runs the command and returns its exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	set, err := parseFlags(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return exitConforms
	}
	var report report
	if err == nil {
		report, err = set.test(ctx)
	}
	if err == nil {
		err = set.write(stdout, report)
	}
	if err != nil {
		fmt.Fprintln(stderr, "conformance:", err)
		return exitUsage
	}
	if report.count(failed)+report.count(skipped) > 0 {
		return exitDeviates
	}
	return exitConforms
}

// test runs the tests.
func (set settings) test(ctx context.Context) (report, error) {
	s, err := newSession(set)
	if err != nil {
		return report{}, err
	}
	groups, err := allGroups(s)
	if err != nil {
		return report{}, err
	}
	r := s.runAll(ctx, groups, set.filter)
	if err := ctx.Err(); err != nil {
		return report{}, err
	}
	if len(r.Results) == 0 {
		return report{}, fmt.Errorf("no test's name begins with %q", set.filter)
	}
	return r, nil
}

// write writes the results in the forms that were asked for.
func (set settings) write(stdout io.Writer, r report) error {
	if set.junit != "" {
		if err := writeFile(set.junit, r.writeJUnit); err != nil {
			return fmt.Errorf("write JUnit results: %w", err)
		}
	}
	if set.json {
		return r.writeJSON(stdout)
	}
	return r.writeTable(stdout)
}

func writeFile(path string, write func(io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}
