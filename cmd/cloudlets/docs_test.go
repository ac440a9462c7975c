package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

const commandPage = "../../docs/cli.md"

var update = flag.Bool("update", false, "write docs/cli.md anew")

func TestEveryCommandIsDocumented(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", "~/.local/share")
	want := commandDocs(newCommand())
	if *update {
		if err := os.WriteFile(commandPage, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(commandPage)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("docs/cli.md is not what the commands say of themselves: go test ./cmd/cloudlets -run %s -update", t.Name())
	}
}

// commandDocs returns the page about all commands.
func commandDocs(root *cobra.Command) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# The command line\n\nWhat `cloudlets COMMAND --help` says, on one page.\n\n%s\n", block(root.Long))
	fmt.Fprintf(&b, "\nFlags of all commands:\n\n%s", flagTable(root.PersistentFlags()))
	pull, _, _ := root.Find([]string{"pull"}) // one of them
	fmt.Fprintf(&b, "\nFlags of all commands that ask a registry:\n\n%s", flagTable(pull.PersistentFlags()))
	for _, cmd := range root.Commands() {
		if cmd.Name() != "help" && cmd.Name() != "completion" {
			describeCommand(&b, cmd)
		}
	}
	return b.Bytes()
}

func describeCommand(b *bytes.Buffer, cmd *cobra.Command) {
	fmt.Fprintf(b, "\n## %s\n\n", cmd.CommandPath())
	if cmd.Runnable() {
		fmt.Fprintf(b, "    %s%s\n\n", cmd.CommandPath(), strings.TrimPrefix(cmd.Use, cmd.Name()))
	}
	text := cmd.Long
	if text == "" {
		text = cmd.Short + "."
	}
	fmt.Fprintf(b, "%s\n", block(text))
	if cmd.Example != "" {
		fmt.Fprintf(b, "\nExamples:\n\n%s\n", block(cmd.Example))
	}
	if cmd.LocalNonPersistentFlags().HasAvailableFlags() {
		fmt.Fprintf(b, "\n%s", flagTable(cmd.LocalNonPersistentFlags()))
	}
	for _, sub := range cmd.Commands() {
		describeCommand(b, sub)
	}
}

// block indents the lines of help that are indented already, as Markdown wants
// code to be.
func block(text string) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, "  ") {
			lines[i] = "  " + line
		}
	}
	return strings.Join(lines, "\n")
}

func flagTable(flags *pflag.FlagSet) string {
	var b strings.Builder
	b.WriteString("| flag | meaning |\n|---|---|\n")
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Name == "help" || f.Name == "version" || f.Hidden {
			return
		}
		kind, usage := pflag.UnquoteUsage(f)
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		if kind != "" {
			name += " " + strings.ToUpper(kind)
		}
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "0" && f.DefValue != "0s" && f.DefValue != "[]" {
			usage += " (default " + f.DefValue + ")"
		}
		fmt.Fprintf(&b, "| `%s` | %s |\n", name, strings.ReplaceAll(usage, "|", "\\|"))
	})
	return b.String()
}
