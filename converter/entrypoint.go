package converter

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/cloudlets/cloudlets/converter/disk"
	"github.com/cloudlets/cloudlets/image"
	"github.com/cloudlets/cloudlets/image/cloudlet"
)

// arch is the architecture that disks are made for.
const arch = "amd64"

// entries returns the kinds of entry points that an output can start, the first
// that the image has being taken.
func (f Format) entries() []string {
	if f.shell {
		return []string{cloudlet.EntryChroot}
	}
	return []string{cloudlet.EntryKernel, cloudlet.EntryInit}
}

// enter chooses the entry point of an output, sees to it that its requirements
// are met, and returns the kernel arguments that it needs. An image that names no
// entry points can have any.
func enter(root *image.Tree, f Format, p Parameters) (args []string, err error) {
	kind, err := p.chooseEntrypoint(f)
	if err != nil {
		return nil, err
	}
	entry := p.Manifest.Entrypoints[kind]
	if entry == nil {
		return nil, nil
	}
	machine, kernel := "", ""
	if kind != cloudlet.EntryChroot {
		machine, kernel = arch, disk.KernelVersion(root)
	}
	if err := entry.Requires.Check(machine, kernel); err != nil {
		return nil, fmt.Errorf("entry point %s: %w", kind, err)
	}
	if kind != cloudlet.EntryInit || len(entry.Command) == 0 {
		return nil, nil
	}
	args = []string{"init=" + entry.Command[0]}
	if len(entry.Command) > 1 {
		args = append(append(args, "--"), entry.Command[1:]...)
	}
	return args, nil
}

func (p Parameters) chooseEntrypoint(f Format) (string, error) {
	can := f.entries()
	if p.Entrypoint != "" {
		if !slices.Contains(can, p.Entrypoint) {
			return "", fmt.Errorf("format %s cannot start the entry point %s: it starts %s", p.Format, p.Entrypoint, strings.Join(can, " or "))
		}
		return p.Entrypoint, nil
	}
	has := slices.Sorted(maps.Keys(p.Manifest.Entrypoints))
	if len(has) == 0 {
		return can[0], nil
	}
	for _, kind := range can {
		if slices.Contains(has, kind) {
			return kind, nil
		}
	}
	return "", fmt.Errorf("the image has the entry points %s, and format %s starts %s: render it into another format, or try with --entrypoint %s",
		strings.Join(has, ", "), p.Format, strings.Join(can, " or "), can[0])
}
