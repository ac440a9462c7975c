package ova

import (
	"bytes"
	"encoding/xml"
	"fmt"
)

// streamOptimized is the format of the disks, as descriptions name it.
const streamOptimized = "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"

// envelope is a description (DSP0243, section 7). The prefixes are those that
// everybody uses; some readers know no others.
type envelope struct {
	XMLName    xml.Name       `xml:"Envelope"`
	Version    string         `xml:"ovf:version,attr"`
	Namespace  string         `xml:"xmlns,attr"`
	OVF        string         `xml:"xmlns:ovf,attr"`
	RASD       string         `xml:"xmlns:rasd,attr"`
	VSSD       string         `xml:"xmlns:vssd,attr"`
	VMW        string         `xml:"xmlns:vmw,attr"`
	References []file         `xml:"References>File"`
	Disks      diskSection    `xml:"DiskSection"`
	Networks   networkSection `xml:"NetworkSection"`
	System     virtualSystem  `xml:"VirtualSystem"`
}

type file struct {
	ID   string `xml:"ovf:id,attr"`
	Href string `xml:"ovf:href,attr"`
	Size int64  `xml:"ovf:size,attr"` // bytes
}

type diskSection struct {
	Info  string `xml:"Info"`
	Disks []disk `xml:"Disk"`
}

type disk struct {
	ID       string `xml:"ovf:diskId,attr"`
	File     string `xml:"ovf:fileRef,attr"`
	Capacity int64  `xml:"ovf:capacity,attr"`
	Units    string `xml:"ovf:capacityAllocationUnits,attr"`
	Format   string `xml:"ovf:format,attr"`
}

type networkSection struct {
	Info     string    `xml:"Info"`
	Networks []network `xml:"Network"`
}

type network struct {
	Name        string `xml:"ovf:name,attr"`
	Description string `xml:"Description"`
}

type virtualSystem struct {
	ID       string          `xml:"ovf:id,attr"`
	Info     string          `xml:"Info"`
	Name     string          `xml:"Name"`
	OS       operatingSystem `xml:"OperatingSystemSection"`
	Hardware hardwareSection `xml:"VirtualHardwareSection"`
}

type operatingSystem struct {
	ID          int    `xml:"ovf:id,attr"`
	Type        string `xml:"vmw:osType,attr,omitempty"`
	Info        string `xml:"Info"`
	Description string `xml:"Description"`
}

type hardwareSection struct {
	Info   string   `xml:"Info"`
	System system   `xml:"System"`
	Items  []item   `xml:"Item"`
	Config []config `xml:"vmw:Config"`
}

type system struct {
	ElementName string `xml:"vssd:ElementName"`
	InstanceID  int    `xml:"vssd:InstanceID"`
	Identifier  string `xml:"vssd:VirtualSystemIdentifier"`
	Type        string `xml:"vssd:VirtualSystemType"`
}

// item is a device. The schema wants its elements in the order of their names.
type item struct {
	Address         *int   `xml:"rasd:Address"`
	AddressOnParent *int   `xml:"rasd:AddressOnParent"`
	AllocationUnits string `xml:"rasd:AllocationUnits,omitempty"`
	Automatic       string `xml:"rasd:AutomaticAllocation,omitempty"`
	Connection      string `xml:"rasd:Connection,omitempty"`
	ElementName     string `xml:"rasd:ElementName"`
	HostResource    string `xml:"rasd:HostResource,omitempty"`
	InstanceID      int    `xml:"rasd:InstanceID"`
	Parent          int    `xml:"rasd:Parent,omitempty"`
	SubType         string `xml:"rasd:ResourceSubType,omitempty"`
	Type            int    `xml:"rasd:ResourceType"`
	Quantity        int    `xml:"rasd:VirtualQuantity,omitempty"`
}

// config is a setting that only VMware's products know.
type config struct {
	Required bool   `xml:"ovf:required,attr"`
	Key      string `xml:"vmw:key,attr"`
	Value    string `xml:"vmw:value,attr"`
}

// describe returns the description of a machine with disks.
func describe(m Machine, disks []Disk) ([]byte, error) {
	const cim = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/"
	hw := m.hardware()
	e := envelope{
		Version:   "1.0",
		Namespace: "http://schemas.dmtf.org/ovf/envelope/1",
		OVF:       "http://schemas.dmtf.org/ovf/envelope/1",
		RASD:      cim + "CIM_ResourceAllocationSettingData",
		VSSD:      cim + "CIM_VirtualSystemSettingData",
		VMW:       "http://www.vmware.com/schema/ovf",
		Disks:     diskSection{Info: "The virtual disks"},
		Networks: networkSection{
			Info:     "The logical networks",
			Networks: []network{{Name: hw.networkName, Description: "The network of the machine"}},
		},
		System: virtualSystem{
			ID: m.Name, Info: "A virtual machine", Name: m.Name,
			OS:       operatingSystem{ID: linux64, Type: hw.osType, Info: "The guest system", Description: hw.osDescription},
			Hardware: m.hardwareSection(hw, len(disks)),
		},
	}
	for i, d := range disks {
		e.References = append(e.References, file{ID: fileID(i), Href: diskName(m, i), Size: d.File.Size()})
		e.Disks.Disks = append(e.Disks.Disks, disk{
			ID: diskID(i), File: fileID(i), Capacity: d.Capacity, Units: "byte", Format: streamOptimized,
		})
	}
	text, err := xml.MarshalIndent(e, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("describe the machine: %w", err)
	}
	return bytes.Join([][]byte{[]byte(xml.Header), text, []byte("\n")}, nil), nil
}

func fileID(i int) string { return fmt.Sprintf("file%d", i+1) }
func diskID(i int) string { return fmt.Sprintf("vmdisk%d", i+1) }

// diskName returns the name of a disk's file in the package.
func diskName(m Machine, i int) string { return fmt.Sprintf("%s-disk%d.vmdk", m.Name, i+1) }

// hardwareSection returns the devices of a machine. Each has a number, by which
// disks name their controller.
func (m Machine) hardwareSection(hw hardware, disks int) hardwareSection {
	const controllerID = 3
	zero := 0
	s := hardwareSection{
		Info:   "The virtual hardware",
		System: system{ElementName: "Virtual Hardware Family", Identifier: m.Name, Type: hw.system},
		Items: []item{
			{ElementName: fmt.Sprintf("%d processors", m.CPUs), InstanceID: 1, Type: typeCPU, Quantity: m.CPUs, AllocationUnits: "hertz * 10^6"},
			{ElementName: fmt.Sprintf("%d MiB of memory", m.Memory), InstanceID: 2, Type: typeMemory, Quantity: m.Memory, AllocationUnits: "byte * 2^20"},
			{ElementName: "Disk controller", InstanceID: controllerID, Type: hw.controllerType, SubType: hw.controller, Address: &zero},
			{ElementName: "Network adapter", InstanceID: controllerID + 1, Type: typeNetwork, SubType: hw.network, Connection: hw.networkName, Automatic: "true"},
		},
	}
	for i := range disks {
		unit := i
		if hw.reservedUnit >= 0 && unit >= hw.reservedUnit {
			unit++
		}
		s.Items = append(s.Items, item{
			ElementName: fmt.Sprintf("Disk %d", i+1), InstanceID: controllerID + 2 + i, Type: typeDisk,
			HostResource: "ovf:/disk/" + diskID(i), Parent: controllerID, AddressOnParent: &unit,
		})
	}
	if m.UEFI {
		s.Config = []config{{Key: "firmware", Value: "efi"}}
	}
	return s
}
