package converter

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/cloudlets/cloudlets/api"
	"github.com/cloudlets/cloudlets/converter/boot"
	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/converter/ova"
	"github.com/cloudlets/cloudlets/converter/stream"
	"github.com/cloudlets/cloudlets/converter/tar"
	"github.com/cloudlets/cloudlets/converter/vmlinux"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// Names of files that several providers take.
const (
	kernelFile  = "vmlinuz"
	ramdiskFile = "initrd"
	rootFile    = "root.ext4"
)

// providers are the outputs that a provider takes, each under one name.
func providers() []Format {
	disks, direct := []string{TypeDisk}, []string{TypeFilesystem}
	return []Format{
		{
			Name: "kvm", Description: "KVM with QEMU, libvirt, Proxmox, OpenStack: qcow2", Types: disks,
			Needs: "virtio drivers in the initrd", files: parts(part{formatQcow2, ""}), Compressions: names("zlib", "zstd"),
		},
		{
			Name: "hyperv", Description: "Hyper-V, generation 2: VHDX", Types: disks,
			Needs: "a bootloader for UEFI, Hyper-V drivers in the initrd", files: (*render).hyperv,
		},
		{
			Name: "ova", Description: "one machine for VMware's products: OVF 1 in a tar", Types: disks,
			reads: true, files: ovaOf(ova.VMware), Compressions: names("zlib"),
		},
		{
			Name: "ova-virtualbox", Description: "one machine for VirtualBox: OVF 1 in a tar", Types: disks,
			reads: true, files: ovaOf(ova.VirtualBox), Compressions: names("zlib"),
		},
		{
			Name: "vmware", Description: "VMware: streamOptimized VMDK, and a machine with it as OVA", Types: disks,
			Needs: "LSI Logic or PVSCSI and VMXNET3 or E1000 drivers in the initrd, open-vm-tools",
			reads: true, files: all(ovaOf(ova.VMware), parts(part{formatVMDKStream, ""})), Compressions: names("zlib"),
		},
		{
			Name: "virtualbox", Description: "VirtualBox: VDI, and a machine with the disk as OVA", Types: disks,
			Needs: "AHCI and E1000 drivers in the initrd",
			reads: true, files: all(parts(part{formatVDI, ""}), ovaOf(ova.VirtualBox)),
		},
		{
			Name: "xenserver", Description: "XenServer and XCP-ng: dynamic VHD", Types: disks,
			Needs: "xen-blkfront in the kernel or the initrd", files: parts(part{formatVHD, ""}),
		},
		{
			Name: "azure", Description: "Azure: fixed VHD of whole MiB", Types: disks,
			Needs: "Hyper-V drivers in the initrd, cloud-init or waagent", files: parts(part{formatVHDFixed, ""}),
		},
		{
			Name: "ec2", Description: "EC2: raw, for ImportSnapshot or the EBS direct API", Types: disks,
			Needs: "NVMe and ENA drivers in the initrd, cloud-init", files: parts(part{formatRaw, ""}),
		},
		{
			Name: "usb", Description: "a disk or a stick of a machine: raw, to be written with dd", Types: disks,
			Needs: "drivers of the machine's disks in the initrd", files: parts(part{formatRaw, ""}),
		},
		{
			Name: "gce", Description: "Google Compute Engine: disk.raw in a tar.gz", Types: disks,
			Needs: "virtio-scsi and NVMe drivers in the initrd, google-guest-agent or cloud-init",
			reads: true, files: (*render).gce, Compressions: names("gzip"),
		},
		{
			Name: "kubevirt", Description: "KubeVirt: a containerDisk, to be pulled as an image", Types: disks,
			Needs: "virtio drivers in the initrd", Package: PackageImage, files: (*render).kubevirt,
		},
		{
			Name: "ironic", Description: "OpenStack Ironic: an index with the annotation disktype", Types: disks,
			Needs: "drivers of the machines' disks in the initrd", Package: PackageIndex,
			files: parts(part{formatQcow2, "qemu"}, part{formatRaw, "raw"}),
		},
		{
			Name: "podman-machine", Description: "podman machine: an index with the annotation disktype", Types: disks,
			Needs: "virtio drivers in the initrd, ignition, podman", Package: PackageIndex, Compressions: names("zstd"),
			Arch:  "x86_64", // podman looks for uname's word, whatever OCI says
			files: parts(part{formatQcow2, "qemu"}, part{formatRawZst, "applehv"}),
		},
		{
			Name: "xen", Description: "Xen: kernel, ramdisk and root filesystem, the latter also for pygrub", Types: direct,
			Needs: "a kernel with xen-blkfront, in itself or in its initrd", files: (*render).xen,
		},
		{
			Name: "firecracker", Description: "Firecracker: uncompressed kernel, ramdisk, ext4 and a configuration", Types: direct,
			Needs: "a kernel with virtio-mmio, in itself or in its initrd", reads: true, files: (*render).firecracker,
		},
		{
			Name: "pxe", Description: "network boot: kernel, root filesystem for memory, and an iPXE script", Types: direct,
			Needs: "a kernel; on the machine, memory for twice the files, or for them as a squashfs with a live system",
			files: (*render).pxe, Compressions: names("gzip", "zstd"),
		},
		{
			Name: "lxc", Description: "Incus and LXD: a unified tar of a container", Types: direct,
			Needs: "an init", files: (*render).lxc, shell: true,
		},
		{
			Name: "wsl", Description: "Windows Subsystem for Linux: a tar for wsl --import", Types: direct,
			Needs: "a shell", files: (*render).wsl, shell: true,
		},
	}
}

