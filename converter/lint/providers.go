package lint

// way is how a provider starts an image.
type way int

const (
	fromDisk   way = iota // firmware starts the bootloader of a disk
	fromKernel            // the provider loads the kernel, and gives it a disk
	fromLive              // the kernel is loaded, and its initrd finds the root
	fromMemory            // the kernel is loaded, and the root filesystem as its initrd
	fromFiles             // the provider has a kernel of its own
)

// firmware of machines.
type firmware string

const (
	uefi firmware = "UEFI"
	bios firmware = "BIOS"
)

// provider is what a provider's machines need of an image.
type provider struct {
	name string
	way  way
	// firmware that the provider has, its default first.
	firmware []firmware
	// guest are symbols of the kernel's configuration of which one is enough to
	// run there; none is needed where it is empty.
	guest    []string
	disks    need   // to find the root
	networks need   // to be reached
	others   []need // that the machine also wants
	// console is the device of the serial console; empty where nobody listens.
	console string
	agents  []agent
	live    liveInitrd
	fetched bool // the initrd fetches the root over the network
}

// need is drivers of which one alternative is enough; each is a list of drivers
// that go together. The zero need is none.
type need struct {
	what         string
	alternatives [][]string
}

// agent is a group of programs of which one is enough.
type agent struct {
	name     string   // of the group
	programs []string // by the name of a file in bin, sbin or libexec
	why, do  string
}

// liveInitrd says which files of an initrd tell that it finds its root without a disk.
type liveInitrd struct {
	what  string
	files []string
	do    string
}

// driverSymbols are the symbols in the kernel's configuration that build a driver,
// by its module.
var driverSymbols = map[string]string{
	"virtio_pci": "VIRTIO_PCI", "virtio_mmio": "VIRTIO_MMIO", "virtio_blk": "VIRTIO_BLK", "virtio_scsi": "SCSI_VIRTIO", "virtio_net": "VIRTIO_NET",
	"nvme": "BLK_DEV_NVME", "ahci": "SATA_AHCI", "ata_piix": "ATA_PIIX", "sd_mod": "BLK_DEV_SD", "sr_mod": "BLK_DEV_SR",
	"ena": "ENA_ETHERNET", "gve": "GVE", "ixgbevf": "IXGBEVF", "mana": "MICROSOFT_MANA",
	"hv_vmbus": "HYPERV", "hv_storvsc": "HYPERV_STORAGE", "hv_netvsc": "HYPERV_NET",
	"xen-blkfront": "XEN_BLKDEV_FRONTEND", "xen-netfront": "XEN_NETDEV_FRONTEND",
	"vmw_pvscsi": "VMWARE_PVSCSI", "mptspi": "FUSION_SPI", "mptsas": "FUSION_SAS", "vmxnet3": "VMXNET3",
	"e1000": "E1000", "e1000e": "E1000E", "igb": "IGB", "ixgbe": "IXGBE", "i40e": "I40E", "tg3": "TIGON3", "bnxt_en": "BNXT", "mlx5_core": "MLX5_CORE",
	"megaraid_sas": "MEGARAID_SAS", "mpt3sas": "SCSI_MPT3SAS", "smartpqi": "SCSI_SMARTPQI",
	"usb_storage": "USB_STORAGE", "uas": "USB_UAS", "xhci_pci": "USB_XHCI_PCI",
	"ext4": "EXT4_FS", "squashfs": "SQUASHFS", "overlay": "OVERLAY_FS", "isofs": "ISO9660_FS", "loop": "BLK_DEV_LOOP", "vfat": "VFAT_FS",
}

// Drivers of machines.
var (
	virtioDisk = need{"virtio disks", [][]string{{"virtio_pci", "virtio_blk"}, {"virtio_pci", "virtio_scsi", "sd_mod"}}}
	virtioNet  = need{"virtio network cards", [][]string{{"virtio_pci", "virtio_net"}}}
	nvmeOrXen  = need{"NVMe disks, or Xen's", [][]string{{"nvme"}, {"xen-blkfront"}}}
	xenDisk    = need{"Xen's disks", [][]string{{"xen-blkfront"}}}
	xenNet     = need{"Xen's network cards", [][]string{{"xen-netfront"}}}
	hypervDisk = need{"Hyper-V's disks", [][]string{{"hv_vmbus", "hv_storvsc", "sd_mod"}}}
	hypervNet  = need{"Hyper-V's network cards", [][]string{{"hv_vmbus", "hv_netvsc"}}}
)

