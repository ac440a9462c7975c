package converter

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/extent"
)

// ErrFormat is wrapped by errors about formats that do not exist.
var ErrFormat = errors.New("unknown format")

// FormatTar is the format of a root filesystem as files, for what starts it from
// a shell: containers, systemd-nspawn, LXC, WSL.
const FormatTar = "tar"

// Format is what an image is rendered into: a container of a disk, an archive of
// files, or all that a provider takes, under one name.
type Format struct {
	Name        string // as in --format
	Description string
	Extension   string // of file names, with its dot
	// Types are the types of outputs that the format holds; the first is meant
	// where none is asked for.
	Types []string
	// Compressions are the ways in which content can be really compressed; the
	// first is meant where none is named.
	Compressions []Compression
	// Open reads the disk in a file of the format: see package container. It is
	// nil where the format is only written.
	Open func(r io.ReaderAt, size int64, source extent.Digest) (*container.Disk, error)
	// OpenOver is Open for a file that leaves content to a parent; nil where the
	// format has no such files.
	OpenOver func(r io.ReaderAt, size int64, source extent.Digest, find container.FindParent) (*container.Disk, error)
	// Needs says what an image must have for the output to be of use; empty is
	// what any output of its type needs.
	Needs string
	// Package is how the output stands in a registry.
	Package Package
	// Arch is the word for the architecture in an index, where the provider looks
	// for another than OCI's.
	Arch string

	write writer
	// over writes what differs from a base; nil where the format has no parents.
	over func(content *extent.Map, base *container.Base) (*extent.Map, error)
	// rebase is the command that names a file as the parent in a file of the
	// format.
	rebase string
	// files makes all files of an output; nil is one, by write.
	files func(r *render) ([]File, error)
	// reads says that content is read before the output can be: for checksums in
	// it, or because it is always compressed.
	reads bool
	// shell says that a system is started from a shell, without a kernel.
	shell bool
}

// writer makes the file of a format from what is in it.
type writer func(r *render, content *extent.Map) (*extent.Map, error)

// Compression is a way to compress the content of a format.
type Compression struct {
	Name string // as in --compress

	write writer
}

// block are the types of content that any container of disks holds.
func block() []string { return []string{TypeDisk, TypeFilesystem, TypePersistent} }

// Formats returns all formats, sorted by name.
func Formats() []Format {
	formats := slices.Concat(containers(), streams(), archives(), volumes(), providers())
	slices.SortFunc(formats, func(a, b Format) int { return strings.Compare(a.Name, b.Name) })
	return formats
}

// whole is the writer of what is its own format.
func whole(_ *render, content *extent.Map) (*extent.Map, error) { return content, nil }

// planned is the writer of a format that is a pure function of its content.
func planned(write func(content *extent.Map) (*extent.Map, error)) writer {
	return func(_ *render, content *extent.Map) (*extent.Map, error) { return write(content) }
}

// FindFormat returns the format of a name. The error wraps ErrFormat and names
// those that exist.
func FindFormat(name string) (Format, error) {
	var names []string
	for _, f := range Formats() {
		if f.Name == name {
			return f, nil
		}
		names = append(names, f.Name)
	}
	return Format{}, fmt.Errorf("%w %q: expected one of %s", ErrFormat, name, strings.Join(names, ", "))
}

// Compression returns a way to compress the format's content. The empty name is
// none, "default" the first that the format has.
func (f Format) Compression(name string) (Compression, error) {
	if name == "" {
		return Compression{write: f.write}, nil
	}
	if len(f.Compressions) == 0 {
		return Compression{}, fmt.Errorf("the format %s is not compressed", f.Name)
	}
	if name == CompressDefault {
		return f.Compressions[0], nil
	}
	var names []string
	for _, c := range f.Compressions {
		if c.Name == name {
			return c, nil
		}
		names = append(names, c.Name)
	}
	return Compression{}, fmt.Errorf("the format %s is not compressed with %q: expected one of %s", f.Name, name, strings.Join(names, ", "))
}

// CompressDefault is the compression that a format is best known with.
const CompressDefault = "default"
