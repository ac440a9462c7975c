package image

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/cloudlets/cloudlets/image/cloudlet"
)

// Validate compares a cloudlet manifest that keeps to its schema with the rootfs
// it is for, and returns what does not fit: templates and programs that are not
// there, templates that no output holds, defaults that are not valid.
func Validate(t *Tree, m *CloudletManifest) cloudlet.Problems {
	problems := m.CheckDefaults()
	classifier := m.Classifier()
	for i, template := range m.Templates {
		at := fmt.Sprintf("/templates/%d", i)
		class, err := classifier.Classes(path.Clean(template))
		n, missing := t.Resolve(template)
		switch {
		case err != nil:
			problems = append(problems, cloudlet.Problem{Pointer: at, Value: template, Rule: err.Error()})
		case missing != nil || !n.IsRegular():
			problems = append(problems, cloudlet.Problem{Pointer: at, Value: template, Rule: "expected a file in the image", Advice: "add the file, or take it off the list"})
		case class&cloudlet.Volatile != 0:
			problems = append(problems, cloudlet.Problem{Pointer: at, Value: template, Rule: "it is volatile too, so that outputs do not have it"})
		}
	}
	for _, kind := range slices.Sorted(maps.Keys(m.Entrypoints)) {
		problems = append(problems, validateEntrypoint(t, kind, m.Entrypoints[kind])...)
	}
	return problems
}

func validateEntrypoint(t *Tree, kind string, e *cloudlet.Entrypoint) cloudlet.Problems {
	var problems cloudlet.Problems
	at := "/entrypoints/" + kind
	for _, c := range []struct {
		field   string
		command []string
	}{{"command", e.Command}, {"enter", e.Enter}, {"exit", e.Exit}} {
		if len(c.command) > 0 && !isProgram(t, c.command[0]) {
			problems = append(problems, cloudlet.Problem{
				Pointer: at + "/" + c.field + "/0", Value: c.command[0],
				Rule: "expected a program in the image", Advice: "add it, or correct its path",
			})
		}
	}
	switch {
	case kind == cloudlet.EntryKernel && !hasKernel(t):
		problems = append(problems, cloudlet.Problem{Pointer: at, Rule: "expected a kernel in the image, /boot/vmlinuz*"})
	case kind == cloudlet.EntryInit && len(e.Command) == 0 && !slices.ContainsFunc(defaultInits, func(program string) bool { return isProgram(t, program) }):
		problems = append(problems, cloudlet.Problem{Pointer: at, Rule: "expected an init program in the image: one of " + strings.Join(defaultInits, ", ")})
	}
	return problems
}

// defaultInits are what Linux starts without init= (init/main.c, kernel_init).
var defaultInits = []string{"/sbin/init", "/etc/init", "/bin/init", "/bin/sh"}

// searchPath is where programs without a slash in their names are looked for.
var searchPath = []string{"/usr/local/sbin/", "/usr/local/bin/", "/usr/sbin/", "/usr/bin/", "/sbin/", "/bin/"}

// isProgram reports whether a command is the name of an executable file.
func isProgram(t *Tree, command string) bool {
	if !strings.Contains(command, "/") {
		return slices.ContainsFunc(searchPath, func(dir string) bool { return isProgram(t, dir+command) })
	}
	n, err := t.Resolve(command)
	return err == nil && n.IsRegular() && n.Mode&0o111 != 0
}

func hasKernel(t *Tree) bool {
	boot, err := t.Resolve("/boot")
	if err != nil || !boot.IsDir() {
		return false
	}
	return slices.ContainsFunc(boot.Names(), func(name string) bool {
		return strings.HasPrefix(name, "vmlinuz") || strings.HasPrefix(name, "vmlinux")
	})
}