// Agents that set a machine up, and that talk to the provider.
var (
	cloudInit = agent{
		name: "an agent that sets an instance up", programs: []string{"cloud-init", "ignition", "afterburn", "tiny-cloud"},
		why: "an instance gets neither its host name, nor users, keys and user data, from the provider",
		do:  "install cloud-init",
	}
	waagent = agent{
		name: "an agent that reports to Azure", programs: []string{"waagent", "cloud-init", "azure-init"},
		why: "Azure waits for an instance to report that it is ready, and calls its creation failed",
		do:  "install waagent or cloud-init",
	}
	guestAgent = func(name, program, do string) agent {
		return agent{
			name: name, programs: []string{program}, do: do,
			why: "the provider cannot shut the system down cleanly, freeze it for snapshots, or show its addresses",
		}
	}
	qemuAgent = guestAgent("QEMU's guest agent", "qemu-ga", "install qemu-guest-agent")
)

// liveMedium is an initrd that finds its root without a disk of ours.
var liveMedium = liveInitrd{
	what:  "a live system on a CD or a stick",
	files: []string{"scripts/live", "scripts/casper", "usr/sbin/dmsquash-live-root", "sbin/dmsquash-live-root"},
	do:    "install live-boot (Debian), casper (Ubuntu) or dracut's dmsquash-live, and make the initrd again",
}

// liveNetwork is an initrd that fetches its root.
var liveNetwork = liveInitrd{
	what:  "a live system that fetches its root",
	files: []string{"scripts/live", "usr/sbin/livenetroot", "sbin/livenetroot"},
	do:    "make the initrd again, with live-boot (Debian) or dracut's livenet in it",
}

// What a live system mounts its root with.
var (
	squashfsRoot = need{"squashfs, for the root", [][]string{{"squashfs"}}}
	overlayRoot  = need{"overlays, to write over the root", [][]string{{"overlay"}}}
)

// fetching returns what a provider that boots from memory needs of an image whose
// initrd fetches the root instead.
func (p provider) fetching() provider {
	p.way, p.fetched, p.live = fromLive, true, liveNetwork
	p.others = []need{squashfsRoot, overlayRoot}
	return p
}

