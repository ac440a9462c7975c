package gitdir

import (
	"fmt"
	"slices"
	"strings"
)

// need is what a command of git needs done before and after it.
type need uint8

const (
	refreshBefore need = 1 << iota // it looks at the work tree
	stageBefore                    // it commits: with the metadata as it is
	stageAfter                     // it changes the index
	applyAfter                     // it may write to the work tree
	makes                          // it makes a repository

	// changes is what commands need that are not in the table.
	changes = refreshBefore | applyAfter
)

// needs are those of commands that need less than all, or something else. Commands
// that do nothing with the work tree need nothing.
var needs = tableOf(map[need]string{
	0: `annotate archive blame branch bundle cat-file check-attr check-ignore check-ref-format commit-graph commit-tree
		config count-objects credential diff-tree fast-export fetch for-each-ref format-patch fsck gc help hash-object
		interpret-trailers log ls-remote ls-tree maintenance merge-base merge-tree multi-pack-index name-rev notes
		pack-objects pack-refs prune push range-diff reflog remote repack replace request-pull rev-list rev-parse
		shortlog show show-branch show-ref symbolic-ref tag update-ref var verify-commit verify-pack verify-tag version
		whatchanged write-tree`,
	refreshBefore:                      `describe diff diff-files diff-index difftool grep ls-files status update-index`,
	refreshBefore | stageAfter:         `add rm mv stage`,
	refreshBefore | stageBefore:        `commit`,
	changes:                            `am apply bisect checkout checkout-index cherry-pick clean merge pull read-tree rebase reset restore revert stash switch`,
	makes | refreshBefore | applyAfter: `clone`,
	makes | refreshBefore:              `init`,
})

func tableOf(commands map[need]string) map[string]need {
	table := make(map[string]need)
	for n, names := range commands {
		for name := range strings.FieldsSeq(names) {
			table[name] = n
		}
	}
	return table
}

// withValue are the options of git itself that are followed by a value.
var withValue = []string{"-c", "-C", "--config-env", "--exec-path", "--namespace", "--super-prefix", "--list-cmds"}

// command returns where in the arguments of git the command is, or len(args).
func command(args []string) (int, error) {
	for i := 0; i < len(args); i++ {
		name, _, _ := strings.Cut(args[i], "=")
		switch {
		case name == "--git-dir" || name == "--work-tree" || name == "--bare":
			return 0, fmt.Errorf("%s: the directory before -- says where the repository is", name)
		case !strings.HasPrefix(args[i], "-"):
			return i, nil
		case name == args[i] && slices.Contains(withValue, name):
			i++
		}
	}
	return len(args), nil
}

// withForce returns the arguments of git add so that files in the rootfs that are
// called .gitignore hide nothing, and only volatile paths are left out. at is
// where the command stands.
func withForce(args []string, at int, volatile []string) []string {
	operands := args[at+1:]
	specs, ok := pathspecs(volatile)
	if len(operands) == 0 || !ok || slices.ContainsFunc(operands, func(a string) bool { return strings.HasPrefix(a, "--pathspec-") }) {
		return args
	}
	return slices.Concat(args[:at+1], []string{"--force"}, operands, specs)
}
