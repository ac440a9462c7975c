package disk

import (
	"fmt"
	"strings"
)

// consoleArgs make the kernel speak on the screen and on the first serial port,
// where clouds and `cloudlets boot` listen. The last is /dev/console.
var consoleArgs = []string{"console=tty0", "console=ttyS0,115200"}

// bootMenu is what a bootloader must know.
type bootMenu struct {
	filesystem string  // UUID of the root filesystem
	partition  string  // GUID of the root partition
	linked     *kernel // what the image links to as its kernel, or nil
	kernels    []kernel
	args       []string // kernel arguments of the user
}

// checkArgs refuses kernel arguments that a menu would have to quote.
func checkArgs(args []string) error {
	for _, arg := range args {
		if arg == "" || strings.ContainsFunc(arg, func(r rune) bool {
			return r <= ' ' || r > '~' || strings.ContainsRune("'\"\\", r)
		}) {
			return fmt.Errorf("kernel argument %q: expected printable ASCII without spaces, quotes and backslashes; "+
				"give each argument by itself", arg)
		}
	}
	return nil
}

// commandLine returns the kernel's arguments. Only an initrd can find a
// filesystem by its UUID; a kernel by itself knows partitions alone.
//
// The root is mounted read-write: what would remount it later is /etc/fstab,
// which root filesystems made for images do not have filled in.
func (m bootMenu) commandLine(k kernel) []string {
	root := "root=UUID=" + m.filesystem
	if k.initrd == nil {
		root = "root=PARTUUID=" + m.partition
	}
	line := append([]string{root, "rw"}, consoleArgs...)
	return append(line, m.args...)
}

// menuTimeout is for how long menus wait for a key, in seconds.
const menuTimeout = 1

// grubHead starts grub.cfg. The root filesystem is looked for on the first disk
// first, so that a second disk made from the same image is not taken for it. A
// GRUB for UEFI uses the firmware's console, which has a serial port where the
// firmware has.
const grubHead = `# Written when the disk was rendered. To change the menu from within the
# system, write GRUB commands to /boot/grub/custom.cfg: it is read last.
set default=0
set timeout=%d
if [ "$grub_platform" = "pc" ]; then
  if serial --unit=0 --speed=115200; then
    terminal_input console serial
    terminal_output console serial
  fi
fi
search --no-floppy --fs-uuid --hint hd0,gpt%d --set=root %s
`

const grubTail = `if [ -f /boot/grub/custom.cfg ]; then
  source /boot/grub/custom.cfg
fi
`

// grubConfig returns the grub.cfg with the menu, for BIOS and UEFI alike.
// Entries are guarded, because an upgrade within the system may have removed
// the kernels known now.
func (m bootMenu) grubConfig() string {
	var b strings.Builder
	fmt.Fprintf(&b, grubHead, menuTimeout, rootNumber, m.filesystem)
	for _, k := range m.entries() {
		fmt.Fprintf(&b, "if [ -f %s ]; then\n  menuentry '%s' {\n", k.path, k.title())
		fmt.Fprintf(&b, "    linux %s %s\n", k.path, quoteAll(m.commandLine(k)))
		if k.initrd != nil {
			fmt.Fprintf(&b, "    initrd %s\n", k.initrdPath)
		}
		b.WriteString("  }\nfi\n")
	}
	b.WriteString(grubTail)
	return b.String()
}

// entries returns the kernels in the order of the GRUB menu.
func (m bootMenu) entries() []kernel {
	if m.linked == nil {
		return m.kernels
	}
	return append([]kernel{*m.linked}, m.kernels...)
}

// quoteAll quotes arguments for GRUB's shell, where $ and { mean something.
// [checkArgs] has kept quotes out.
func quoteAll(args []string) string {
	return "'" + strings.Join(args, "' '") + "'"
}

// grubRedirect is the grub.cfg that a GRUB for UEFI finds where it was built to
// look. It has set root to the ESP.
const grubRedirect = "set prefix=($root)" + grubDir + "\nconfigfile " + grubDir + "/grub.cfg\n"

// loaderConfig returns systemd-boot's loader.conf (loader.conf(5)). The default
// is the version that the image links to, else the newest.
func (m bootMenu) loaderConfig() string {
	version := m.kernels[0].version
	for _, k := range m.kernels {
		if m.linked != nil && k.image == m.linked.image {
			version = k.version
		}
	}
	return fmt.Sprintf("timeout %d\ndefault %s.conf\n", menuTimeout, version)
}

// loaderEntry returns the entry of a kernel that lies in dir on the ESP (UAPI
// Boot Loader Specification, "Type #1").
func (m bootMenu) loaderEntry(k kernel, dir string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "title %s\nversion %s\nlinux %s/%s\n", k.title(), k.version, dir, loaderKernel)
	if k.initrd != nil {
		fmt.Fprintf(&b, "initrd %s/%s\n", dir, loaderInitrd)
	}
	fmt.Fprintf(&b, "options %s\n", strings.Join(m.commandLine(k), " "))
	return b.String()
}
