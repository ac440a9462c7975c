package grub

import (
	"fmt"
	"slices"
	"strings"
)

const (
	maxModDep  = 1 << 20 // bytes of moddep.lst; Debian 12's has 6 KB
	maxModule  = 1 << 20 // bytes of one module; Debian 12's longest has 150 KB
	maxModules = 1024    // modules in a core image; Debian 12 has 281 in all
	moduleExt  = ".mod"
)

// dependencies maps a module's name to those it needs, as moddep.lst says in
// lines of the form "name: need need".
type dependencies map[string][]string

func parseModDep(list []byte) (dependencies, error) {
	deps := make(dependencies)
	for line := range strings.Lines(string(list)) {
		if strings.TrimSpace(line) == "" {
			continue
		}
		name, needs, ok := strings.Cut(line, ":")
		name = strings.TrimSpace(name)
		if !ok || name == "" {
			return nil, fmt.Errorf("%s: line %.80q, expected \"module: module…\"", fileModDep, line)
		}
		deps[name] = strings.Fields(needs)
	}
	return deps, nil
}

// resolve returns the wanted modules and all they need, each once and after
// those it needs: the order in which GRUB can load them.
func (d dependencies) resolve(wanted []string) ([]string, error) {
	r := resolver{deps: d, state: make(map[string]visit)}
	for _, name := range wanted {
		if err := r.add(name); err != nil {
			return nil, err
		}
	}
	return r.order, nil
}

type visit uint8

const (
	visiting visit = iota + 1 // on the way down: seen again, it is a cycle
	visited
)

type resolver struct {
	deps  dependencies
	state map[string]visit
	order []string
}

// add appends name after what it needs, last need first: grub-mkimage's order.
// The depth of the recursion is bounded by maxModules, as every level marks
// another module.
func (r *resolver) add(name string) error {
	switch r.state[name] {
	case visited:
		return nil
	case visiting:
		return fmt.Errorf("%s: module %q needs itself", fileModDep, name)
	}
	needs, ok := r.deps[name]
	if !ok {
		return fmt.Errorf("%s knows no module %q", fileModDep, name)
	}
	if len(r.state) >= maxModules {
		return fmt.Errorf("more than %d modules are needed", maxModules)
	}
	r.state[name] = visiting
	for _, need := range slices.Backward(needs) {
		if err := r.add(need); err != nil {
			return err
		}
	}
	r.state[name] = visited
	r.order = append(r.order, name)
	return nil
}

// readModule returns the content of the named module.
func (k Kit) readModule(name string) ([]byte, error) {
	if strings.ContainsAny(name, "/\x00") {
		return nil, fmt.Errorf("module %q: not a file name", name)
	}
	data, err := k.read(name+moduleExt, maxModule)
	if err != nil {
		return nil, err
	}
	if err := checkModule(data); err != nil {
		return nil, fmt.Errorf("%s%s: %w", name, moduleExt, err)
	}
	return data, nil
}
