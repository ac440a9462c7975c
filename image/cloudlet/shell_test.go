package cloudlet

import (
	"os/exec"
	"testing"
)

func TestShellRunsCommandsInTheirOrder(t *testing.T) {
	for name, c := range map[string]struct {
		entry Entrypoint
		want  string
		fails bool
	}{
		"command":          {Entrypoint{Command: []string{"echo", "it's"}}, "it's\n", false},
		"enter":            {Entrypoint{Enter: []string{"echo", "a'b $x"}, Command: []string{"echo", "c"}}, "a'b $x\nc\n", false},
		"enter and exit":   {Entrypoint{Enter: []string{"echo", "1"}, Command: []string{"sh", "-c", "echo 2; exit 3"}, Exit: []string{"echo", "3"}}, "1\n2\n3\n", true},
		"failing to enter": {Entrypoint{Enter: []string{"false"}, Command: []string{"echo", "c"}}, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			args := c.entry.Shell()
			out, err := exec.Command(args[0], args[1:]...).Output()
			if string(out) != c.want || (err != nil) != c.fails {
				t.Errorf("%q prints %q, %v", args, out, err)
			}
		})
	}
}
