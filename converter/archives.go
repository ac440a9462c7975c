package converter

import (
	"fmt"

	"github.com/cloudlets/cloudlets/converter/squashfs"
	"github.com/cloudlets/cloudlets/converter/tar"
	"github.com/cloudlets/cloudlets/extent"
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
			Name: "squashfs", Description: "the root filesystem, read-only", Extension: ".squashfs",
			Types: types, files: archive, write: writeSquashfs,
			Compressions: []Compression{squashfsCompression("gzip", squashfs.Gzip), squashfsCompression("zstd", squashfs.Zstd)},
		},
	}
}

// archive makes the file of an output that holds the files of the rootfs.
func archive(r *render) ([]File, error) {
	file, err := r.pack(nil, TypeFilesystem, r.format)
	return []File{file}, err
}

func writeTar(r *render, _ *extent.Map) (*extent.Map, error) { return tar.Plan(r.ctx, r.root) }

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
	if len(r.notes) < maxNotes {
		r.notes = append(r.notes, fmt.Sprintf("%s has no form for the attribute %s of %s: it is left out", r.format.Name, attribute, path))
	}
}
