package metadata_test

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/registry/metadata"
	"github.com/cloudlets/cloudlets/registry/metadata/metatest"
)

func TestSQLiteKeepsTheContract(t *testing.T) {
	metatest.Run(t, func(t *testing.T, o metadata.Options) *metadata.Store {
		return openSQLite(t, filepath.Join(t.TempDir(), "registry.db"), o)
	})
}

func openSQLite(t testing.TB, path string, o metadata.Options) *metadata.Store {
	t.Helper()
	s, err := metadata.OpenSQLite(t.Context(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestSQLiteIsReopenedWhereItWasLeft(t *testing.T) {
	// A path with characters that mean something in a URI.
	path := filepath.Join(t.TempDir(), "a b?c%41#d", "registry.db")
	first, err := metadata.OpenSQLite(t.Context(), path, metadata.Options{})
	if err != nil {
		t.Fatal(err)
	}
	put := metadata.ManifestPut{Repository: "a", Manifest: metadata.Manifest{Digest: digest.FromString("m"), Raw: []byte("m")}, Tags: []string{"v1"}}
	if err := first.PutManifest(t.Context(), put); err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
	second := openSQLite(t, path, metadata.Options{})
	if _, err := second.Tagged(t.Context(), "a", "v1"); err != nil {
		t.Fatal(err)
	}
}

// TestSQLiteRefusesSecondProcess opens a database that a child process holds,
// and again once the child was killed.
func TestSQLiteRefusesSecondProcess(t *testing.T) {
	const variable = "CLOUDLETS_TEST_HOLD"
	if path := os.Getenv(variable); path != "" {
		hold(t, path)
		return
	}
	path := filepath.Join(t.TempDir(), "registry.db")
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestSQLiteRefusesSecondProcess$")
	child.Env = append(os.Environ(), variable+"="+path)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	defer child.Process.Kill()
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || line != "held\n" {
		t.Fatalf("the child says %q, %v", line, err)
	}
	_, err = metadata.OpenSQLite(t.Context(), path, metadata.Options{})
	if !errors.Is(err, metadata.ErrLocked) {
		t.Fatalf("got the error %v, want ErrLocked", err)
	}
	if pid := strconv.Itoa(child.Process.Pid); !strings.Contains(err.Error(), pid) {
		t.Errorf("the error does not name the process %s: %v", pid, err)
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // killed
	openSQLite(t, path, metadata.Options{})
}

// hold opens a database and waits to be killed.
func hold(t *testing.T, path string) {
	if _, err := metadata.OpenSQLite(t.Context(), path, metadata.Options{}); err != nil {
		t.Fatal(err)
	}
	os.Stdout.WriteString("held\n")
	select {}
}
