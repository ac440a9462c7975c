package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/cloudlets/cloudlets"

// rooms are the folders that code lives in, from the top of the house down, as
// docs/architecture.md lists them. A room may import those below it.
var rooms = []string{
	"cmd/cloudlets",
	"provider",
	"client",
	"registry",
	"config",
	"converter",
	"image",
	"blobstore",
	"nbd",
	"extent",
	"api",
}

// standalone rooms import nothing of ours, and nobody imports them.
var standalone = []string{"bench", "conformance"}

func TestImportsPointDown(t *testing.T) {
	files := token.NewFileSet()
	err := filepath.WalkDir("../..", func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() && (strings.HasPrefix(e.Name(), ".") && path != "../.." || e.Name() == "testdata") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return nil
		}
		parsed, err := parser.ParseFile(files, path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		folder, err := filepath.Rel("../..", filepath.Dir(path))
		if err != nil {
			return err
		}
		for _, spec := range parsed.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			checkImport(t, filepath.ToSlash(folder), imported)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func checkImport(t *testing.T, folder, imported string) {
	t.Helper()
	target, ours := strings.CutPrefix(imported, module+"/")
	if (within(folder, "extent") || within(folder, "nbd")) && !ours && strings.Contains(strings.Split(imported, "/")[0], ".") {
		t.Errorf("%s imports %s: it imports the standard library only", folder, imported)
	}
	if !ours {
		return
	}
	for _, alone := range standalone {
		if within(folder, alone) && !within(target, alone) || within(target, alone) && !within(folder, alone) {
			t.Errorf("%s imports %s: %s stands alone", folder, target, alone)
		}
	}
	if within(folder, "nbd") && !within(target, "extent") {
		t.Errorf("%s imports %s: nbd imports extent only", folder, target)
	}
	from, to := room(folder), room(target)
	if from < 0 {
		if !isStandalone(folder) {
			t.Errorf("%s is in no room: add it to docs/architecture.md and to this test", folder)
		}
		return
	}
	if to < from {
		t.Errorf("%s imports %s, which is above it", folder, target)
	}
}

func within(folder, room string) bool { return folder == room || strings.HasPrefix(folder, room+"/") }

func isStandalone(folder string) bool {
	for _, s := range standalone {
		if within(folder, s) {
			return true
		}
	}
	return false
}

// room returns the place of a folder's room in the list, or -1.
func room(folder string) int {
	for i, r := range rooms {
		if within(folder, r) {
			return i
		}
	}
	return -1
}

func TestRoomsAreInTheDocs(t *testing.T) {
	page, err := os.ReadFile("../../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range append(slices.Clone(rooms), "conformance") {
		if !strings.Contains(string(page), "`"+r+"`") {
			t.Errorf("docs/architecture.md does not list the room %s", r)
		}
	}
}
