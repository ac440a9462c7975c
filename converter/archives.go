package converter

import (
	"fmt"
	"slices"

	"github.com/cloudlets/cloudlets/converter/boot"
	"github.com/cloudlets/cloudlets/converter/cpio"
	"github.com/cloudlets/cloudlets/converter/erofs"
	"github.com/cloudlets/cloudlets/converter/live"
	"github.com/cloudlets/cloudlets/converter/squashfs"
	"github.com/cloudlets/cloudlets/converter/tar"
	"github.com/cloudlets/cloudlets/extent"
)

// Formats that others are made of.
const (
	formatCpio     = "cpio"
	formatSquashfs = "squashfs"
)

// archives are the formats that hold the files of the root filesystem. They are
// written from its tree, not from what would stand on a disk.
func archives() []Format {
	types := []string{TypeFilesystem}
	return []Format{
		{
			Name: FormatTar, Description: "the files of the root filesystem", Extension: ".tar",
			Types: types, shell: true, files: archive, write: writeTar,
		},
		{
			Name: formatSquashfs, Description: "the root filesystem, read-only", Extension: ".squashfs",
			Types: types, files: archive, write: writeSquashfs,
			Compressions: []Compression{squashfsCompression("gzip", squashfs.Gzip), squashfsCompression("zstd", squashfs.Zstd)},
		},
		{
			Name: formatCpio, Description: "the root filesystem as Linux unpacks it into memory", Extension: ".cpio",
			Types: types, files: archive, write: writeCpio,
		},
		{
			Name: "erofs", Description: "the root filesystem, read-only, in blocks of 4 KiB", Extension: ".erofs",
			Types: types, files: archive, write: func(r *render, _ *extent.Map) (*extent.Map, error) {
				return erofs.Plan(r.ctx, r.root, erofs.Options{UUID: boot.DeriveUUID(r.Disk.Seed, "erofs")})
			},
		},
	}
}

// volumes are the formats of optical discs.
func volumes() []Format {
	types := []string{TypeISO}
	return []Format{
		{
			Name: "iso", Description: "a live system on a disc or a stick, for BIOS and UEFI", Extension: ".iso",
			Types: types, files: archive, write: liveWriter(nil),
			Needs:        "an initrd that knows a live system: live-boot, dracut's dmsquash-live or casper",
			Compressions: []Compression{{"gzip", liveWriter(compressor(squashfs.Gzip))}, {"zstd", liveWriter(compressor(squashfs.Zstd))}},
		},
		{
			Name: "iso-data", Description: "the files of the root filesystem on a disc that does not boot", Extension: ".iso",
			Types: types, files: archive, shell: true, write: func(r *render, _ *extent.Map) (*extent.Map, error) {
				return live.PlanData(r.ctx, r.root, r.live(nil))
			},
		},
	}
}

// compressor returns what a live system's root filesystem is compressed with.
func compressor(c squashfs.Compressor) *squashfs.Compressor { return &c }

func liveWriter(c *squashfs.Compressor) writer {
	return func(r *render, _ *extent.Map) (*extent.Map, error) {
		m, report, err := live.Plan(r.ctx, r.root, r.Open, r.live(c))
		r.report.UEFI, r.report.BIOS, r.report.Kernels = report.UEFI, report.BIOS, report.Kernels
		for _, d := range report.Dropped {
			r.note("squashfs has no form for an attribute, which is left out: " + d)
		}
		return m, err
	}
}

// live returns the options of a live volume.
func (r *render) live(c *squashfs.Compressor) live.Options {
	o := live.Options{
		Seed: r.Disk.Seed, KernelArgs: slices.Concat(r.Disk.KernelArgs, r.args), Kit: r.Disk.Kit, Packer: r.Disk.Packer,
	}
	if c != nil {
		o.Compress = &squashfs.Packing{Compressor: *c, Open: r.Open, Spool: r.Spool}
	}
	return o
}

// archive makes the file of an output that holds the files of the rootfs.
func archive(r *render) ([]File, error) {
	file, err := r.pack(nil, r.outputType(), r.format)
	return []File{file}, err
}

func writeTar(r *render, _ *extent.Map) (*extent.Map, error) { return tar.Plan(r.ctx, r.root) }

func writeCpio(r *render, _ *extent.Map) (*extent.Map, error) {
	return cpio.Plan(r.ctx, r.root, cpio.Options{Dropped: r.dropped})
}

func writeSquashfs(r *render, _ *extent.Map) (*extent.Map, error) {
	return squashfs.Plan(r.ctx, r.root, squashfs.Options{Dropped: r.dropped})
}

func squashfsCompression(name string, c squashfs.Compressor) Compression {
	return Compression{name, func(r *render, _ *extent.Map) (*extent.Map, error) {
		return squashfs.Pack(r.ctx, r.root, squashfs.Options{Dropped: r.dropped},
			squashfs.Packing{Compressor: c, Open: r.Open, Spool: r.Spool})
	}}
}

// maxNotes bounds what is told of one output.
const maxNotes = 10

// dropped notes that an output lacks an attribute of a file.
func (r *render) dropped(path, attribute string) {
	r.note(fmt.Sprintf("%s has no form for the attribute %s of %s: it is left out", r.format.Name, attribute, path))
}

// note notes what a person should know of the output.
func (r *render) note(text string) {
	if len(r.notes) < maxNotes {
		r.notes = append(r.notes, text)
	}
}