// names are compressions that an output passes on to its files.
func names(names ...string) []Compression {
	compressions := make([]Compression, len(names))
	for i, n := range names {
		compressions[i].Name = n
	}
	return compressions
}

// part is a disk in a format; diskType as in File.
type part struct{ format, diskType string }

// parts makes outputs of the disk in several formats.
func parts(parts ...part) func(r *render) ([]File, error) {
	return func(r *render) ([]File, error) {
		content, err := r.content(TypeDisk)
		if err != nil {
			return nil, err
		}
		var files []File
		for _, p := range parts {
			format, err := FindFormat(p.format)
			if err != nil {
				return nil, err
			}
			file, err := r.pack(content, TypeDisk, format)
			if err != nil {
				return nil, err
			}
			file.DiskType = p.diskType
			files = append(files, file)
		}
		return files, nil
	}
}

// all makes the files of several outputs.
func all(outputs ...func(r *render) ([]File, error)) func(r *render) ([]File, error) {
	return func(r *render) ([]File, error) {
		var files []File
		for _, output := range outputs {
			more, err := output(r)
			if err != nil {
				return nil, err
			}
			files = append(files, more...)
		}
		return files, nil
	}
}

// hyperv makes a disk for a machine of generation 2, whose firmware is UEFI.
func (r *render) hyperv() ([]File, error) {
	files, err := parts(part{formatVHDX, ""})(r)
	if err == nil && !r.startsBy(r.report.UEFI) {
		return nil, fmt.Errorf("machines of generation 2 boot by UEFI: %w", boot.ErrNoBootloader)
	}
	return files, err
}

// startsBy reports whether the disk boots by the firmware that a bootloader is
// for, as the report says: what is on a disk that was pushed, nobody looked at.
func (r *render) startsBy(bootloader string) bool { return r.Content != nil || bootloader != "" }

// ovaOf makes a package of a machine with the disk.
func ovaOf(family ova.Family) func(r *render) ([]File, error) {
	return func(r *render) ([]File, error) {
		disk, err := r.content(TypeDisk)
		if err != nil {
			return nil, err
		}
		format, err := FindFormat(formatVMDKStream)
		if err != nil {
			return nil, err
		}
		file, err := r.pack(disk, TypeDisk, format)
		if err != nil {
			return nil, err
		}
		machine := ova.Machine{Name: machineName, Family: family, UEFI: !r.startsBy(r.report.BIOS)}
		m, err := ova.Write(r.ctx, machine, []ova.Disk{{File: file.Map, Capacity: disk.Size()}}, r.Open)
		return []File{{Name: machineName + ".ova", MediaType: api.ArtifactKind(TypeDisk, "ova"), Map: m}}, err
	}
}

// machineName is what a machine is called that is made for an image.
const machineName = "cloudlet"

// gceAlign is what Compute Engine wants the sizes of disks to be a multiple of, in
// bytes.
const gceAlign = 1 << 30

// gce makes what Compute Engine imports (cloud.google.com/compute/docs/import,
// "Manually import boot disks"): "disk.raw", of whole GiB, alone in a tar.gz of
// the format oldgnu.
func (r *render) gce() ([]File, error) {
	disk, err := r.alignedDisk(gceAlign)
	if err != nil {
		return nil, err
	}
	m, err := tar.PlanGNUFiles(tar.File{Path: "disk.raw", Mode: image.TypeRegular | 0o644, Content: disk})
	if err != nil {
		return nil, err
	}
	write := stream.StoreGzip
	if r.Compress != "" {
		write = stream.CompressGzip
	}
	m, err = write(r.ctx, m, r.Open, r.Spool)
	return []File{{Name: "disk.tar.gz", MediaType: api.ArtifactKind(TypeDisk, "tar.gz"), Map: m}}, err
}

