package lint

import (
	"path"
	"slices"
	"strings"
)

// programDirs are where programs are looked for.
var programDirs = []string{"usr/bin", "usr/sbin", "usr/local/bin", "usr/local/sbin", "usr/libexec", "usr/lib/dracut/modules.d/30ignition", "bin", "sbin"}

// program returns the path of the first of the programs that is there, or "".
func (f *facts) program(names ...string) string {
	for _, name := range names {
		for _, dir := range programDirs {
			if found := f.has(path.Join(dir, name)); found != "" {
				return found
			}
		}
	}
	return ""
}

// looked says where programs were looked for.
func looked(programs ...string) string {
	return strings.Join(programs, ", ") + " in /" + strings.Join(programDirs, ", /")
}

// checkInit looks for what the kernel starts first (init/main.c of Linux).
func (l *linter) checkInit() {
	inits := []string{"sbin/init", "etc/init", "bin/init", "lib/systemd/systemd"}
	if l.name == "wsl" || l.has(inits...) != "" {
		return
	}
	if l.way != fromFiles && l.has("bin/sh") != "" {
		l.report(Finding{
			Warning, "init", "the image has no init", "the kernel starts /bin/sh instead, and the machine does nothing more",
			"install systemd, or another init", "/" + strings.Join(inits, ", /"),
		})
		return
	}
	l.report(Finding{
		Error, "init", "the image has no init", "there is nothing to start", "install systemd, or another init", "/" + strings.Join(inits, ", /"),
	})
}

// checkShell looks for what WSL starts.
func (l *linter) checkShell() {
	if l.name != "wsl" {
		return
	}
	if l.has("bin/sh") == "" {
		l.report(Finding{Error, "shell", "the image has no shell", "WSL starts the shell of a user", "install one", "/bin/sh"})
	}
	if l.has("etc/passwd") == "" {
		l.report(Finding{Error, "users", "the image has no users", "WSL starts the shell of a user", "add /etc/passwd with root", "/etc/passwd"})
	}
	if l.has("lib/systemd/systemd", "usr/lib/systemd/systemd") != "" && !strings.Contains(strings.ReplaceAll(l.texts["etc/wsl.conf"], " ", ""), "systemd=true") {
		l.report(Finding{
			Warning, "wsl-conf", "systemd is not started", "WSL starts it only when it is told to, and services do not run",
			"write [boot] and systemd=true to /etc/wsl.conf", "systemd=true in /etc/wsl.conf",
		})
	}
}

// checkDHCP looks for something that asks for an address.
func (l *linter) checkDHCP() {
	if l.name == "wsl" || l.asksForAddress() {
		return
	}
	l.report(Finding{
		Warning, "dhcp", "nothing asks for an address", "the machine is not reached over the network",
		"install and configure systemd-networkd, NetworkManager, ifupdown with a DHCP client, or dhcpcd",
		"NetworkManager; dhcpcd; systemd-networkd enabled, with a .network file in /etc/systemd/network; \"inet dhcp\" in /etc/network/interfaces and interfaces.d, with ifup and dhclient, dhcpcd or udhcpc; cloud-init with one of these",
	})
}

func (f *facts) asksForAddress() bool {
	client := f.program("dhclient", "udhcpc", "dhcpcd") != ""
	ifup := f.program("ifup") != "" && client
	networkd := f.has("usr/lib/systemd/systemd-networkd", "lib/systemd/systemd-networkd") != ""
	for file, text := range f.texts {
		if strings.HasPrefix(file, "etc/network/interfaces") && ifup && strings.Contains(text, "inet dhcp") {
			return true
		}
		if strings.HasPrefix(file, "etc/systemd/network/") && networkd && f.enabled("systemd-networkd.service") {
			return true
		}
	}
	if f.program("NetworkManager", "netplan") != "" || f.enabled("dhcpcd.service") {
		return true
	}
	return f.program("cloud-init") != "" && (ifup || networkd)
}

// enabled reports whether a unit of systemd is started at boot.
func (f *facts) enabled(unit string) bool {
	const dir = "etc/systemd/system"
	return slices.ContainsFunc(f.names(dir), func(name string) bool {
		return strings.HasSuffix(name, ".wants") && f.has(path.Join(dir, name, unit)) != ""
	})
}

// checkAgents looks for programs of the provider.
func (l *linter) checkAgents() {
	for _, a := range l.agents {
		if l.program(a.programs...) == "" {
			l.report(Finding{Warning, "agent", "the image lacks " + a.name, a.why, a.do, looked(a.programs...)})
		}
	}
}