// providers are those that are known, in the order of reports.
var providers = []provider{
	{
		name: "kvm", firmware: []firmware{bios, uefi},
		disks: virtioDisk, networks: virtioNet, console: "ttyS0", agents: []agent{cloudInit, qemuAgent},
	},
	{
		name: "xen", way: fromKernel, guest: []string{"XEN_PV", "XEN_PVH"},
		disks: xenDisk, networks: xenNet, console: "hvc0", agents: []agent{cloudInit},
	},
	{
		name: "xenserver", firmware: []firmware{bios, uefi},
		disks: xenDisk, networks: xenNet, agents: []agent{cloudInit, guestAgent("XenServer's guest agent", "xe-daemon", "install xe-guest-utilities")},
	},
	{
		name: "hyperv", firmware: []firmware{uefi},
		disks: hypervDisk, networks: hypervNet, agents: []agent{cloudInit, {
			name: "Hyper-V's daemons", programs: []string{"hv_kvp_daemon", "hypervkvpd"}, do: "install hyperv-daemons",
			why: "the host learns no addresses of the machine, and sets none",
		}},
	},
	{
		name: "azure", firmware: []firmware{uefi, bios},
		disks: hypervDisk, networks: hypervNet, console: "ttyS0", agents: []agent{waagent},
	},
	{
		name: "vmware", firmware: []firmware{uefi, bios},
		disks:    need{"VMware's disks", [][]string{{"vmw_pvscsi", "sd_mod"}, {"mptspi", "sd_mod"}, {"mptsas", "sd_mod"}, {"ahci", "sd_mod"}, {"ata_piix", "sd_mod"}, {"nvme"}}},
		networks: need{"VMware's network cards", [][]string{{"vmxnet3"}, {"e1000e"}, {"e1000"}}},
		agents:   []agent{cloudInit, guestAgent("VMware's tools", "vmtoolsd", "install open-vm-tools")},
	},
	{
		name: "virtualbox", firmware: []firmware{bios, uefi},
		disks:    need{"VirtualBox's disks", [][]string{{"ahci", "sd_mod"}, {"ata_piix", "sd_mod"}, {"mptspi", "sd_mod"}, {"virtio_pci", "virtio_scsi", "sd_mod"}, {"nvme"}}},
		networks: need{"VirtualBox's network cards", [][]string{{"e1000"}, {"virtio_pci", "virtio_net"}}},
	},
	{
		name: "gce", firmware: []firmware{uefi, bios},
		disks:    need{"persistent disks", [][]string{{"virtio_pci", "virtio_scsi", "sd_mod"}, {"nvme"}}},
		networks: need{"Google's network cards", [][]string{{"virtio_pci", "virtio_net"}, {"gve"}}},
		others:   []need{{"gVNIC, which newer machines have alone", [][]string{{"gve"}}}, {"NVMe disks, which newer machines have alone", [][]string{{"nvme"}}}},
		console:  "ttyS0", agents: []agent{{
			name: "an agent that sets an instance up", programs: []string{"google_guest_agent", "cloud-init"},
			why: "an instance gets neither users nor keys from its metadata", do: "install google-guest-agent or cloud-init",
		}},
	},
	{
		name: "ec2", firmware: []firmware{bios, uefi},
		disks:    nvmeOrXen,
		networks: need{"Amazon's network cards", [][]string{{"ena"}, {"ixgbevf"}, {"xen-netfront"}}},
		others: []need{
			{"NVMe disks, which all Nitro instances have", [][]string{{"nvme"}}},
			{"ENA, which all Nitro instances have", [][]string{{"ena"}}},
		},
		console: "ttyS0", agents: []agent{cloudInit},
	},
	{
		name: "kubevirt", firmware: []firmware{bios, uefi},
		disks: virtioDisk, networks: virtioNet, console: "ttyS0", agents: []agent{cloudInit, qemuAgent},
	},
	{
		name: "ironic", firmware: []firmware{uefi, bios},
		disks:    need{"disks of servers", [][]string{{"nvme"}, {"ahci", "sd_mod"}, {"megaraid_sas", "sd_mod"}, {"mpt3sas", "sd_mod"}, {"smartpqi", "sd_mod"}}},
		networks: need{"network cards of servers", [][]string{{"igb"}, {"ixgbe"}, {"i40e"}, {"tg3"}, {"bnxt_en"}, {"mlx5_core"}, {"e1000e"}}},
		others:   []need{{"RAID controllers of servers", [][]string{{"megaraid_sas", "sd_mod"}, {"mpt3sas", "sd_mod"}, {"smartpqi", "sd_mod"}}}},
		console:  "ttyS0", agents: []agent{cloudInit},
	},
	{
		name: "podman-machine", firmware: []firmware{uefi},
		disks: virtioDisk, networks: virtioNet, agents: []agent{
			{name: "Ignition", programs: []string{"ignition"}, why: "podman machine sets its machines up with Ignition alone", do: "take an image made for it, such as Fedora CoreOS"},
			{name: "podman", programs: []string{"podman"}, why: "there is nothing to run containers in the machine", do: "install podman"},
		},
	},
	{name: "lxc", way: fromFiles},
	{name: "wsl", way: fromFiles},
	{
		name: "firecracker", way: fromKernel,
		disks:    need{"virtio disks without PCI", [][]string{{"virtio_mmio", "virtio_blk"}}},
		networks: need{"virtio network cards without PCI", [][]string{{"virtio_mmio", "virtio_net"}}},
		console:  "ttyS0",
	},
	{
		name: "iso", way: fromLive, firmware: []firmware{bios, uefi},
		disks: need{"CD drives or sticks", [][]string{{"sr_mod"}, {"usb_storage", "sd_mod"}}},
		others: []need{
			{"the filesystem of CDs", [][]string{{"isofs"}}}, squashfsRoot, overlayRoot,
		},
		networks: need{"network cards", [][]string{{"virtio_pci", "virtio_net"}, {"e1000e"}, {"e1000"}, {"igb"}}},
		console:  "ttyS0", live: liveMedium,
	},
	{
		name: "pxe", way: fromMemory,
		networks: need{"network cards", [][]string{{"virtio_pci", "virtio_net"}, {"e1000e"}, {"e1000"}, {"igb"}, {"ixgbe"}, {"tg3"}, {"bnxt_en"}, {"mlx5_core"}}},
		console:  "ttyS0",
	},
	{
		name: "usb", firmware: []firmware{uefi, bios},
		disks:    need{"USB sticks", [][]string{{"xhci_pci", "usb_storage", "sd_mod"}, {"xhci_pci", "uas", "sd_mod"}}},
		networks: need{"network cards", [][]string{{"e1000e"}, {"igb"}, {"tg3"}, {"e1000"}, {"virtio_pci", "virtio_net"}}},
	},
}

// Providers returns the names of the providers that are known.
func Providers() []string {
	names := make([]string, len(providers))
	for i, p := range providers {
		names[i] = p.name
	}
	return names
}
