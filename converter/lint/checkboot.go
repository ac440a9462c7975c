package lint

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// checkKernel looks for a kernel, where the provider has none of its own.
func (l *linter) checkKernel() {
	if l.way == fromFiles || l.kernel != nil && (l.kernel.unified == nil || l.way == fromDisk) {
		return
	}
	l.report(Finding{
		Error, "kernel", "the image has no kernel", "the provider has none of its own",
		"install one in the root filesystem, on Debian linux-image-cloud-amd64", "a file /boot/vmlinuz-VERSION",
	})
}

// checkGuest looks for what lets the kernel run there at all.
func (l *linter) checkGuest() {
	k := l.kernel
	if k == nil || len(l.guest) == 0 {
		return
	}
	symbols := "CONFIG_" + strings.Join(l.guest, "=y or CONFIG_") + "=y"
	if k.config == nil {
		l.report(Finding{
			Warning, "guest", "whether the kernel runs as a guest of " + l.name + " cannot be told", "it is loaded without firmware, which a kernel has to be built for",
			"keep /" + k.configPath + " in the image", symbols + " in /" + k.configPath + " (not there)",
		})
		return
	}
	if !slices.ContainsFunc(l.guest, func(symbol string) bool { return k.config[symbol] == "y" }) {
		l.report(Finding{
			Error, "guest", "the kernel does not run as a guest of " + l.name, "it is loaded without firmware, which a kernel has to be built for",
			"install a kernel with " + symbols, symbols + " in /" + k.configPath,
		})
	}
}

// bootloaderFiles says what a bootloader is for each firmware.
var bootloaderFiles = map[firmware]struct{ looked, do string }{
	uefi: {"/usr/lib/shim and /usr/lib/grub/x86_64-efi-signed, /usr/lib/grub/x86_64-efi/monolithic/grubx64.efi, /usr/lib/systemd/boot/efi, unified kernel images",
		"install grub-efi-amd64-bin or systemd-boot-efi, or render with a boot kit (--bootkit)"},
	bios: {"/usr/lib/grub/i386-pc", "install grub-pc-bin, or render with a boot kit (--bootkit)"},
}

// checkBootloader looks for what the provider's firmware starts.
func (l *linter) checkBootloader() {
	if len(l.firmware) == 0 {
		return
	}
	starts := map[firmware]bool{uefi: l.uefi, bios: l.bios}
	var looked, do []string
	for _, fw := range l.firmware {
		looked, do = append(looked, bootloaderFiles[fw].looked), append(do, "for "+string(fw)+" "+bootloaderFiles[fw].do)
	}
	usual := l.firmware[0]
	switch {
	case starts[usual]:
	case !slices.ContainsFunc(l.firmware, func(fw firmware) bool { return starts[fw] }):
		l.report(Finding{
			Error, "bootloader", "the image has no bootloader for " + joinFirmware(l.firmware), "the firmware finds nothing to start",
			strings.Join(do, "; "), strings.Join(looked, "; "),
		})
	default:
		l.report(Finding{
			Warning, "bootloader", "the image has no bootloader for " + string(usual), "the provider starts with " + string(usual) + " unless another firmware is asked for",
			bootloaderFiles[usual].do, bootloaderFiles[usual].looked,
		})
	}
}

func joinFirmware(list []firmware) string {
	words := make([]string, len(list))
	for i, fw := range list {
		words[i] = string(fw)
	}
	return strings.Join(words, " or ")
}

// checkDisks looks for drivers that the kernel needs to find its root, or its
// initrd to fetch it.
func (l *linter) checkDisks() {
	if k := l.kernel; k != nil && k.unreadable != nil {
		l.report(Finding{
			Error, "initrd", "the initrd cannot be read: " + k.unreadable.Error(), "a kernel unpacks it as it was read here",
			"make it again, on Debian with update-initramfs -u", k.initrdName + ", to its end",
		})
		return
	}
	l.needDrivers("disk-driver", l.disks, l.rootPlace(), Error, "the kernel does not find what the root filesystem is on")
}

// rootPlace returns where a driver must be to be of use before there is a root.
func (l *linter) rootPlace() place {
	if l.kernel != nil && !l.kernel.hasInitrd {
		return inKernel
	}
	return inInitrd
}

func (l *linter) checkNetworks() {
	if l.fetched {
		l.needDrivers("network-driver", l.networks, l.rootPlace(), Error, "the initrd cannot fetch the root filesystem")
		return
	}
	l.needDrivers("network-driver", l.networks, inRootfs, Warning, "the machine is not reached over the network")
}

func (l *linter) checkOthers() {
	least := inRootfs
	if l.way == fromLive {
		least = l.rootPlace()
	}
	severity := Warning
	if l.way == fromLive {
		severity = Error
	}
	for _, n := range l.others {
		l.needDrivers("driver", n, least, severity, "what needs them does not work")
	}
}

