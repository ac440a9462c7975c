package lint

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/cloudlets/cloudlets/converter/boot"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// kernelFacts are what is known of the kernel that is booted by default.
type kernelFacts struct {
	boot.Kernel
	version string // of the linked kernel, too

	config  map[string]string // symbols without CONFIG_; nil if unknown
	builtin map[string]bool   // modules that are built in; nil if unknown
	rootfs  map[string]bool   // modules in the rootfs
	initrd  map[string]bool   // modules in the initrd
	files   map[string]bool   // in the initrd, by path; nil without one
	// unreadable is why the initrd cannot be read; nil if it can.
	unreadable error
}

// modulesDir has a directory for each kernel.
const modulesDir = "lib/modules"

// findKernel returns what is known of the kernel, or nil where there is none.
func (f *facts) findKernel(ctx context.Context, open extent.Opener) (*kernelFacts, error) {
	kernels, err := boot.FindKernels(f.tree)
	if errors.Is(err, boot.ErrNoKernel) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	k := &kernelFacts{Kernel: kernels[0], version: kernels[0].Version, rootfs: make(map[string]bool)}
	if linked := boot.LinkedKernel(f.tree); linked != nil {
		for _, other := range kernels {
			if other.Image == linked.Image {
				k.Kernel, k.version = other, other.Version
			}
		}
	}
	if text, ok, err := f.read(ctx, open, k.configPath()); err != nil {
		return nil, err
	} else if ok {
		k.config = parseConfig(text)
	}
	if text, ok, err := f.read(ctx, open, path.Join(k.modules(), "modules.builtin")); err != nil {
		return nil, err
	} else if ok {
		k.builtin = make(map[string]bool)
		for line := range strings.Lines(text) {
			addModule(k.builtin, strings.TrimSpace(line))
		}
	}
	if dir, err := f.tree.Resolve(k.modules()); err == nil && dir.IsDir() {
		collectModules(dir, k.rootfs, 0)
	}
	return k, k.readInitrd(ctx, open)
}

func (k *kernelFacts) configPath() string { return "boot/config-" + k.version }

func (k *kernelFacts) modules() string { return path.Join(modulesDir, k.version) }

// parseConfig reads a kernel's configuration.
func parseConfig(text string) map[string]string {
	config := make(map[string]string)
	for line := range strings.Lines(text) {
		if symbol, ok := strings.CutPrefix(line, "CONFIG_"); ok {
			if name, value, ok := strings.Cut(strings.TrimSpace(symbol), "="); ok {
				config[name] = value
			}
		}
	}
	return config
}

// maxModuleDepth is how deep directories of modules are gone into.
const maxModuleDepth = 16

func collectModules(dir *image.Inode, to map[string]bool, depth int) {
	for _, name := range dir.Names() {
		n := dir.Lookup(name)
		if n.IsDir() && depth < maxModuleDepth {
			collectModules(n, to, depth+1)
		} else {
			addModule(to, name)
		}
	}
}

// addModule adds a module by the path of its file. Kernels take - and _ in names
// for one another.
func addModule(to map[string]bool, file string) {
	name := path.Base(file)
	for _, compressed := range []string{".gz", ".xz", ".zst"} {
		name = strings.TrimSuffix(name, compressed)
	}
	if module, ok := strings.CutSuffix(name, ".ko"); ok {
		to[strings.ReplaceAll(module, "-", "_")] = true
	}
}

// readInitrd reads what files the initrd has. One that cannot be read is a fact
// like others.
func (k *kernelFacts) readInitrd(ctx context.Context, open extent.Opener) (err error) {
	if k.Initrd == nil {
		return nil
	}
	var b extent.Builder
	for _, e := range k.Initrd.Content {
		b.Extent(e)
	}
	m, err := b.Build()
	if err != nil {
		return err
	}
	r := extent.NewReader(ctx, m, open)
	defer func() { err = errors.Join(err, r.Close()) }()
	failing := &failingReader{r: bufio.NewReaderSize(io.NewSectionReader(r, 0, m.Size()), 1<<20)}
	files, err := initrdNames(failing)
	if failing.err != nil {
		return fmt.Errorf("read %s: %w", k.InitrdPath, failing.err)
	}
	if err != nil {
		k.unreadable = err
		return nil
	}
	k.files, k.initrd = files, make(map[string]bool)
	for file := range files {
		addModule(k.initrd, file)
	}
	return nil
}

// failingReader remembers that it could not be read, which is no fault of what
// was to be read.
type failingReader struct {
	r   io.Reader
	err error
}

func (f *failingReader) Read(p []byte) (int, error) {
	n, err := f.r.Read(p)
	if err != nil && err != io.EOF {
		f.err = err
	}
	return n, err
}

// place is where a driver is.
type place int

const (
	absent  place = iota
	unknown       // it may be built in
	inRootfs
	inInitrd
	inKernel
)

func (p place) String() string {
	return [...]string{"not there", "not a module; whether it is built in cannot be told", "a module in the root filesystem, not in the initrd", "in the initrd", "built in"}[p]
}

// find says where a driver is. A driver has the name of its module.
func (k *kernelFacts) find(driver string) place {
	name := strings.ReplaceAll(driver, "-", "_")
	switch {
	case k.builtin[name] || k.config[driverSymbols[driver]] == "y":
		return inKernel
	case k.initrd[name]:
		return inInitrd
	case k.rootfs[name]:
		return inRootfs
	case k.config == nil && k.builtin == nil || k.unreadable != nil:
		return unknown
	}
	return absent
}

// places says where drivers are looked for.
func (k *kernelFacts) places() string {
	places := []string{"/" + path.Join(k.modules(), "modules.builtin"), "/" + k.configPath(), "/" + k.modules()}
	for i, known := range []bool{k.builtin != nil, k.config != nil, len(k.rootfs) > 0} {
		if !known {
			places[i] += " (not there)"
		}
	}
	switch {
	case k.Initrd == nil:
		places = append(places, "an initrd (not there)")
	case k.unreadable != nil:
		places = append(places, fmt.Sprintf("%s (not read: %v)", k.InitrdPath, k.unreadable))
	default:
		places = append(places, k.InitrdPath)
	}
	return strings.Join(places, ", ")
}
