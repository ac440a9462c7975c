package pgtest

import (
	"bufio"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
)

const (
	// binaries is where Debian's packages put each version's programs.
	binaries = "/usr/lib/postgresql/*/bin"
	// user runs the server where the tests run as root, which it refuses: the
	// Debian package makes it.
	user = "postgres"
)

// script makes a database cluster in the directory $1 with the programs in $2,
// serves it on a socket there until its standard input ends, and removes it. A
// line on the standard input has the server crash, and another one start it
// again: $3 says whether what was committed is there then. No test of ours cuts
// the power, so nothing is fsynced. The collation is not C, so that an order
// which relies on the default shows.
const script = `
set -eu
trap 'rm -rf "$1"' EXIT
"$2/initdb" -D "$1/data" -A trust -U postgres -E UTF8 --locale=C.UTF-8 --locale-provider=icu --icu-locale=en \
	--no-sync --no-instructions >&2
serve() {
	"$2/postgres" -D "$1/data" -k "$1" -c listen_addresses= -c fsync=off -c full_page_writes=off \
		-c synchronous_commit="$3" -c max_connections=200 -c deadlock_timeout=100ms >&2 </dev/null &
	server=$!
	until "$2/pg_isready" -q -h "$1"; do
		kill -0 $server
		sleep 0.05
	done
	echo ready
}
serve "$@"
while read -r _; do
	kill -QUIT $server # as pg_ctl stop -m immediate does
	wait $server || true
	echo stopped
	read -r _ || exit 0
	serve "$@"
done
kill -INT $server
wait $server || true
`

// Server is a PostgreSQL server. [Database] makes databases on one that the
// whole test binary shares.
type Server struct {
	dir    string
	stdin  io.WriteCloser // its end stops the server
	stdout *bufio.Reader
	cmd    *exec.Cmd
	admin  *sql.DB
}

var (
	start     = sync.OnceValues(func() (*Server, error) { return startServer("off") })
	databases atomic.Int64
)

// Database makes an empty database for one test and returns its connection
// string. The test fails where there is no PostgreSQL.
func Database(t testing.TB) string {
	t.Helper()
	s, err := start()
	if err != nil {
		t.Fatalf("start PostgreSQL: %v", err)
	}
	name := fmt.Sprintf("test%d", databases.Add(1))
	if _, err := s.admin.ExecContext(t.Context(), "CREATE DATABASE "+name); err != nil {
		t.Fatalf("make database: %v", err)
	}
	return s.dsn(name)
}

// Start starts a server for one test, which may stop it as it likes: what was
// committed survives that.
func Start(t testing.TB) *Server {
	t.Helper()
	s, err := startServer("on")
	if err != nil {
		t.Fatalf("start PostgreSQL: %v", err)
	}
	t.Cleanup(func() {
		if err := errors.Join(s.admin.Close(), s.stdin.Close(), s.cmd.Wait()); err != nil {
			t.Errorf("stop PostgreSQL: %v", err)
		}
	})
	return s
}

// DSN returns the connection string of the server's own database.
func (s *Server) DSN() string { return s.dsn("postgres") }

// Stop ends the server as a crash does.
func (s *Server) Stop() error { return s.toggle("stopped") }

// Restart starts the server after Stop and returns once it answers.
func (s *Server) Restart() error { return s.toggle("ready") }

func (s *Server) toggle(want string) error {
	if _, err := io.WriteString(s.stdin, "\n"); err != nil {
		return fmt.Errorf("tell PostgreSQL to become %s: %w", want, err)
	}
	return s.expect(want)
}

// expect reads what the script says.
func (s *Server) expect(want string) error {
	line, err := s.stdout.ReadString('\n')
	if err == nil && line != want+"\n" {
		err = fmt.Errorf("it is %q", line)
	}
	if err != nil {
		return fmt.Errorf("the server did not become %s: %w", want, err)
	}
	return nil
}

func (s *Server) dsn(database string) string {
	return fmt.Sprintf("host=%s user=postgres dbname=%s", s.dir, database)
}

func startServer(synchronousCommit string) (_ *Server, err error) {
	bin, err := findBinaries()
	if err != nil {
		return nil, err
	}
	s := new(Server)
	if s.dir, err = os.MkdirTemp("", "pgtest"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(s.dir))
		}
	}()
	command := []string{"/bin/sh", "-c", script, "sh", s.dir, bin, synchronousCommit}
	if os.Geteuid() == 0 {
		if out, err := exec.Command("chown", user, s.dir).CombinedOutput(); err != nil {
			return nil, fmt.Errorf("give the directory to the user of the Debian package postgresql: %w: %s", err, out)
		}
		command = append([]string{"setpriv", "--reuid", user, "--regid", user, "--clear-groups"}, command...)
	}
	if err := s.run(command); err != nil {
		return nil, err
	}
	s.admin, err = sql.Open("pgx", s.dsn("postgres"))
	return s, err
}

// findBinaries returns the directory of the newest server's programs.
func findBinaries() (string, error) {
	found, err := filepath.Glob(binaries)
	if err != nil {
		return "", err
	}
	if len(found) == 0 {
		return "", fmt.Errorf("there is none at %s: install the Debian package postgresql", binaries)
	}
	return found[len(found)-1], nil
}

// run runs the script until it says that the server is ready.
func (s *Server) run(command []string) error {
	s.cmd = exec.Command(command[0], command[1:]...)
	s.cmd.Dir = s.dir
	var log strings.Builder
	s.cmd.Stderr = &log
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	s.stdout = bufio.NewReader(out)
	if s.stdin, err = s.cmd.StdinPipe(); err != nil {
		return err
	}
	if err := s.cmd.Start(); err != nil {
		return err
	}
	if err := s.expect("ready"); err != nil {
		return errors.Join(err, s.cmd.Wait(), errors.New(log.String()))
	}
	return nil
}
