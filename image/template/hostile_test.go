package template

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// What must be ended for its time has little of it; what must meet another limit
// has enough, on a slow machine as well.
var (
	shortTime = Limits{Time: 400 * time.Millisecond, Memory: 96 << 20, Output: 1 << 20}
	longTime  = Limits{Time: time.Minute, CPU: time.Minute, Memory: 96 << 20, Output: 1 << 20}
)

// hostile are templates that would harm a process that rendered them unbounded.
var hostile = []struct {
	name, template string
	reason         error
	line           int
}{
	{"endless loop", "a\n<% for (;;) {} %>", ErrTime, 2},
	{"endless loop in a catch", "\n\n<% for (;;) { try { f() } catch (e) {} } %>", ErrTime, 3},
	{"endless finally", "<% for (;;) { try { continue } finally { continue } } %>", ErrTime, 1},
	{"endless getter", "<% const o = {get x() { for (;;); }} %>\n<%= o.x %>", ErrTime, 1},
	{"endless proxy", "<% const p = new Proxy({}, {get() { for (;;); }}) %><%= p %>", ErrTime, 1},
	{"endless toPrimitive", "<%= {[Symbol.toPrimitive]() { for (;;); }} %>", ErrTime, 1},
	{"endless text of a thrown value", "\n<% throw {toString() { for (;;); }} %>", nil, 0},
	{"endless promises", "<% function f() { Promise.resolve().then(f) } f() %>", ErrTime, 1},
	{"endless iterator", "<% Array.from({[Symbol.iterator]: () => ({next: () => ({done: false})})}) %>", ErrTime, 1},
	{"backtracking", `<%= /^(a+)+\1$/.test('a'.repeat(64) + 'b') %>`, ErrTime, 0},
	{"backtracking lookahead", `<%= /^(?!x)(a+)+$/.test('a'.repeat(64) + 'b') %>`, ErrTime, 0},
	{"a function of the engine", "<% new Array(2**28).join('abcdef') %>", nil, 0},
	{"fill", "<% new Array(2**32 - 1).fill(1) %>", nil, 0},
	{"sort", "<% Array.from({length: 2**31}).sort() %>", nil, 0},
	{"string doubling", "<% let s = 'x'; for (;;) s += s %>", ErrMemory, 0},
	{"string doubling, not ASCII", "<% let s = 'é€'; for (;;) s += s %>", ErrMemory, 0},
	{"array growth", "<% const a = []; for (;;) a.push('x'.repeat(1e5) + a.length) %>", nil, 0},
	{"map growth", "<% const m = new Map(); for (let i = 0;; i++) m.set(i, 'x'.repeat(1e5) + i) %>", nil, 0},
	{"huge repeat", "\n<%= 'x'.repeat(2**40) %>", ErrThrown, 2},
	{"huge repeat, not ASCII", "\n<%= '€'.repeat(2**40) %>", ErrThrown, 2},
	{"large repeat", "<%= 'x'.repeat(2**28) %>", nil, 0},
	{"huge padding", "\n<%= 'x'.padStart(2**40) %>", ErrThrown, 2},
	{"huge buffer", "<%= new ArrayBuffer(2**40) %>", ErrMemory, 0},
	{"huge negative repeat", "\n<%= 'xy'.repeat(2**62) %>", ErrThrown, 2},
	{"huge bigint", "<%= 2n ** (2n ** 40n) %>", nil, 0},
	{"recursion", "a\nb\n<% function f() { f() } f() %>", ErrDepth, 3},
	{"recursion that catches", "<% function f() { try { f() } catch (e) { f() } } f() %>", ErrDepth, 1},
	{"recursion through the engine", "<% function f() { [1].map(f) } f() %>", ErrDepth, 1},
	{"recursion in toString", "<% const o = {toString() { return `${o}` }} %><%= o %>", ErrDepth, 1},
	{"recursion in a getter", "<% const o = {get x() { return o.x }} %><%= o.x %>", ErrDepth, 1},
	{"recursion in a proxy", "<% let p = {}; p = new Proxy(p, {get: () => p.x}) %><%= p.x %>", ErrDepth, 1},
	{"proxies in proxies", "<% let p = {}; for (;;) p = new Proxy(p, {}) %>", nil, 0},
	{"nested code", "<%= " + strings.Repeat("(", 400_000) + " %>", nil, 0},
	{"nested arrays", "<%= " + strings.Repeat("[", 400_000) + " %>", nil, 0},
	{"nested code in eval", "<% eval('('.repeat(1e7)) %>", nil, 0},
	{"nested JSON", "<% JSON.parse('['.repeat(1e7)) %>", nil, 0},
	{"output in a loop", "\n<% for (;;) { %>text<% } %>", ErrOutput, 2},
	{"output of values", "<% for (;;) __append('value') %>", ErrOutput, 1},
	{"output at once", "\n<%= 'x'.repeat(1e7) %>", ErrOutput, 0},
	{"late output", "<% Promise.resolve().then(() => __append('late')) %>", ErrThrown, 0},
	{"throw", "\n<% throw new TypeError('wrong') %>", ErrThrown, 2},
	{"throw of a proxy", "<% throw new Proxy({}, {getPrototypeOf() { for (;;); }, get() { throw p }}) %>", ErrThrown, 1},
	{"escape from the function", "<% }}); throw 1; ({a() {{ %>", nil, 0},
	{"not a function", "<% }}), 1; ({a() {{ %>", nil, 0},
	{"file by a source map", "<%\n//# sourceMappingURL=file:///proc/self/mem\n%>\n<% nothing() %>", ErrThrown, 4},
	{"host objects", "<%= require('fs') %>", ErrThrown, 1},
	{"process", "<%= process.env %>", ErrThrown, 1},
	{"module", "<%= import('fs') %>", nil, 0},
}

