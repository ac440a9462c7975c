package converter

import (
	"context"
	"io"

	"github.com/cloudlets/cloudlets/api"
	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/converter/cow"
	"github.com/cloudlets/cloudlets/converter/parallels"
	"github.com/cloudlets/cloudlets/converter/qcow"
	"github.com/cloudlets/cloudlets/converter/qcow2"
	"github.com/cloudlets/cloudlets/converter/qed"
	"github.com/cloudlets/cloudlets/converter/stream"
	"github.com/cloudlets/cloudlets/converter/vdi"
	"github.com/cloudlets/cloudlets/converter/vhd"
	"github.com/cloudlets/cloudlets/converter/vhdx"
	"github.com/cloudlets/cloudlets/converter/vmdk"
	"github.com/cloudlets/cloudlets/extent"
)

// Formats that others are made of.
const (
	formatRaw        = "raw"
	formatQcow2      = "qcow2"
	formatVHD        = "vhd"
	formatVHDFixed   = "vhd-fixed"
	formatVMDK       = "vmdk"
	formatVMDKStream = "vmdk-stream"
	formatVMDKFlat   = "vmdk-flat"
	formatRawGzip    = "raw.gz"
	formatRawZst     = "raw.zst"
	formatRawXz      = "raw.xz"
	formatCow        = "cow"
	formatVHDX       = "vhdx"
	formatVDI        = "vdi"
)

// containers are the formats that hold one disk.
func containers() []Format {
	v2 := qcow2.Options{Version: 2}
	return []Format{
		{
			Name: formatRaw, Description: "the disk as it is", Extension: ".raw",
			Types: append(block(), TypeKernel, TypeRamdisk), write: whole, Open: openRaw,
		},
		{
			Name: formatQcow2, Description: "QEMU copy-on-write, version 3", Extension: ".qcow2",
			Types: block(), write: qcow2Writer(qcow2.Options{}), Open: qcow2.Open,
			OpenOver: qcow2.OpenOver, over: qcow2Over(qcow2.Options{}), rebase: rebaseQcow2,
			Compressions: []Compression{qcow2Compression("zlib", qcow2.Zlib, qcow2.Options{}), qcow2Compression("zstd", qcow2.Zstd, qcow2.Options{})},
		},
		{
			Name: "qcow2-v2", Description: "QEMU copy-on-write, version 2 (compat=0.10)", Extension: ".qcow2",
			Types: block(), write: qcow2Writer(v2), Open: qcow2.Open,
			OpenOver: qcow2.OpenOver, over: qcow2Over(v2), rebase: rebaseQcow2,
			Compressions: []Compression{qcow2Compression("zlib", qcow2.Zlib, v2)},
		},
		{
			Name: formatVHD, Description: "Virtual Hard Disk, dynamic", Extension: ".vhd",
			Types: block(), write: vhdWriter(vhd.Options{}), Open: vhd.Open,
			OpenOver: vhd.OpenOver, rebase: rebaseVHD,
			over: func(m *extent.Map, base *container.Base) (*extent.Map, error) {
				return vhd.Write(m, vhd.Options{Parent: base})
			},
		},
		{
			Name: formatVHDFixed, Description: "Virtual Hard Disk, fixed, of whole MiB", Extension: ".vhd",
			Types: block(), write: vhdWriter(vhd.Options{Fixed: true, Align: vhd.AzureAlign}), Open: vhd.Open,
		},
		{
			Name: formatVMDK, Description: "VMware, monolithicSparse", Extension: ".vmdk",
			Types: block(), write: planned(func(m *extent.Map) (*extent.Map, error) { return vmdk.Write(m, vmdk.Options{}) }), Open: vmdk.Open,
		},
		{
			Name: formatVMDKStream, Description: "VMware, streamOptimized, stored unless compressed", Extension: ".vmdk",
			Types: block(), Open: vmdk.Open, reads: true,
			write: func(r *render, m *extent.Map) (*extent.Map, error) {
				return vmdk.WriteStored(r.ctx, m, r.Open, vmdk.Options{})
			},
			Compressions: []Compression{{"zlib", func(r *render, m *extent.Map) (*extent.Map, error) {
				return vmdk.WriteCompressed(r.ctx, m, r.Open, r.Spool, vmdk.Options{})
			}}},
		},
		{
			Name: formatVMDKFlat, Description: "VMware, monolithicFlat: a descriptor, and the raw disk beside it",
			Types: block(), files: (*render).flatVMDK,
		},
		{
			Name: "qed", Description: "QEMU enhanced disk", Extension: ".qed",
			Types: block(), write: planned(qed.Write), Open: qed.Open,
		},
		{
			Name: "qcow", Description: "QEMU copy-on-write, version 1", Extension: ".qcow",
			Types: block(), write: planned(qcow.Write), Open: qcow.Open,
		},
		{
			Name: formatVHDX, Description: "Hyper-V virtual hard disk, dynamic", Extension: ".vhdx",
			Types: block(), write: vhdxWriter(vhdx.Options{}), Open: vhdx.Open,
			OpenOver: vhdx.OpenOver, rebase: rebaseVHD,
			over: func(m *extent.Map, base *container.Base) (*extent.Map, error) {
				return vhdx.Write(m, vhdx.Options{Parent: base})
			},
		},
		{
			Name: "vhdx-fixed", Description: "Hyper-V virtual hard disk, fixed", Extension: ".vhdx",
			Types: block(), write: vhdxWriter(vhdx.Options{Fixed: true}), Open: vhdx.Open,
		},
		{
			Name: formatVDI, Description: "VirtualBox disk, dynamic", Extension: ".vdi",
			Types: block(), write: vdiWriter(vdi.Options{}), Open: vdi.Open,
		},
		{
			Name: "vdi-static", Description: "VirtualBox disk, fixed", Extension: ".vdi",
			Types: block(), write: vdiWriter(vdi.Options{Static: true}), Open: vdi.Open,
		},
		{
			Name: formatCow, Description: "User Mode Linux copy-on-write; QEMU dropped it in 2014", Extension: ".cow",
			Types: block(), write: planned(cow.Write), Open: cow.Open,
		},
		{
			Name: "parallels", Description: "Parallels, expanding", Extension: ".hdd",
			Types: block(), write: planned(parallels.Write), Open: parallels.Open,
		},
	}
}

