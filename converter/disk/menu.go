package disk

import (
	"fmt"
	"slices"

	"github.com/cloudlets/cloudlets/converter/boot"
)

// menuComment starts grub.cfg.
const menuComment = `# Written when the disk was rendered. To change the menu from within the
# system, write GRUB commands to /boot/grub/custom.cfg: it is read last.
`

// findRoot looks for the root filesystem on the first disk first, so that a
// second disk made from the same image is not taken for it.
const findRoot = "search --no-floppy --fs-uuid --hint hd0,gpt%d --set=root %s\n"

const customMenu = `if [ -f /boot/grub/custom.cfg ]; then
  source /boot/grub/custom.cfg
fi
`

// redirect is the grub.cfg that a GRUB for UEFI finds where it was built to look.
// It has set root to the ESP.
const redirect = "set prefix=($root)" + boot.GRUBDir + "\nconfigfile " + boot.GRUBDir + "/grub.cfg\n"

// menu returns what is to be booted: what the image links to, then all kernels.
func (p *planner) menu() boot.Menu {
	m := boot.Menu{
		Find: fmt.Sprintf(findRoot, rootNumber, boot.FormatUUID(p.ids.filesystem)),
		Last: customMenu,
	}
	kernels := p.kernels
	if linked := boot.LinkedKernel(p.tree); linked != nil {
		kernels = slices.Concat([]boot.Kernel{*linked}, kernels)
	}
	for _, k := range kernels {
		m.Entries = append(m.Entries, boot.Entry{Kernel: k, Args: p.commandLine(k)})
	}
	return m
}

// commandLine returns the kernel's arguments. Only an initrd can find a
// filesystem by its UUID; a kernel by itself knows partitions alone.
//
// The root is mounted read-write: what would remount it later is /etc/fstab,
// which root filesystems made for images do not have filled in.
func (p *planner) commandLine(k boot.Kernel) []string {
	root := "root=UUID=" + boot.FormatUUID(p.ids.filesystem)
	if k.Initrd == nil {
		root = "root=PARTUUID=" + boot.FormatUUID(p.ids.root)
	}
	return slices.Concat([]string{root, "rw"}, boot.ConsoleArgs(), p.opts.KernelArgs)
}
