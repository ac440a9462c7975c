package boot

import (
	"fmt"
	"slices"
	"strings"
)

// ConsoleArgs returns the arguments that make the kernel speak on the screen and
// on the first serial port, where clouds and `cloudlets boot` listen. The last is
// /dev/console.
func ConsoleArgs() []string { return []string{"console=tty0", "console=ttyS0,115200"} }

// CheckArgs refuses kernel arguments that a menu would have to quote.
func CheckArgs(args []string) error {
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

// Menu is what a bootloader offers to start.
type Menu struct {
	// Entries in the order of the menu; the first is the default. There is at
	// least one whose kernel has a version.
	Entries []Entry
	// Find is GRUB commands that set root to the filesystem with the kernels;
	// empty where GRUB has done so when it reads the menu.
	Find string
	// Last is GRUB commands that end the menu.
	Last string
}

// Entry is a kernel and how it is started.
type Entry struct {
	Kernel Kernel
	Args   []string
}

// menuTimeout is for how long menus wait for a key, in seconds.
const menuTimeout = 1

// grubHead starts grub.cfg. A GRUB for UEFI uses the firmware's console, which
// has a serial port where the firmware has.
const grubHead = `set default=0
set timeout=%d
if [ "$grub_platform" = "pc" ]; then
  if serial --unit=0 --speed=115200; then
    terminal_input console serial
    terminal_output console serial
  fi
fi
`

// GRUB returns the grub.cfg with the menu, for BIOS and UEFI alike, below a
// comment. Entries are guarded, because an upgrade within the system may have
// removed the kernels known now.
func (m Menu) GRUB(comment string) string {
	var b strings.Builder
	b.WriteString(comment)
	fmt.Fprintf(&b, grubHead, menuTimeout)
	b.WriteString(m.Find)
	for _, e := range m.Entries {
		k := e.Kernel
		fmt.Fprintf(&b, "if [ -f %s ]; then\n  menuentry '%s' {\n", k.Path, k.title())
		fmt.Fprintf(&b, "    linux %s %s\n", k.Path, quoteAll(e.Args))
		if k.Initrd != nil {
			fmt.Fprintf(&b, "    initrd %s\n", k.InitrdPath)
		}
		b.WriteString("  }\nfi\n")
	}
	b.WriteString(m.Last)
	return b.String()
}

// quoteAll quotes arguments for GRUB's shell, where $ and { mean something.
// [CheckArgs] has kept quotes out.
func quoteAll(args []string) string {
	return "'" + strings.Join(args, "' '") + "'"
}

// versions returns the entries of systemd-boot, which knows kernels by their
// versions.
func (m Menu) versions() []Entry {
	return slices.DeleteFunc(slices.Clone(m.Entries), func(e Entry) bool { return e.Kernel.Version == "" })
}

// defaultVersion returns the version of the first entry's kernel.
func (m Menu) defaultVersion() string {
	versions := m.versions()
	for _, e := range versions {
		if e.Kernel.Image == m.Entries[0].Kernel.Image {
			return e.Kernel.Version
		}
	}
	return versions[0].Kernel.Version
}

// loaderConfig returns systemd-boot's loader.conf (loader.conf(5)), which starts
// an entry.
func loaderConfig(entry string) string {
	return fmt.Sprintf("timeout %d\ndefault %s\n", menuTimeout, entry)
}

// loaderEntry returns the entry of a kernel that lies in dir on the ESP (UAPI
// Boot Loader Specification, "Type #1").
func (e Entry) loaderEntry(dir string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "title %s\nversion %s\nlinux %s/%s\n", e.Kernel.title(), e.Kernel.Version, dir, loaderKernel)
	if e.Kernel.Initrd != nil {
		fmt.Fprintf(&b, "initrd %s/%s\n", dir, loaderInitrd)
	}
	fmt.Fprintf(&b, "options %s\n", strings.Join(e.Args, " "))
	return b.String()
}
