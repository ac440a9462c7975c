package client

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/cloudlets/cloudlets/image"
	"github.com/cloudlets/cloudlets/image/cloudlet"
	"github.com/cloudlets/cloudlets/image/configure"
	"github.com/cloudlets/cloudlets/image/diff"
	"github.com/cloudlets/cloudlets/image/template"
	"github.com/cloudlets/cloudlets/image/workdir"
)

// Setup is what an image is configured with.
type Setup struct {
	Manifest *cloudlet.Manifest
	// Config is the configuration as it was given; nil where none was.
	Config []byte
	// Env is the environment that templates see.
	Env map[string]string
}

// ErrNotDirectory says that an image cannot be configured in place.
var ErrNotDirectory = errors.New("only a directory is configured in place: for other images use tar --config, raw --config or render --config")

// Configure returns the tree of the image with a configuration in it, and which
// parts of the configuration have no effect. See [configure.Apply].
func (i *Image) Configure(ctx context.Context, s Setup) (t *image.Tree, unused []string, err error) {
	return i.configure(ctx, i.Tree, s)
}

// configure is Configure for a tree that was made of the image's.
func (i *Image) configure(ctx context.Context, from *image.Tree, s Setup) (t *image.Tree, unused []string, err error) {
	c, err := s.Manifest.Configure(s.Config)
	if err != nil {
		return nil, nil, err
	}
	in := configure.Input{Tree: from, Open: i, Manifest: s.Manifest, Configuration: c, Env: s.Env}
	t, report, err := configure.Apply(ctx, in, new(template.Runner))
	if err != nil {
		return nil, nil, err
	}
	return t, report.Unused(s.Config), nil
}

// ConfigureInPlace configures the directory that the image was opened from. Each
// file is replaced in one step, and the record of the configuration comes last:
// what was cut short can be done again.
func (i *Image) ConfigureInPlace(ctx context.Context, s Setup) (unused []string, err error) {
	if info, err := os.Stat(i.Name); err != nil || !info.IsDir() || i.Manifest != nil {
		return nil, ErrNotDirectory
	}
	t, unused, err := i.Configure(ctx, s)
	if err != nil {
		return nil, err
	}
	files, record, err := configureChanges(i.Tree, t)
	if err != nil {
		return nil, err
	}
	o := workdir.Options{NoOwner: os.Geteuid() != 0}
	for _, changes := range [][]diff.Change{files, record} {
		if err := workdir.Apply(ctx, i.Name, t, changes, i, o); err != nil {
			return nil, fmt.Errorf("configure %s: %w", i.Name, err)
		}
	}
	return unused, nil
}

// configureChanges returns what a configuration changes, the record apart from
// all else. Files that both trees share are the same.
func configureChanges(from, to *image.Tree) (files, record []diff.Change, err error) {
	changes, err := diff.Trees(from, to, func(a, b *image.Inode) (bool, error) { return a == b, nil })
	if err != nil {
		return nil, nil, err
	}
	for _, c := range changes {
		if c.Path == ".cloudlet" || strings.HasPrefix(c.Path, ".cloudlet/") {
			record = append(record, c)
			continue
		}
		files = append(files, c)
	}
	return files, record, nil
}
