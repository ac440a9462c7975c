package live

import (
	"slices"
	"strings"

	"github.com/cloudlets/cloudlets/converter/boot"
	"github.com/cloudlets/cloudlets/image"
)

// urlMark stands for the URL of the root filesystem.
const urlMark = "%URL%"

// NetworkArguments returns the arguments of the kernel with which the live system
// of an image fetches its root filesystem, a squashfs, from a URL. ok is false
// where there is no such system, or it cannot do that: casper fetches whole volumes.
func NetworkArguments(tree *image.Tree, url string) (args []string, ok bool) {
	s, err := findSystem(tree)
	if err != nil || len(s.networkArgs) == 0 || !s.hasNetwork(tree) {
		return nil, false
	}
	for _, arg := range s.networkArgs {
		args = append(args, strings.ReplaceAll(arg, urlMark, url))
	}
	return slices.Concat(args, boot.ConsoleArgs()), true
}

// hasNetwork reports whether the part of the system that uses the network is
// there.
func (s system) hasNetwork(tree *image.Tree) bool {
	return len(s.networkMarks) == 0 || anyExists(tree, s.networkMarks)
}

// anyExists reports whether a tree has one of the paths.
func anyExists(tree *image.Tree, paths []string) bool {
	return slices.ContainsFunc(paths, func(path string) bool {
		_, err := tree.Resolve(path)
		return err == nil
	})
}
