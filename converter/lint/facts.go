package lint

import (
	"context"
	"fmt"
	"path"
	"strings"

	"github.com/cloudlets/cloudlets/converter/boot"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// facts are what was found in an image. They are gathered once for all providers.
type facts struct {
	tree       *image.Tree
	kernel     *kernelFacts // nil: there is none
	uefi, bios bool
	// texts are the files that were read, by path.
	texts map[string]string
}

// maxText bounds files that are read whole, in bytes. A kernel's configuration
// has 300 KiB.
const maxText = 4 << 20

// textFiles are the files that checks look into.
var textFiles = []string{"etc/shadow", "etc/machine-id", "var/lib/dbus/machine-id", "etc/inittab", "etc/network/interfaces", "etc/wsl.conf"}

// textDirs are directories whose files checks look into, by the ending of names.
var textDirs = map[string]string{
	"etc/network/interfaces.d": "", "etc/systemd/network": ".network",
	"usr/lib/repart.d": ".conf", "etc/repart.d": ".conf",
}

func gather(ctx context.Context, tree *image.Tree, open extent.Opener) (*facts, error) {
	f := &facts{tree: tree, texts: make(map[string]string)}
	unified, err := boot.FindUnified(ctx, open, tree)
	if err != nil {
		return nil, err
	}
	if f.kernel, err = f.findKernel(ctx, open, unified); err != nil {
		return nil, err
	}
	wanted, err := boot.WantsUnified(ctx, open, tree)
	if err != nil {
		return nil, err
	}
	loaders, err := boot.FindBootloaders(ctx, open, tree)
	if err != nil {
		return nil, err
	}
	f.uefi, f.bios = loaders.HasUEFI() || len(unified) > 0 || wanted, loaders.BIOS != nil
	return f, f.readTexts(ctx, open)
}

func (f *facts) readTexts(ctx context.Context, open extent.Opener) error {
	files := textFiles
	for dir, suffix := range textDirs {
		for _, name := range f.names(dir) {
			if strings.HasSuffix(name, suffix) {
				files = append(files[:len(files):len(files)], path.Join(dir, name))
			}
		}
	}
	for _, file := range files {
		text, ok, err := f.read(ctx, open, file)
		if err != nil {
			return err
		}
		if ok {
			f.texts[file] = text
		}
	}
	return nil
}

// read returns the content of a text, and whether there is one.
func (f *facts) read(ctx context.Context, open extent.Opener, file string) (string, bool, error) {
	n := f.regular(file)
	if n == nil {
		return "", false, nil
	}
	content, err := n.Read(ctx, open, maxText)
	if err != nil {
		return "", false, fmt.Errorf("read /%s: %w", file, err)
	}
	return string(content), true, nil
}

// regular returns the regular file at a path, or nil.
func (f *facts) regular(file string) *image.Inode {
	n, err := f.tree.Resolve(file)
	if err != nil || !n.IsRegular() {
		return nil
	}
	return n
}

// has returns the first of the paths that is in the tree, or "".
func (f *facts) has(paths ...string) string {
	for _, p := range paths {
		// A link may lead out of what is there now, such as to /run.
		if n := f.tree.Lookup(p); n != nil {
			return p
		}
		if _, err := f.tree.Resolve(p); err == nil {
			return p
		}
	}
	return ""
}

// names returns the names in a directory.
func (f *facts) names(dir string) []string {
	n, err := f.tree.Resolve(dir)
	if err != nil || !n.IsDir() {
		return nil
	}
	return n.Names()
}
