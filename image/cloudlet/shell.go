package cloudlet

import "strings"

// Shell returns what a container engine or a shell starts: the command of the
// entry point. Where it has commands for entry and exit, a shell of the image runs
// them before and after it; the status is that of the command, and where the
// command for entry fails, its.
func (e *Entrypoint) Shell() []string {
	if len(e.Enter) == 0 && len(e.Exit) == 0 {
		return e.Command
	}
	script := `exec "$@"`
	if len(e.Exit) > 0 {
		script = `"$@"; status=$?; ` + quoteCommand(e.Exit) + `; exit $status`
	}
	if len(e.Enter) > 0 {
		script = quoteCommand(e.Enter) + ` || exit; ` + script
	}
	return append([]string{"/bin/sh", "-c", script, "sh"}, e.Command...)
}

// quoteCommand quotes a command for a POSIX shell.
func quoteCommand(command []string) string {
	quoted := make([]string, len(command))
	for i, word := range command {
		quoted[i] = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	return strings.Join(quoted, " ")
}
