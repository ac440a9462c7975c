package kind

import (
	"errors"
	"fmt"
)

// Device is how a machine is given an image.
type Device string

// Devices.
const (
	HardDisk Device = "hard disk"
	CD       Device = "CD"
)

// ErrRule is wrapped by errors that say why an image is not used in a way.
var ErrRule = errors.New("cannot be used so")

// rule says how an image type is used: on which device, if any; whether it
// brings its own kernel; and why not, where it is not used by itself.
type rule struct {
	device Device
	// direct says that somebody else has to load a kernel.
	direct bool
	refuse string
}

// rules are those of image types. This is the only place where they are.
func rules() map[Type]rule {
	return map[Type]rule{
		Disk:       {device: HardDisk},
		ISO9660:    {device: CD},
		Filesystem: {device: HardDisk, direct: true},
		Kernel:     {refuse: "a kernel is not a filesystem: boot the filesystem image that it is for, with this one as --kernel"},
		Ramdisk:    {refuse: "a ramdisk is not a filesystem: boot the filesystem image that it is for, with this one as --ramdisk"},
		Other:      {refuse: "nobody can tell how to boot what is neither a disk, nor a filesystem, nor an ISO"},
	}
}

// unattachable says why a container format cannot be attached to a machine.
func unattachable() map[Container]string {
	return map[Container]string{
		OVA: "an OVA holds machines: take the disk out of it with tar, and push that",
		Cow: "no hypervisor reads cow any more: convert it to raw with a QEMU before 2.2",
	}
}

// Machine is what a machine is given to boot.
type Machine struct {
	Device Device
	// Direct says that the machine is started with the kernel and the ramdisk,
	// and not from the device.
	Direct bool
}

// Boot says how a machine boots an image, with the kernel and the ramdisk that
// are given, or nil. The error wraps [ErrRule].
func Boot(image Kind, kernel, ramdisk *Kind) (Machine, error) {
	r, ok := rules()[image.Type]
	if !ok {
		r.refuse = "its image type is unknown"
	}
	if r.refuse == "" {
		r.refuse = unattachable()[image.Container]
	}
	if r.refuse != "" {
		return Machine{}, broken(image, r.refuse)
	}
	given := kernel != nil || ramdisk != nil
	switch {
	case given && !r.direct:
		return Machine{}, broken(image, fmt.Sprintf("a %s boots alone: leave --kernel and --ramdisk out", image.Type))
	case r.direct && kernel == nil:
		return Machine{}, broken(image, "a filesystem image requires a kernel: name one with --kernel")
	}
	if kernel != nil {
		if err := load(*kernel, Kernel); err != nil {
			return Machine{}, err
		}
	}
	if ramdisk != nil {
		if err := load(*ramdisk, Ramdisk); err != nil {
			return Machine{}, err
		}
	}
	return Machine{Device: r.device, Direct: r.direct}, nil
}

// load says whether an image can be put into a machine's memory as a kernel or a
// ramdisk.
func load(k Kind, as Type) error {
	switch {
	case k.Type != as:
		return broken(k, fmt.Sprintf("expected a %s for --%s", as, as))
	case k.Container != Raw:
		return broken(k, fmt.Sprintf("a %s is loaded as it is: expected the container format raw", as))
	}
	return nil
}

func broken(k Kind, why string) error { return fmt.Errorf("%s image %w: %s", k, ErrRule, why) }