// alignedDisk makes the disk, whose size is a multiple of align bytes: one of a
// rootfs has more free space for it, one that was pushed ends with zeros.
func (r *render) alignedDisk(align int64) (*extent.Map, error) {
	disk, err := r.content(TypeDisk)
	if err != nil {
		return nil, err
	}
	size := container.AlignUp(disk.Size(), align)
	switch {
	case size == disk.Size():
		return disk, nil
	case r.Disk.Size != 0:
		return nil, fmt.Errorf("a disk of %d bytes: expected a multiple of %d, such as %d", r.Disk.Size, align, size)
	}
	r.Disk.Size = size
	return r.content(TypeDisk)
}

// qemuUser is whom KubeVirt runs QEMU as.
const qemuUser = 107

// kubevirt makes the layer of a containerDisk: one disk in /disk
// (kubevirt.io/user-guide, "containerDisk").
func (r *render) kubevirt() ([]File, error) {
	disk, err := r.file(TypeDisk, formatQcow2)
	if err != nil {
		return nil, err
	}
	m, err := tar.PlanFiles(tar.File{
		Path: "disk/" + disk.Name, Mode: image.TypeRegular | 0o440, UID: qemuUser, GID: qemuUser, Content: disk.Map,
	})
	return []File{{Name: "layer.tar", MediaType: ocispec.MediaTypeImageLayer, Map: m}}, err
}

// directFiles makes kernel and ramdisk — nil where the image has none — and root
// filesystem of a machine that loads a kernel itself.
func (r *render) directFiles() (kernel File, ramdisk *File, root File, err error) {
	if kernel, err = r.file(TypeKernel, formatRaw); err != nil {
		return kernel, nil, root, err
	}
	kernel.Name = kernelFile
	if r.hasRamdisk() {
		file, err := r.file(TypeRamdisk, formatRaw)
		if err != nil {
			return kernel, nil, root, err
		}
		file.Name, ramdisk = ramdiskFile, &file
	}
	root, err = r.file(TypeFilesystem, formatRaw)
	root.Name = rootFile
	return kernel, ramdisk, root, err
}

// hasRamdisk reports whether the kernel that is booted has an initrd.
func (r *render) hasRamdisk() bool {
	k, err := boot.FirstKernel(r.root)
	return err == nil && k.Initrd != nil
}

// xen makes what a Xen domain boots: its kernel directly, or by pygrub, which
// reads a menu from the root filesystem.
func (r *render) xen() ([]File, error) {
	if err := r.addPygrubMenu(); err != nil {
		return nil, err
	}
	kernel, ramdisk, root, err := r.directFiles()
	if err != nil {
		return nil, err
	}
	files := []File{root, kernel}
	var config strings.Builder
	fmt.Fprintf(&config, "# xl create %s\nname = \"cloudlet\"\ntype = \"pv\"\nmemory = 1024\nvcpus = 1\n", xenConfig)
	fmt.Fprintf(&config, "kernel = %q\n", kernel.Name)
	if ramdisk != nil {
		files = append(files, *ramdisk)
		fmt.Fprintf(&config, "ramdisk = %q\n", ramdisk.Name)
	}
	fmt.Fprintf(&config, "extra = %q\n", r.report.CommandLine+" console=hvc0")
	fmt.Fprintf(&config, "disk = [ \"format=raw, vdev=xvda, access=rw, target=%s\" ]\n", root.Name)
	config.WriteString("# Instead of kernel, ramdisk and extra:\n# bootloader = \"pygrub\"\n")
	text, err := textFile(xenConfig, config.String())
	return append(files, text), err
}

const (
	xenConfig  = "xl.cfg"
	pygrubMenu = "/boot/grub/grub.cfg"
)

// addPygrubMenu adds a menu to the root filesystem, unless the image has one.
func (r *render) addPygrubMenu() error {
	if n, err := r.root.Resolve(pygrubMenu); err == nil && n.IsRegular() {
		return nil
	}
	kernel, err := boot.FirstKernel(r.root)
	if err != nil {
		return err
	}
	if _, err := r.content(TypeKernel); err != nil { // for the command line
		return err
	}
	var menu strings.Builder
	fmt.Fprintf(&menu, "menuentry \"Linux\" {\n\tlinux %s %s console=hvc0\n", kernel.Path, r.report.CommandLine)
	if kernel.Initrd != nil {
		fmt.Fprintf(&menu, "\tinitrd %s\n", kernel.InitrdPath)
	}
	menu.WriteString("}\n")
	return r.addMenu(menu.String())
}

