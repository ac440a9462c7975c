package converter

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/cloudlets/cloudlets/converter/disk"
	"github.com/cloudlets/cloudlets/converter/qcow2"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// Version is part of every derivation key. It changes whenever the same
// parameters would give other bytes than before.
const Version = 2

// ErrFormat is wrapped by errors about formats that do not exist.
var ErrFormat = errors.New("unknown format")

// Format is a provider's container of a disk.
type Format struct {
	Name        string // as in --format
	Description string
	Extension   string // of file names, with its dot

	write func(disk *extent.Map) (*extent.Map, error)
}

// Formats returns all formats, sorted by name.
func Formats() []Format {
	return []Format{
		{"qcow2", "QEMU copy-on-write, version 3", ".qcow2", func(m *extent.Map) (*extent.Map, error) {
			return qcow2.Write(m, qcow2.Options{})
		}},
		{"raw", "the disk as it is", ".raw", func(m *extent.Map) (*extent.Map, error) { return m, nil }},
	}
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

// Parameters say what is rendered, beside the image.
type Parameters struct {
	Format string
	Disk   disk.Options
}

// Render returns the extent map of an image in a format.
func Render(ctx context.Context, tree *image.Tree, open extent.Opener, p Parameters) (*extent.Map, disk.Report, error) {
	format, err := FindFormat(p.Format)
	if err != nil {
		return nil, disk.Report{}, err
	}
	d, report, err := disk.Plan(ctx, tree, open, p.Disk)
	if err != nil {
		return nil, disk.Report{}, err
	}
	m, err := format.write(d)
	if err != nil {
		return nil, disk.Report{}, fmt.Errorf("write %s: %w", format.Name, err)
	}
	return m, report, nil
}
