package gitdir

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Options say how git is run.
type Options struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Warn is told of what could not be kept or restored; nil for nobody.
	Warn func(path, what string)
}

// ExitError is git's own failure: it has said what it is.
type ExitError struct {
	Code int // what git ended with; 128 and the number of a signal that ended it
}

func (e *ExitError) Error() string { return fmt.Sprintf("git ended with exit code %d", e.Code) }

// ErrNoRepository means that a directory is not one in which git was made a
// repository.
var ErrNoRepository = errors.New("not a git repository")

// Run runs git in a directory that holds a rootfs. It returns an *[ExitError]
// where git fails. The program must have called [Main].
func Run(ctx context.Context, dir string, args []string, o Options) error {
	if o.Warn == nil {
		o.Warn = func(string, string) {}
	}
	at, err := command(args)
	if err != nil {
		return err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	git, err := newGitCommand(dir)
	if err != nil {
		return err
	}
	s := session{dir: dir, git: git, args: args, at: at, Options: o}
	s.need = s.needs(ctx)
	return s.run(ctx)
}

// session is one run of git.
type session struct {
	Options
	dir  string
	git  gitCommand
	args []string
	at   int // where in args the command is
	need need
}

// needs looks up what the command needs. An alias needs what its command does.
func (s *session) needs(ctx context.Context) need {
	if s.at == len(s.args) {
		return 0
	}
	name := s.args[s.at]
	if n, ok := needs[name]; ok {
		return n
	}
	alias, err := s.git.output(ctx, "config", "--get", "alias."+name)
	if err == nil {
		if words := strings.Fields(alias); len(words) > 0 {
			if n, ok := needs[words[0]]; ok && n&(makes|stageAfter) == 0 {
				return n
			}
		}
	}
	return changes
}

func (s *session) run(ctx context.Context) (err error) {
	if s.need&makes != 0 {
		return s.make(ctx)
	}
	if s.need == 0 {
		return s.git.run(ctx, s.args, s.Options)
	}
	r, err := s.open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	args, err := s.before(ctx, r)
	if err != nil {
		return err
	}
	failed := s.git.run(ctx, args, s.Options)
	// What git has done is completed even if the user wants to stop, and even if
	// it failed: a merge with conflicts is a failure.
	err = s.after(context.WithoutCancel(ctx), r)
	if failed != nil && err != nil {
		s.Warn("", err.Error())
	}
	return cmp.Or(failed, err)
}

// open opens the repository of the directory.
func (s *session) open() (*repository, error) {
	r, err := openRepository(s.dir, s.git, s.Warn)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w: make it one with: cloudlets git %s -- init", s.dir, ErrNoRepository, s.dir)
	}
	return r, err
}

// before does what is needed before git runs, and returns its arguments.
func (s *session) before(ctx context.Context, r *repository) ([]string, error) {
	scan, err := r.refresh(ctx)
	if errors.Is(err, errMetadata) && s.need&(stageBefore|stageAfter) == 0 {
		s.Warn(MetadataPath, err.Error()) // the command may be to repair it
		return s.args, nil
	}
	if err != nil {
		return nil, err
	}
	if s.need&(stageBefore|stageAfter) != 0 {
		if err := s.git.forget(ctx, scan.special()); err != nil {
			return nil, err
		}
	}
	if s.need&stageBefore != 0 {
		if err := s.stage(ctx); err != nil {
			return nil, err
		}
	}
	if name := s.args[s.at]; name == "add" || name == "stage" {
		return withForce(s.args, s.at, scan.volatile), nil
	}
	return s.args, nil
}

// after does what is needed after git ran.
func (s *session) after(ctx context.Context, r *repository) error {
	switch {
	case s.need&applyAfter != 0:
		return r.apply(ctx)
	case s.need&stageAfter != 0:
		if _, err := r.refresh(ctx); err != nil {
			return err
		}
		return s.stage(ctx)
	}
	return nil
}

// stage adds the metadata file to the index, unless it is in conflict.
func (s *session) stage(ctx context.Context) error {
	unmerged, err := s.git.output(ctx, "ls-files", "--unmerged", "--", MetadataPath)
	if err != nil || unmerged != "" {
		return err
	}
	_, err = s.git.output(ctx, "update-index", "--add", "--", MetadataPath)
	return err
}

