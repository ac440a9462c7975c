package ova

import (
	"fmt"
	"strings"
)

// Family is whose products a package is for. They know different devices.
type Family string

// The families.
const (
	VMware     Family = "vmware"
	VirtualBox Family = "virtualbox"
)

// Machine is the virtual machine of a package.
type Machine struct {
	// Name is the name of the machine and of the package's files: letters,
	// digits, dots, dashes and underscores, at most 64.
	Name   string
	Family Family // empty is VMware
	CPUs   int    // 0 is 1
	Memory int    // MiB; 0 is 1024
	// UEFI starts the machine by UEFI. VirtualBox's products take no note of it.
	UEFI bool
	// Paravirtual gives the machine the devices that are fastest in VMware's
	// products, PVSCSI and VMXNET3, for which its system must have drivers.
	Paravirtual bool
}

// hardware is what a family calls its devices.
type hardware struct {
	system         string // the virtual hardware's family
	osType         string // VMware's name of the guest system
	osDescription  string
	controllerType int    // CIM's number of the controller's kind
	controller     string // its model
	reservedUnit   int    // the address on the controller that no disk has; -1 is none
	maxDisks       int
	network        string // the network adapter's model
	networkName    string // of the network it is connected to
}

// CIM's numbers of kinds of resources (CIM_ResourceAllocationSettingData).
const (
	typeCPU     = 3
	typeMemory  = 4
	typeSCSI    = 6
	typeNetwork = 10
	typeDisk    = 17
	typeSATA    = 20 // "other storage device"
)

// linux64 is CIM's number of "Linux 64-Bit" (CIM_OperatingSystem.OsType).
const linux64 = 101

// hardware returns the devices of a machine.
func (m Machine) hardware() hardware {
	if m.Family == VirtualBox {
		return hardware{
			system: "virtualbox-2.2", osDescription: "Linux_64",
			controllerType: typeSATA, controller: "AHCI", reservedUnit: -1, maxDisks: 30,
			network: "E1000", networkName: "NAT",
		}
	}
	h := hardware{
		system: "vmx-13", osType: "otherLinux64Guest", osDescription: "Linux, 64 bits", // ESXi 6.5 and later
		controllerType: typeSCSI, controller: "lsilogic", reservedUnit: 7, maxDisks: 15,
		network: "E1000", networkName: "VM Network",
	}
	if m.Paravirtual {
		h.controller, h.network = "VirtualSCSI", "VmxNet3"
	}
	return h
}

// withDefaults returns the machine with what it leaves open, or an error if it
// cannot be.
func (m Machine) withDefaults() (Machine, error) {
	if m.Family == "" {
		m.Family = VMware
	}
	if m.CPUs == 0 {
		m.CPUs = 1
	}
	if m.Memory == 0 {
		m.Memory = 1024
	}
	switch {
	case m.Family != VMware && m.Family != VirtualBox:
		return m, fmt.Errorf("family %q: want %q or %q", m.Family, VMware, VirtualBox)
	case m.CPUs < 0 || m.Memory < 0:
		return m, fmt.Errorf("%d processors and %d MiB of memory: want at least 1 of each", m.CPUs, m.Memory)
	}
	return m, checkName(m.Name)
}

// checkName checks a name that files get.
func checkName(name string) error {
	const maxName = 64
	const allowed = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789.-_"
	if name == "" || len(name) > maxName || strings.Trim(name, allowed) != "" || strings.Trim(name, ".") == "" || name[0] == '-' {
		return fmt.Errorf("name %q: want 1 to %d letters, digits, dots, dashes and underscores", name, maxName)
	}
	return nil
}