func TestHostileTemplatesAreStopped(t *testing.T) {
	short, long := &Runner{Limits: shortTime}, &Runner{Limits: longTime}
	for _, c := range hostile {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			runner := long
			if c.reason == nil || c.reason == ErrTime {
				runner = short
			}
			templates := []Template{{"etc/good", []byte("good")}, {"etc/bad", []byte(c.template)}}
			output, err := runner.Render(t.Context(), templates, Scope{})
			var failure *Error
			if !errors.As(err, &failure) {
				t.Fatalf("got %.60q and the error %v, want an *Error", output, err)
			}
			if failure.Path != "etc/bad" {
				t.Errorf("%v names %s", err, failure.Path)
			}
			if c.reason != nil && !errors.Is(err, c.reason) {
				t.Errorf("got %v, want the reason %v", err, c.reason)
			}
			killed := errors.Is(err, ErrTime) && failure.Line == 0 // It was too slow to stop by itself.
			if failure.Line != c.line && c.line > 0 && !killed {
				t.Errorf("got %v, want line %d", err, c.line)
			}
			if len(err.Error()) > 2*maxMessage+maxSource {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
		})
	}
	t.Cleanup(func() {
		noChildren(t)
		if _, err := short.Render(context.Background(), []Template{{"f", []byte("<%= 1 %>")}}, Scope{}); err != nil {
			t.Errorf("afterwards: %v", err)
		}
	})
}

// children returns the processes whose parent is this one, zombies included.
func children(t testing.TB) []string {
	t.Helper()
	lists, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil || len(lists) == 0 {
		t.Fatalf("/proc/self/task has no list of children: %v", err)
	}
	var pids []string
	for _, list := range lists {
		data, _ := os.ReadFile(list) // A thread can end.
		pids = append(pids, strings.Fields(string(data))...)
	}
	return pids
}

func noChildren(t testing.TB) {
	t.Helper()
	if pids := children(t); len(pids) > 0 {
		t.Errorf("processes are left: %v", pids)
	}
}

