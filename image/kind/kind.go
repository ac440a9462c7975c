package kind

import (
	"fmt"
	"slices"
	"strings"
)

// Type is an image type: what the content is.
type Type string

// Image types.
const (
	Kernel     Type = "kernel"
	Ramdisk    Type = "ramdisk"
	Filesystem Type = "filesystem" // without a partition table
	ISO9660    Type = "iso9660"    // a CD or DVD
	Disk       Type = "disk"       // with its partition table and bootloader
	Other      Type = "other"
)

// Types returns the image types.
func Types() []Type { return []Type{Kernel, Ramdisk, Filesystem, ISO9660, Disk, Other} }

// Container is a container format: what the content is packed in.
type Container string

// Container formats.
const (
	Raw       Container = "raw" // nothing
	Cow       Container = "cow" // of user-mode Linux
	Qcow      Container = "qcow"
	Qcow2     Container = "qcow2"
	VHD       Container = "vhd"
	VHDX      Container = "vhdx"
	VMDK      Container = "vmdk"
	VDI       Container = "vdi"
	QED       Container = "qed"
	Parallels Container = "parallels"
	OVA       Container = "ova" // a tar of machines, with their disks
)

// Containers returns the container formats.
func Containers() []Container {
	return []Container{Raw, Cow, Qcow, Qcow2, VHD, VHDX, VMDK, VDI, QED, Parallels, OVA}
}

// transports are the names that EC2 gives to images on their way. What arrives
// is a kind of the usual ones.
var transports = map[string]Kind{
	"aki": {Kernel, Raw},
	"ari": {Ramdisk, Raw},
	"ami": {Filesystem, Raw},
}

// Kind is what a file is. Where one is declared, either fact may be missing.
type Kind struct {
	Type      Type
	Container Container
}

func (k Kind) String() string {
	if k.Type == "" || k.Container == "" {
		return string(k.Type) + string(k.Container)
	}
	return string(k.Type) + "/" + string(k.Container)
}

// Parse reads the two facts as a user declares them; either may be empty, which
// leaves it open. aki, ari and ami are taken as container formats, and become
// what they transport.
func Parse(imageType, container string) (Kind, error) {
	k := Kind{Type(imageType), Container(container)}
	if k.Type != "" && !slices.Contains(Types(), k.Type) {
		return Kind{}, fmt.Errorf("image type %q: expected one of %s", imageType, join(Types(), ", "))
	}
	if carried, ok := transports[container]; ok {
		if k.Type != "" && k.Type != carried.Type {
			return Kind{}, fmt.Errorf("image type %s in the container format %s: expected %s, which is what an %s transports", k.Type, container, carried.Type, container)
		}
		return carried, nil
	}
	if k.Container != "" && !slices.Contains(Containers(), k.Container) {
		return Kind{}, fmt.Errorf("container format %q: expected one of %s, aki, ari, ami", container, join(Containers(), ", "))
	}
	if err := k.check(); err != nil {
		return Kind{}, err
	}
	return k, nil
}

// check finds pairs that cannot be.
func (k Kind) check() error {
	if k.Container == OVA && k.Type != "" && k.Type != Disk {
		return fmt.Errorf("image type %s in the container format ova: expected disk, because an OVA holds whole machines", k.Type)
	}
	return nil
}

func join[T ~string](list []T, separator string) string {
	words := make([]string, len(list))
	for i, w := range list {
		words[i] = string(w)
	}
	return strings.Join(words, separator)
}
