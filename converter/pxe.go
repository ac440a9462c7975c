package converter

import (
	"fmt"
	"slices"
	"strings"

	"github.com/cloudlets/cloudlets/converter/boot"
	"github.com/cloudlets/cloudlets/converter/live"
)

// pxe makes what a machine without a disk boots over the network.
func (r *render) pxe() ([]File, error) {
	if args, ok := live.NetworkArguments(r.root, "${base}"+squashfsFile); ok && r.hasRamdisk() {
		return r.pxeLive(args)
	}
	if r.Compress != "" {
		r.note("the root filesystem goes into memory as it is: only that of an image with a live system is compressed")
	}
	return r.pxeMemory()
}

// pxeLive makes what boots an image whose initrd knows how to fetch the root
// filesystem by its URL. The script has to know that: newer versions of iPXE say
// where they have a script from, others are told by whoever chains it.
//
// Source: ipxe.org/cfg/cwduri.
func (r *render) pxeLive(args []string) ([]File, error) {
	var files []File
	for _, f := range []struct{ outputType, format, name string }{
		{TypeKernel, formatRaw, kernelFile}, {TypeRamdisk, formatRaw, ramdiskFile},
	} {
		file, err := r.file(f.outputType, f.format)
		if err != nil {
			return nil, err
		}
		file.Name = f.name
		files = append(files, file)
	}
	squashfs, err := FindFormat(formatSquashfs)
	if err != nil {
		return nil, err
	}
	root, err := r.pack(nil, TypeFilesystem, squashfs)
	if err != nil {
		return nil, err
	}
	root.Name = squashfsFile
	r.report.CommandLine = strings.Join(slices.Concat(args, r.Disk.KernelArgs, r.args), " ")
	script, err := textFile("boot.ipxe", fmt.Sprintf(liveScript, kernelFile, ramdiskFile, r.report.CommandLine, ramdiskFile))
	return append([]File{script}, append(files, root)...), err
}

// squashfsFile is the root filesystem of a live system.
const squashfsFile = "root.squashfs"

// liveScript is the script that boots a live system.
const liveScript = `#!ipxe
isset ${base} || set base ${cwduri}
isset ${base} || goto unknown
kernel %s initrd=%s %s
initrd %s
boot
:unknown
echo The URL of this script is not known to this iPXE: set base to that of its folder, with a / at the end, before it is chained
exit 1
`

// pxeMemory makes what boots any image, whatever its own initrd knows: by the
// script, iPXE fetches the kernel and, as its ramdisk, the whole root filesystem,
// from where it has the script from.
func (r *render) pxeMemory() ([]File, error) {
	kernel, err := r.file(TypeKernel, formatRaw)
	if err != nil {
		return nil, err
	}
	kernel.Name = kernelFile
	archive, err := FindFormat(formatCpio)
	if err != nil {
		return nil, err
	}
	root, err := r.pack(nil, TypeFilesystem, archive)
	if err != nil {
		return nil, err
	}
	root.Name = "root.cpio"
	args := slices.Concat([]string{"rdinit=/sbin/init", "fstab=no"}, boot.ConsoleArgs(), r.Disk.KernelArgs, r.args)
	r.report.CommandLine = strings.Join(args, " ")
	script := fmt.Sprintf("#!ipxe\nkernel %s initrd=%s %s\ninitrd %s\nboot\n", kernel.Name, root.Name, r.report.CommandLine, root.Name)
	text, err := textFile("boot.ipxe", script)
	return []File{text, kernel, root}, err
}