func TestChildHasNothing(t *testing.T) {
	t.Setenv("SECRET_OF_THE_PARENT", "x")
	file, err := os.Open("/etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	inherited, err := syscall.Dup(int(file.Fd())) // Without O_CLOEXEC.
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(inherited)
	ctx, cancel := context.WithCancel(t.Context())
	done := endless(ctx, t, &Runner{})
	proc := filepath.Join("/proc", waitForChildren(t, 1)[0])
	checkChild(t, proc)
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	if _, err := os.Stat(proc); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s is still there: %v", proc, err)
	}
	noChildren(t)
}

func checkChild(t *testing.T, proc string) {
	t.Helper()
	if environ, err := os.ReadFile(proc + "/environ"); err != nil || len(environ) > 0 {
		t.Errorf("the environment is %q, %v", environ, err)
	}
	if cwd, err := os.Readlink(proc + "/cwd"); err != nil || cwd != "/" {
		t.Errorf("the working directory is %q, %v", cwd, err)
	}
	files, err := filepath.Glob(proc + "/fd/*")
	if err != nil || len(files) < 3 {
		t.Fatalf("open files: %v, %v", files, err)
	}
	for _, f := range files {
		target, _ := os.Readlink(f)
		if !isPipeOrOfRuntime(target) {
			t.Errorf("%s is %s", f, target)
		}
	}
	limits, err := os.ReadFile(proc + "/limits")
	if err != nil || !strings.Contains(string(limits), "Max file size             0                    0") {
		t.Errorf("limits: %s, %v", limits, err)
	}
}

// isPipeOrOfRuntime: the Go runtime polls, and reads its processor quota.
func isPipeOrOfRuntime(target string) bool {
	return strings.HasPrefix(target, "pipe:") || strings.HasPrefix(target, "anon_inode:[event") ||
		strings.HasPrefix(target, "/sys/fs/cgroup/")
}

// endless renders a template that does not end, until ctx does.
func endless(ctx context.Context, t testing.TB, r *Runner) <-chan error {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		_, err := r.Render(ctx, []Template{{"f", []byte("<% for (;;) {} %>")}}, Scope{})
		done <- err
	}()
	return done
}

// waitForChildren waits for n processes that have bounded themselves.
func waitForChildren(t testing.TB, n int) []string {
	t.Helper()
	for range 1000 {
		pids := children(t)
		bounded := slices.ContainsFunc(pids, func(pid string) bool {
			limits, _ := os.ReadFile(filepath.Join("/proc", pid, "limits"))
			return strings.Contains(string(limits), "Max file size             0  ")
		})
		if len(pids) >= n && bounded {
			return pids
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("there are no %d processes", n)
	return nil
}

func TestProcessesAreBounded(t *testing.T) {
	runner := &Runner{Processes: 2, Limits: Limits{CPU: time.Minute, Time: time.Minute}}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var renders []<-chan error
	for range 5 {
		renders = append(renders, endless(ctx, t, runner))
	}
	waitForChildren(t, 2)
	time.Sleep(50 * time.Millisecond) // A third would be there by now.
	if pids := children(t); len(pids) != 2 {
		t.Errorf("%d processes, want 2", len(pids))
	}
	cancel()
	for _, done := range renders {
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want context.Canceled", err)
		}
	}
	noChildren(t)
}

func TestRunnerServesManyAtOnce(t *testing.T) {
	runner := new(Runner)
	var group sync.WaitGroup
	for i := range 20 {
		group.Go(func() {
			scope := Scope{Args: fmt.Appendf(nil, `{"n":%d}`, i)}
			output, err := runner.Render(t.Context(), []Template{{"f", []byte("<%= args.n %>")}}, scope)
			if err != nil || string(output[0]) != fmt.Sprint(i) {
				t.Errorf("%d gives %q, %v", i, output, err)
			}
		})
	}
	group.Wait()
}
