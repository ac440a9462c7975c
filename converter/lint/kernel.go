package lint

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/cloudlets/cloudlets/converter/boot"
	"github.com/cloudlets/cloudlets/converter/uki"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// kernelFacts are what is known of the kernel that is booted by default.
type kernelFacts struct {
	version    string
	configPath string
	hasInitrd  bool
	initrdName string // in messages; empty without one

	// unified is the unified kernel image that boots; nil where there is a kernel
	// in /boot. commandLine is what it has for its kernel.
	unified     *boot.UnifiedKernel
	commandLine string

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

// findKernel returns what is known of the kernel, or nil where there is none: the
// one that the image links to, else the newest in /boot, else the newest unified
// kernel image.
func (f *facts) findKernel(ctx context.Context, open extent.Opener, unified []boot.UnifiedKernel) (*kernelFacts, error) {
	kernels, err := boot.FindKernels(f.tree)
	switch {
	case err == nil:
		return f.bootedKernel(ctx, open, kernels)
	case !errors.Is(err, boot.ErrNoKernel):
		return nil, err
	case len(unified) > 0:
		return f.unifiedKernel(ctx, open, unified[0])
	}
	return nil, nil
}

// bootedKernel returns what is known of a kernel in /boot.
func (f *facts) bootedKernel(ctx context.Context, open extent.Opener, kernels []boot.Kernel) (*kernelFacts, error) {
	kernel := kernels[0]
	if linked := boot.LinkedKernel(f.tree); linked != nil {
		for _, other := range kernels {
			if other.Image == linked.Image {
				kernel = other
			}
		}
	}
	k := &kernelFacts{version: kernel.Version, hasInitrd: kernel.Initrd != nil, initrdName: kernel.InitrdPath}
	if err := f.readModules(ctx, open, k); err != nil || kernel.Initrd == nil {
		return k, err
	}
	m, err := kernel.Initrd.Map()
	if err != nil {
		return nil, err
	}
	return k, k.readInitrd(ctx, open, m)
}

// unifiedKernel returns what is known of a unified kernel image.
func (f *facts) unifiedKernel(ctx context.Context, open extent.Opener, u boot.UnifiedKernel) (k *kernelFacts, err error) {
	m, err := u.File.Map()
	if err != nil {
		return nil, err
	}
	r := extent.NewReader(ctx, m, open)
	defer func() { err = errors.Join(err, r.Close()) }()
	program, err := uki.Open(r, m.Size())
	if err != nil {
		return nil, err
	}
	k = &kernelFacts{unified: &u}
	if k.version, err = sectionText(r, program, uki.SectionUname); err != nil {
		return nil, err
	}
	if k.commandLine, err = sectionText(r, program, uki.SectionCommandLine); err != nil {
		return nil, err
	}
	k.version = cmp.Or(k.version, u.Name)
	if err := f.readModules(ctx, open, k); err != nil {
		return nil, err
	}
	s := program.Section(uki.SectionInitrd)
	if s == nil {
		return k, nil
	}
	k.hasInitrd, k.initrdName = true, u.Name+".efi"
	initrd, err := extent.Slice(m, s.Offset, s.Size)
	if err != nil {
		return nil, err
	}
	return k, k.readInitrd(ctx, open, initrd)
}

// maxSection bounds sections that are read as text, in bytes.
const maxSection = 64 << 10

// sectionText returns the text in a section, or "".
func sectionText(r io.ReaderAt, program *uki.Image, name string) (string, error) {
	s := program.Section(name)
	if s == nil {
		return "", nil
	}
	text := make([]byte, min(s.Size, maxSection))
	if n, err := r.ReadAt(text, s.Offset); err != nil && (err != io.EOF || n < len(text)) {
		return "", fmt.Errorf("section %s: %w", name, err)
	}
	return strings.TrimSpace(strings.TrimRight(string(text), "\x00")), nil
}

// readModules reads the configuration of the kernel, and which modules it has.
func (f *facts) readModules(ctx context.Context, open extent.Opener, k *kernelFacts) error {
	k.rootfs = make(map[string]bool)
	k.configPath = "boot/config-" + k.version
	// Fedora keeps it with the modules.
	if beside := path.Join(k.modules(), "config"); f.regular(k.configPath) == nil && f.regular(beside) != nil {
		k.configPath = beside
	}
	if text, ok, err := f.read(ctx, open, k.configPath); err != nil {
		return err
	} else if ok {
		k.config = parseConfig(text)
	}
	if text, ok, err := f.read(ctx, open, path.Join(k.modules(), "modules.builtin")); err != nil {
		return err
	} else if ok {
		k.builtin = make(map[string]bool)
		for line := range strings.Lines(text) {
			addModule(k.builtin, strings.TrimSpace(line))
		}
	}
	if dir, err := f.tree.Resolve(k.modules()); err == nil && dir.IsDir() {
		collectModules(dir, k.rootfs, 0)
	}
	return nil
}

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
func (k *kernelFacts) readInitrd(ctx context.Context, open extent.Opener, m *extent.Map) (err error) {
	r := extent.NewReader(ctx, m, open)
	defer func() { err = errors.Join(err, r.Close()) }()
	failing := &failingReader{r: bufio.NewReaderSize(io.NewSectionReader(r, 0, m.Size()), 1<<20)}
	files, err := initrdNames(failing)
	if failing.err != nil {
		return fmt.Errorf("read %s: %w", k.initrdName, failing.err)
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
	places := []string{"/" + path.Join(k.modules(), "modules.builtin"), "/" + k.configPath, "/" + k.modules()}
	for i, known := range []bool{k.builtin != nil, k.config != nil, len(k.rootfs) > 0} {
		if !known {
			places[i] += " (not there)"
		}
	}
	switch {
	case !k.hasInitrd:
		places = append(places, "an initrd (not there)")
	case k.unreadable != nil:
		places = append(places, fmt.Sprintf("%s (not read: %v)", k.initrdName, k.unreadable))
	default:
		places = append(places, k.initrdName)
	}
	return strings.Join(places, ", ")
}