// addMenu puts a menu where pygrub looks for one.
func (r *render) addMenu(text string) error {
	parent, err := r.root.Resolve("/boot")
	if err != nil {
		return err
	}
	menu := &image.Inode{Mode: image.TypeRegular | 0o644, ModTime: parent.ModTime, Links: 1}
	menu.SetContent([]byte(text))
	var edit image.Edit
	if grub := parent.Lookup("grub"); grub != nil && grub.IsDir() {
		edit.Put(grub, "grub.cfg", menu)
	} else {
		grub := &image.Inode{Mode: image.TypeDir | 0o755, ModTime: parent.ModTime, Links: 1}
		grub.Link("grub.cfg", menu)
		edit.Put(parent, "grub", grub)
	}
	r.root = edit.Apply(r.root)
	r.root.Sort()
	return nil
}

// firecracker makes what Firecracker starts with --config-file.
func (r *render) firecracker() ([]File, error) {
	kernel, ramdisk, root, err := r.directFiles()
	if err != nil {
		return nil, err
	}
	content := extent.NewReader(r.ctx, kernel.Map, r.Open)
	defer func() { _ = content.Close() }()
	extracted, err := vmlinux.Extract(content, content.Size())
	if err != nil {
		return nil, fmt.Errorf("take the kernel out of its boot image: %w", err)
	}
	kernel.Name = "vmlinux"
	if kernel.Map, err = r.keep(extracted.Content); err != nil {
		return nil, err
	}
	files := []File{root, kernel}
	boot := map[string]string{"kernel_image_path": kernel.Name, "boot_args": r.report.CommandLine + " reboot=k panic=1 pci=off"}
	if ramdisk != nil {
		files = append(files, *ramdisk)
		boot["initrd_path"] = ramdisk.Name
	}
	config, err := json.MarshalIndent(map[string]any{
		"boot-source": boot,
		"drives": []map[string]any{{
			"drive_id": "rootfs", "path_on_host": root.Name, "is_root_device": true, "is_read_only": false,
		}},
		"machine-config": map[string]int{"vcpu_count": 1, "mem_size_mib": 1024},
	}, "", "  ")
	if err != nil {
		return nil, err
	}
	text, err := textFile("vm.json", string(config)+"\n")
	return append(files, text), err
}

// lxc makes a unified image: metadata.yaml, and the root filesystem in rootfs
// (Incus documentation, "Image format").
func (r *render) lxc() ([]File, error) {
	metadata := "architecture: x86_64\ncreation_date: 1\nproperties:\n  description: " + fmt.Sprintf("%q", r.describe()) + "\n"
	file := &image.Inode{Mode: image.TypeRegular | 0o644}
	file.SetContent([]byte(metadata))
	tree := image.NewTree()
	tree.Root.Link("metadata.yaml", file)
	tree.Root.Link("rootfs", r.root.Clone().Root) // Others read the root, and linking changes it.
	m, err := tar.Plan(r.ctx, tree)
	return []File{{Name: "lxc.tar", MediaType: api.ArtifactKind(TypeFilesystem, "lxc"), Map: m}}, err
}

// describe returns what the cloudlet manifest says of an image.
func (r *render) describe() string {
	if r.Manifest.Description != "" {
		return r.Manifest.Description
	}
	return r.Manifest.Name
}

// wsl makes what wsl --import takes, and by its name a double click.
func (r *render) wsl() ([]File, error) {
	m, err := tar.Plan(r.ctx, r.root)
	return []File{{Name: "rootfs.wsl", MediaType: api.ArtifactKind(TypeFilesystem, "wsl"), Map: m}}, err
}

// textFile makes a file of generated text.
func textFile(name, text string) (File, error) {
	var b extent.Builder
	b.Inline([]byte(text))
	m, err := b.Build()
	return File{Name: name, MediaType: "text/plain", Map: m}, err
}

// keep returns the map of content that is too much to be carried in one.
func (r *render) keep(content []byte) (*extent.Map, error) {
	d, size, err := r.Spool.Keep(r.ctx, func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	})
	if err != nil {
		return nil, err
	}
	var b extent.Builder
	b.Source(d, 0, size)
	return b.Build()
}
