package gitdir

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// mergeDriver is what git calls the merge of metadata files (gitattributes(5),
// "Defining a custom merge driver").
const mergeDriver = "cloudlets-metadata"

// driverArgument is the argument with which this program merges metadata files.
const driverArgument = "merge-metadata-of-git"

// driverCommand returns the command line of the merge driver.
func driverCommand() (string, error) {
	program, err := os.Executable()
	if err != nil {
		return "", err
	}
	// git replaces %X, and gives the rest to a shell.
	program = strings.ReplaceAll(program, "%", "%%")
	return "'" + strings.ReplaceAll(program, "'", `'\''`) + "' " + driverArgument + " %O %A %B", nil
}

// Main merges metadata files and ends the process, if git started it for that;
// otherwise it returns at once. It is called before anything else, and by TestMain
// in the tests of packages that run git.
func Main() {
	if len(os.Args) != 5 || os.Args[1] != driverArgument {
		return
	}
	clean, err := mergeFiles(os.Args[2], os.Args[3], os.Args[4], os.Stderr)
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "cloudlets: merge metadata:", err)
		os.Exit(128 + 1) // above 128 git takes it for a failure, and no conflict
	case !clean:
		os.Exit(1)
	}
	os.Exit(0)
}

// mergeFiles merges three metadata files into the second, and tells of conflicts.
func mergeFiles(base, ours, theirs string, report io.Writer) (clean bool, err error) {
	var sides [3]metadata
	for i, path := range []string{base, ours, theirs} {
		text, err := os.ReadFile(path)
		if err != nil {
			return false, err
		}
		if sides[i], err = parseMetadata(text); err != nil {
			return false, err
		}
	}
	merged, conflicts := merge(sides[0], sides[1], sides[2])
	for _, c := range conflicts {
		fmt.Fprintf(report, "CONFLICT (metadata): /%s: %s is %s here and %s there: kept as here\n", c.path, c.keyword, side(c.ours), side(c.theirs))
	}
	return len(conflicts) == 0, os.WriteFile(ours, merged.encode(), 0o600)
}

// side shows what a side says of a keyword.
func side(value string) string {
	if value == "" {
		return "nothing"
	}
	return strings.TrimPrefix(value, "=")
}