func qcow2Writer(o qcow2.Options) writer {
	return planned(func(m *extent.Map) (*extent.Map, error) { return qcow2.Write(m, o) })
}

// Commands that name the file of a parent in another one.
const (
	rebaseQcow2 = "qemu-img rebase -u -F FORMAT -b PARENT FILE"
	rebaseVHD   = "Set-VHD -Path FILE -ParentPath PARENT (Hyper-V)"
)

func qcow2Over(o qcow2.Options) func(m *extent.Map, base *container.Base) (*extent.Map, error) {
	return func(m *extent.Map, base *container.Base) (*extent.Map, error) {
		o.Parent = base
		return qcow2.Write(m, o)
	}
}

func qcow2Compression(name string, c qcow2.Compression, o qcow2.Options) Compression {
	return Compression{name, func(r *render, m *extent.Map) (*extent.Map, error) {
		return qcow2.WriteCompressed(r.ctx, m, r.Open, r.Spool, c, o)
	}}
}

func vhdWriter(o vhd.Options) writer {
	return planned(func(m *extent.Map) (*extent.Map, error) { return vhd.Write(m, o) })
}

func vhdxWriter(o vhdx.Options) writer {
	return planned(func(m *extent.Map) (*extent.Map, error) { return vhdx.Write(m, o) })
}

// flatVMDK makes a descriptor and the raw file that it names.
func (r *render) flatVMDK() ([]File, error) {
	outputType := r.outputType()
	content, err := r.content(outputType)
	if err != nil {
		return nil, err
	}
	name := outputType + "-flat.vmdk"
	text, flat, err := vmdk.Flat(name, content, vmdk.Options{})
	if err != nil {
		return nil, err
	}
	descriptor, err := textFile(outputType+".vmdk", string(text))
	descriptor.MediaType = r.artifactType()
	return []File{descriptor, {Name: name, MediaType: api.ArtifactKind(outputType, formatRaw), Map: flat}}, err
}

func vdiWriter(o vdi.Options) writer {
	return planned(func(m *extent.Map) (*extent.Map, error) { return vdi.Write(m, o) })
}

// openRaw reads a raw disk: all of it is the disk.
func openRaw(_ io.ReaderAt, size int64, source extent.Digest) (*container.Disk, error) {
	var b extent.Builder
	b.Source(source, 0, size)
	m, err := b.Build()
	return &container.Disk{Map: m}, err
}

// streams are raw disks in compressed streams. They have no Open: nothing but
// reading all of them finds where something stands.
func streams() []Format {
	gzip, zstd, xz := spooled(stream.CompressGzip), spooled(stream.CompressZstd), spooled(stream.CompressXz)
	return []Format{
		{
			Name: formatRawGzip, Description: "the disk in gzip, stored unless compressed", Extension: ".raw.gz",
			Types: block(), reads: true, write: spooled(stream.StoreGzip), Compressions: []Compression{{"gzip", gzip}},
		},
		{
			Name: formatRawZst, Description: "the disk in zstd, stored unless compressed", Extension: ".raw.zst",
			Types: block(), write: planned(stream.StoreZstd), Compressions: []Compression{{"zstd", zstd}},
		},
		{
			Name: formatRawXz, Description: "the disk in xz, always compressed", Extension: ".raw.xz",
			Types: block(), reads: true, write: xz, Compressions: []Compression{{"xz", xz}},
		},
	}
}

// spooled is the writer of a format that reads its content, and keeps what it
// makes of it.
func spooled(write func(ctx context.Context, disk *extent.Map, open extent.Opener, spool container.Spool) (*extent.Map, error)) writer {
	return func(r *render, m *extent.Map) (*extent.Map, error) { return write(r.ctx, m, r.Open, r.Spool) }
}
