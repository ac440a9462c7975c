package disk_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/cloudlets/cloudlets/converter/boot"
	"github.com/cloudlets/cloudlets/converter/disk"
)

func TestKitPathsNameAllThatIsUsed(t *testing.T) {
	opts := disk.Options{FreeSpace: 4 * mib}
	for name, loader := range map[string]files{"shim": shimAndGRUB, "GRUB": plainGRUB, "systemd-boot": systemdBoot} {
		all := loader.With(biosGRUB(t)).With(files{"usr/bin/x": "no bootloader"})
		kit := make(files)
		for path, content := range all {
			if slices.ContainsFunc(boot.KitPaths(), func(p string) bool { return path == p || strings.HasPrefix(path, p+"/") }) {
				kit[path] = content
			}
		}
		if len(kit) == len(all) {
			t.Errorf("%s: the kit is everything", name)
		}
		whole, small := mustPlan(t, rootfs(), all, opts), mustPlan(t, rootfs(), kit, opts)
		if !reflect.DeepEqual(whole.disk, small.disk) {
			t.Errorf("%s: a disk made with the kit differs from one made with all files", name)
		}
	}
}
