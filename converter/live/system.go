package live

import (
	"errors"
	"path"
	"slices"
	"strings"

	"github.com/cloudlets/cloudlets/converter/boot"
	"github.com/cloudlets/cloudlets/image"
)

// ErrNotLive is returned where an image has no live system.
var ErrNotLive = errors.New("the image has no live system, so its initrd finds no root filesystem on a volume: " +
	"install one in its root filesystem and push it again (on Debian live-boot, on Ubuntu casper, " +
	"on Fedora dracut-live with add_dracutmodules+=\" dmsquash-live \" in /etc/dracut.conf.d and a new initrd), " +
	"or render its files alone, as a volume of data")

// ErrNoInitrd is returned where no kernel of an image has an initrd.
var ErrNoInitrd = errors.New("no kernel of the image has an initrd (no /boot/initrd.img-* for it), " +
	"which a live system needs: make one with the live system installed, on Debian with update-initramfs -u")

// system is a live system and what it expects on a volume.
type system struct {
	name string
	// marks are paths in a rootfs, any of which says that the system is there.
	marks []string
	// filesystem is where on the volume the root filesystem stands.
	filesystem string
	// args are the kernel's arguments, with labelMark where the label belongs.
	args []string
	// networkArgs are those with which it fetches the root filesystem, with urlMark
	// where its URL belongs; none where it cannot.
	networkArgs []string
	// networkMarks are as marks, for the part that uses the network; none where
	// that is always there.
	networkMarks []string
}

// labelMark stands for the label of the volume.
const labelMark = "%LABEL%"

// systems returns those that are known, the likeliest first: the scripts of
// initramfs-tools are there only where their package is, the modules of dracut
// may come with dracut itself.
func systems() []system {
	return []system{
		{
			name:        "live-boot",
			marks:       []string{"usr/share/initramfs-tools/scripts/live"},
			filesystem:  "/live/filesystem.squashfs",
			args:        []string{"boot=live"},
			networkArgs: []string{"boot=live", "fetch=" + urlMark},
		},
		{
			name:       "casper",
			marks:      []string{"usr/share/initramfs-tools/scripts/casper"},
			filesystem: "/casper/filesystem.squashfs",
			args:       []string{"boot=casper"},
		},
		{
			name: "dracut dmsquash-live",
			marks: []string{
				"usr/lib/dracut/modules.d/90dmsquash-live",
				"usr/lib/dracut/modules.d/70dmsquash-live", // since dracut 105
			},
			filesystem: "/LiveOS/squashfs.img",
			args:       []string{"root=live:CDLABEL=" + labelMark, "rd.live.image", "rd.live.overlay.overlayfs=1"},
			networkArgs: []string{
				"root=live:" + urlMark, "rd.live.image", "rd.live.overlay.overlayfs=1", "rd.neednet=1", "ip=dhcp",
			},
			networkMarks: []string{
				"usr/lib/dracut/modules.d/90livenet",
				"usr/lib/dracut/modules.d/70livenet", // since dracut 105
			},
		},
	}
}

// findSystem returns the live system of an image.
func findSystem(tree *image.Tree) (system, error) {
	for _, s := range systems() {
		if anyExists(tree, s.marks) {
			return s, nil
		}
	}
	return system{}, ErrNotLive
}

// arguments returns the kernel's arguments for a volume with that label.
func (s system) arguments(label string) []string {
	args := boot.ConsoleArgs()
	for i, arg := range s.args {
		args = slices.Insert(args, i, strings.ReplaceAll(arg, labelMark, label))
	}
	return args
}

// beside returns the path of a file beside the root filesystem.
func (s system) beside(name string) string { return path.Join(path.Dir(s.filesystem), name) }