// needDrivers looks for drivers that must be in a place or before it.
func (l *linter) needDrivers(check string, n need, least place, severity Severity, why string) {
	k := l.kernel
	if k == nil || len(n.alternatives) == 0 {
		return
	}
	untold := false
	var states []string
	for _, alternative := range n.alternatives {
		worst := inKernel
		for _, driver := range alternative {
			at := k.find(driver)
			worst = min(worst, at)
			states = append(states, fmt.Sprintf("%s: %s", driver, at))
		}
		if worst >= least {
			return
		}
		untold = untold || worst == unknown
	}
	f := Finding{
		severity, check, "no driver for " + n.what, why, l.adviceForDriver(n, least),
		strings.Join(compact(states), "; ") + " (looked for in " + k.places() + ")",
	}
	if untold {
		f.Severity, f.What = Warning, "whether there is a driver for "+n.what+" cannot be told"
		f.Do = "keep /" + k.configPath + " and /" + path.Join(k.modules(), "modules.builtin") + " in the image"
	}
	l.report(f)
}

// compact leaves out what was said before.
func compact(list []string) []string {
	var once []string
	for _, s := range list {
		if !slices.Contains(once, s) {
			once = append(once, s)
		}
	}
	return once
}

// adviceForDriver says what to do for drivers that are there and in the wrong
// place, or not there.
func (l *linter) adviceForDriver(n need, least place) string {
	for _, alternative := range n.alternatives {
		if !slices.ContainsFunc(alternative, func(driver string) bool { return l.kernel.find(driver) < inRootfs }) && least == inInitrd {
			return "put " + strings.Join(alternative, " and ") + " into the initrd: on Debian, add them to /etc/initramfs-tools/modules and call update-initramfs -u"
		}
	}
	return "install a kernel that has " + joinAlternatives(n.alternatives) + ": on Debian, linux-image-amd64 has more drivers than linux-image-cloud-amd64"
}

func joinAlternatives(alternatives [][]string) string {
	words := make([]string, len(alternatives))
	for i, a := range alternatives {
		words[i] = strings.Join(a, " and ")
	}
	return strings.Join(words, ", or ")
}

// checkLive looks for an initrd that finds its root without a disk of ours.
func (l *linter) checkLive() {
	k := l.kernel
	if l.way != fromLive || k == nil || k.unreadable != nil {
		return
	}
	looked := "/" + strings.Join(l.live.files, ", /") + " in "
	if !k.hasInitrd {
		looked += "an initrd (not there)"
	} else {
		looked += k.initrdName
	}
	if slices.ContainsFunc(l.live.files, func(file string) bool { return k.files[file] }) {
		return
	}
	l.report(Finding{
		Error, "live", "the initrd does not know " + l.live.what, "there is no disk to find the root filesystem on", l.live.do, looked,
	})
}

// checkFilesystem looks for the driver of the filesystem that disks are made with.
func (l *linter) checkFilesystem() {
	if l.way == fromDisk || l.way == fromKernel {
		l.needDrivers("filesystem", need{"ext4, which the root filesystem is made as", [][]string{{"ext4"}}}, l.rootPlace(), Error, "the kernel cannot mount its root")
	}
}

// consoleSymbols are what builds consoles. A module comes too late.
var consoleSymbols = map[string]string{"ttyS0": "SERIAL_8250_CONSOLE", "hvc0": "HVC_XEN"}

// checkConsole looks for a kernel that speaks on the serial console, and for
// something that lets people log in there.
func (l *linter) checkConsole() {
	k := l.kernel
	if l.console == "" || k == nil {
		return
	}
	symbol := consoleSymbols[l.console]
	if k.config == nil {
		l.report(Finding{
			Warning, "console", "whether the kernel speaks on " + l.console + " cannot be told", "that is the provider's console",
			"keep /" + k.configPath + " in the image", "CONFIG_" + symbol + "=y in /" + k.configPath + " (not there)",
		})
	} else if k.config[symbol] != "y" {
		l.report(Finding{
			Warning, "console", "the kernel does not speak on " + l.console, "that is the provider's console: a boot that fails says nothing",
			"install a kernel with CONFIG_" + symbol + "=y", fmt.Sprintf("CONFIG_%s=y in /%s: it is %q", symbol, k.configPath, k.config[symbol]),
		})
	}
	if k.unified != nil && !strings.Contains(k.commandLine, "console="+l.console) {
		l.report(Finding{
			Warning, "command-line", "the command line does not name " + l.console, "the unified kernel image has its own, and the provider's console stays silent",
			"add console=" + l.console + " to it and make the image again", fmt.Sprintf("console=%s in the section .cmdline of %s.efi: it is %q", l.console, k.unified.Name, k.commandLine),
		})
	}
	const generator = "usr/lib/systemd/system-generators/systemd-getty-generator"
	if l.has(generator, "lib/systemd/system-generators/systemd-getty-generator") == "" && !strings.Contains(l.texts["etc/inittab"], l.console) {
		l.report(Finding{
			Warning, "getty", "nobody can log in on " + l.console, "that is the provider's console",
			"start a getty on " + l.console, "/" + generator + ", " + l.console + " in /etc/inittab",
		})
	}
}