// make runs a command that makes a repository.
func (s *session) make(ctx context.Context) (err error) {
	if err := os.MkdirAll(s.dir, 0o755); err != nil {
		return err
	}
	root, err := os.OpenRoot(s.dir)
	if err != nil {
		return err
	}
	defer root.Close()
	restore := (&repository{root: root}).holdTimes("")
	template, err := os.MkdirTemp("", "cloudlets-git-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(template)
	if err := writeTemplate(template); err != nil {
		return err
	}
	if err := s.git.making(template).run(ctx, s.args, s.Options); err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx)
	r, err := s.open()
	if errors.Is(err, ErrNoRepository) {
		return fmt.Errorf("%w, and git has not made it one: expected init without a directory, or clone URL . with the dot", err)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if err := restore(); err != nil {
		return err
	}
	_, err = r.refresh(ctx)
	return err
}

// writeTemplate writes what a new repository is to hold before git checks
// anything out.
func writeTemplate(dir string) error {
	info := filepath.Join(dir, "info")
	if err := os.Mkdir(info, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(info, "attributes"), []byte(attributesText), 0o644)
}

// gitCommand starts git for a directory.
type gitCommand struct {
	dir string
	env []string
}

// settings are those of git that a rootfs needs, whatever the user has
// configured: content and names are kept as they are, and a change is seen even if
// the time of a file was set back.
var settings = [][2]string{
	{"core.autocrlf", "false"},
	{"core.safecrlf", "false"},
	{"core.fileMode", "true"},
	{"core.symlinks", "true"},
	{"core.ignoreCase", "false"},
	{"core.precomposeUnicode", "false"},
	{"core.protectNTFS", "false"},
	{"core.protectHFS", "false"},
	{"core.trustctime", "true"},
	{"core.checkStat", "default"},
	{"core.fsmonitor", "false"},
	{"core.untrackedCache", "false"},
	{"core.excludesFile", "/dev/null"},
	{"core.attributesFile", "/dev/null"},
	{"submodule.recurse", "false"},
	{"merge." + mergeDriver + ".name", "lines of paths, word by word"},
}

func newGitCommand(dir string) (gitCommand, error) {
	if _, err := exec.LookPath("git"); err != nil {
		return gitCommand{}, fmt.Errorf("git is not installed: %w (Debian: apt-get install git)", err)
	}
	driver, err := driverCommand()
	if err != nil {
		return gitCommand{}, err
	}
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return name == "GIT_DIR" || name == "GIT_WORK_TREE" || name == "GIT_CONFIG_COUNT"
	})
	n, _ := strconv.Atoi(os.Getenv("GIT_CONFIG_COUNT"))
	for _, s := range append(slices.Clone(settings), [2]string{"merge." + mergeDriver + ".driver", driver}) {
		env = append(env, fmt.Sprintf("GIT_CONFIG_KEY_%d=%s", n, s[0]), fmt.Sprintf("GIT_CONFIG_VALUE_%d=%s", n, s[1]))
		n++
	}
	env = append(env, fmt.Sprintf("GIT_CONFIG_COUNT=%d", n), "GIT_DIR="+filepath.Join(dir, ".git"), "GIT_WORK_TREE="+dir)
	return gitCommand{dir: dir, env: env}, nil
}

// making returns a git for a directory that is no repository yet. The new one
// holds what is in the template.
func (g gitCommand) making(template string) gitCommand {
	g.env = slices.DeleteFunc(slices.Clone(g.env), func(v string) bool {
		return strings.HasPrefix(v, "GIT_DIR=") || strings.HasPrefix(v, "GIT_WORK_TREE=")
	})
	g.env = append(g.env, "GIT_TEMPLATE_DIR="+template)
	return g
}

// run runs git as the user does. Signals that the terminal sends reach it anyway;
// others are passed on. It is never killed: it would leave locks behind.
func (g gitCommand) run(ctx context.Context, args []string, o Options) error {
	cmd := g.command(context.WithoutCancel(ctx), args)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = o.Stdin, o.Stdout, o.Stderr
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start git: %w", err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	for {
		select {
		case sig := <-signals:
			_ = cmd.Process.Signal(sig)
		case err := <-done:
			return exitError(err)
		}
	}
}

// exitError makes an ExitError of how a process ended.
func exitError(err error) error {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return err
	}
	if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return &ExitError{128 + int(status.Signal())}
	}
	return &ExitError{exit.ExitCode()}
}

func (g gitCommand) command(ctx context.Context, args []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir, cmd.Env = g.dir, g.env
	return cmd
}

// output returns what a command of git prints.
func (g gitCommand) output(ctx context.Context, args ...string) (string, error) {
	out, err := g.command(ctx, args).Output()
	if err == nil {
		return string(out), nil
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return "", fmt.Errorf("git %s: %s", args[0], strings.TrimSpace(string(exit.Stderr)))
	}
	return "", fmt.Errorf("git %s: %w", args[0], err)
}

// forget removes paths from the index, if they are in it.
func (g gitCommand) forget(ctx context.Context, paths []string) error {
	if len(paths) == 0 {
		return nil
	}
	cmd := g.command(ctx, []string{"update-index", "--force-remove", "-z", "--stdin"})
	cmd.Stdin = strings.NewReader(strings.Join(paths, "\x00") + "\x00")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("git update-index: %w: %s", err, out)
	}
	return nil
}

// refreshIndex has git look again at files whose status was changed, so that it
// need not the next time. It fails where files have changed, or have conflicts,
// which is not its matter.
func (g gitCommand) refreshIndex(ctx context.Context) {
	_, _ = g.output(ctx, "update-index", "-q", "--refresh")
}
