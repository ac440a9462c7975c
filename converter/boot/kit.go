package boot

import (
	"slices"

	"github.com/cloudlets/cloudlets/converter/grub"
)

// KitPaths returns the paths, from the root, of all that a boot kit may hold:
// files of bootloaders for UEFI, and the directory of GRUB's for BIOS.
func KitPaths() []string {
	paths := []string{grub.KitPath}
	for _, l := range uefiLoaders {
		for _, f := range l.files {
			paths = append(paths, f.from)
		}
	}
	slices.Sort(paths)
	return paths
}