// checkGrowth looks for what makes the root filesystem as large as its disk.
func (l *linter) checkGrowth() {
	if l.way != fromDisk {
		return
	}
	growpart := l.program("growpart") != "" && l.program("resize2fs") != ""
	repart := slices.ContainsFunc([]string{"etc/repart.d/", "usr/lib/repart.d/"}, func(dir string) bool {
		for file := range l.texts {
			if strings.HasPrefix(file, dir) {
				return true
			}
		}
		return false
	})
	growroot := l.kernel != nil && (l.kernel.files["scripts/local-bottom/growroot"] || l.kernel.files["scripts/local-premount/growroot"])
	if growpart && l.program("cloud-init", "tiny-cloud") != "" || repart && l.program("systemd-repart") != "" || growroot {
		return
	}
	l.report(Finding{
		Warning, "growth", "nothing grows the root filesystem", "it stays as small as the image, whatever the size of the disk",
		"install cloud-init with growpart (cloud-guest-utils), cloud-initramfs-growroot, or a definition for systemd-repart",
		looked("growpart", "resize2fs", "cloud-init", "tiny-cloud", "systemd-repart") + "; *.conf in /etc/repart.d and /usr/lib/repart.d; scripts/local-bottom/growroot in the initrd",
	})
}

// checkMachineID looks for an identity that all instances would share.
func (l *linter) checkMachineID() {
	for _, file := range []string{"etc/machine-id", "var/lib/dbus/machine-id"} {
		id := strings.TrimSpace(l.texts[file])
		if id == "" || id == "uninitialized" || file != "etc/machine-id" && id == strings.TrimSpace(l.texts["etc/machine-id"]) {
			continue
		}
		l.report(Finding{
			Warning, "machine-id", "/" + file + " has a value", "all instances have the same identity: DHCP servers may give them one address, and logs are mixed up",
			"make the file empty, or declare it volatile in the cloudlet manifest", "the content of /" + file,
		})
	}
}

// checkHostKeys looks for keys that all instances would share.
func (l *linter) checkHostKeys() {
	var keys []string
	for _, name := range l.names("etc/ssh") {
		if strings.HasPrefix(name, "ssh_host_") && strings.HasSuffix(name, "_key") {
			keys = append(keys, "/etc/ssh/"+name)
		}
	}
	if len(keys) == 0 {
		return
	}
	l.report(Finding{
		Warning, "ssh-host-keys", "private SSH host keys are in the image: " + strings.Join(keys, ", "),
		"who has the image can pretend to be any of its instances",
		"remove them, or declare them volatile in the cloudlet manifest, and have them made at the first boot (cloud-init, ssh-keygen -A)", "/etc/ssh/ssh_host_*_key",
	})
}

// checkRootPassword looks at how root may log in.
func (l *linter) checkRootPassword() {
	if l.name == "wsl" {
		return
	}
	hash, ok := l.passwords()["root"]
	switch {
	case !ok:
	case hash == "":
		l.report(Finding{
			Warning, "root-password", "root has no password", "anybody logs in as root, on the console at least",
			"lock it (passwd -l root)", "root in /etc/shadow",
		})
	case !locked(hash):
		l.report(Finding{
			Warning, "root-password", "root has a password in the image", "all instances have the same, and who has the image can try to find it",
			"lock it (passwd -l root), and log in with keys", "root in /etc/shadow",
		})
	}
}

// checkLogin looks for a way to log in.
func (l *linter) checkLogin() {
	passwords := l.passwords()
	if l.way == fromFiles || len(passwords) == 0 {
		return
	}
	keys := []string{"root/.ssh/authorized_keys"}
	for _, user := range l.names("home") {
		keys = append(keys, path.Join("home", user, ".ssh/authorized_keys"))
	}
	agents := []string{"cloud-init", "ignition", "waagent", "google_guest_agent", "tiny-cloud", "afterburn"}
	for _, hash := range passwords {
		if !locked(hash) {
			return
		}
	}
	if l.has(keys...) != "" || l.program(agents...) != "" {
		return
	}
	l.report(Finding{
		Warning, "login", "nobody can log in", "all users are locked, none has keys, and nothing brings users or keys",
		"install cloud-init, or add a user with keys", "/etc/shadow; /" + strings.Join(keys, ", /") + "; " + looked(agents...),
	})
}

// passwords returns the hashes of passwords by user.
func (f *facts) passwords() map[string]string {
	hashes := make(map[string]string)
	for line := range strings.Lines(f.texts["etc/shadow"]) {
		if fields := strings.Split(strings.TrimSpace(line), ":"); len(fields) > 1 {
			hashes[fields[0]] = fields[1]
		}
	}
	return hashes
}

// locked reports whether no password has a hash (shadow(5)).
func locked(hash string) bool { return strings.HasPrefix(hash, "*") || strings.HasPrefix(hash, "!") }
