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
// serves it on a socket there until its standard input ends, and removes it.
// Durability is off: no test of ours cuts the power. The collation is not C, so
// that an order which relies on the default shows.
const script = `
set -eu
trap 'rm -rf "$1"' EXIT
"$2/initdb" -D "$1/data" -A trust -U postgres -E UTF8 --locale=C.UTF-8 --locale-provider=icu --icu-locale=en \
	--no-sync --no-instructions >&2
"$2/postgres" -D "$1/data" -k "$1" -c listen_addresses= -c fsync=off -c full_page_writes=off \
	-c synchronous_commit=off -c max_connections=200 -c deadlock_timeout=100ms >&2 </dev/null &
server=$!
until "$2/pg_isready" -q -h "$1"; do
	kill -0 $server
	sleep 0.05
done
echo ready
cat >/dev/null
kill -INT $server
wait $server || true
`

// server is what the whole test binary shares.
type server struct {
	dir   string
	stdin io.WriteCloser // its end stops the server
	admin *sql.DB
}

var (
	start     = sync.OnceValues(startServer)
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

func (s *server) dsn(database string) string {
	return fmt.Sprintf("host=%s user=postgres dbname=%s", s.dir, database)
}

func startServer() (_ *server, err error) {
	bin, err := findBinaries()
	if err != nil {
		return nil, err
	}
	s := new(server)
	if s.dir, err = os.MkdirTemp("", "pgtest"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(s.dir))
		}
	}()
	command := []string{"/bin/sh", "-c", script, "sh", s.dir, bin}
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
func (s *server) run(command []string) error {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Dir = s.dir
	var log strings.Builder
	cmd.Stderr = &log
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if s.stdin, err = cmd.StdinPipe(); err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "ready\n" {
		return errors.Join(fmt.Errorf("the server did not become ready: %w", err), cmd.Wait(), errors.New(log.String()))
	}
	return nil
}
