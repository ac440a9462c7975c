package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cloudlets/cloudlets/api"
	"github.com/cloudlets/cloudlets/client"
	"github.com/cloudlets/cloudlets/client/lazy"
	"github.com/cloudlets/cloudlets/converter"
	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/image/kind"
)

// hereWindow is how much of a layer is fetched ahead while it is compressed, in
// bytes of content.
const hereWindow = 2 << 20

// here renders on this machine.
type here struct {
	*renderFlags
	setup  setupFlags
	format string
	output string // a file, - or a directory
	disk   diskFlags
	push   string // a repository, or pushBeside; empty is nowhere

	cache *lazy.Cache // of what is fetched in pieces; nil where it comes whole
}

// pushBeside stands for the repository of the image.
const pushBeside = "beside the image"

// run renders an image, and writes the output.
func (h *here) run(g *globals, cmd *cobra.Command, name string) error {
	if h.push != "" {
		return h.derive(g, cmd, name)
	}
	if h.output == "" {
		return usageError{errors.New("an image is rendered on this machine, where nothing keeps the output: name a file or a directory for it with -o")}
	}
	return h.render(g, cmd, name, func(r client.Rendered) error { return h.use(cmd, r) })
}

// render renders an image here, and uses the output while it can be read.
func (h *here) render(g *globals, cmd *cobra.Command, name string, use func(client.Rendered) error) (err error) {
	if h.cache, err = lazy.Open("", math.MaxInt64); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.cache.Close()) }()
	h.cache.ReadAhead(hereWindow)
	i, err := h.open(g, cmd, name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, i.Close()) }()
	return h.renderNear(g, cmd, i, h.cache, &h.setup, h.format, use)
}

// renderNear renders an image that was opened, as the flags say, and uses the
// output while it can be read. The boot kit comes through the same cache as the
// image.
func (f *renderFlags) renderNear(g *globals, cmd *cobra.Command, i *client.Image, cache *lazy.Cache, setup *setupFlags, format string, use func(client.Rendered) error) (err error) {
	setup.config = f.config
	s, err := setup.read(cmd, i)
	if err != nil {
		return err
	}
	l := client.Local{Setup: s, Parameters: f.parameters(format), Volatile: f.volatile, Spool: &container.Files{}}
	defer func() { err = errors.Join(err, l.Spool.Close()) }()
	if l.Parent, err = openParent(g, cmd, f.parent); err != nil {
		return err
	}
	if l.Parent != nil {
		l.Parameters.Parent = l.Parent.Descriptor.Digest
		defer func() { err = errors.Join(err, l.Parent.Close()) }()
	}
	if f.bootkit != "" {
		if l.Kit, err = openNear(g, cmd, f.bootkit, cache); err != nil {
			return fmt.Errorf("boot kit: %w", err)
		}
		defer func() { err = errors.Join(err, l.Kit.Close()) }()
	}
	rendered, err := i.RenderHere(cmd.Context(), l)
	if err != nil {
		return err
	}
	return use(rendered)
}

// use tells of an output, and writes it where that is asked for.
func (h *here) use(cmd *cobra.Command, rendered client.Rendered) error {
	tellRendered(cmd, rendered)
	if h.output == "" {
		return nil
	}
	return h.save(cmd.Context(), rendered)
}

// derive renders an image that is in a registry, and pushes the derived artifact.
func (h *here) derive(g *globals, cmd *cobra.Command, name string) error {
	var to *client.Repository
	repo, err := g.repository(cmd, name)
	if err == nil && h.push != pushBeside {
		_, to, err = g.pushTarget(cmd, h.push)
	}
	if err != nil {
		return err
	}
	req, err := h.request(cmd, g, repo, h.format)
	if err != nil {
		return err
	}
	render, err := repo.Derive(cmd.Context(), req, to, func(r client.Rendered) error { return h.use(cmd, r) })
	if err != nil {
		return err
	}
	return printRender(g, besides(cmd, h.output), render)
}

// checkPush says why what comes of a render cannot be pushed.
func (h *here) checkPush(name string, verify bool) error {
	switch {
	case h.push == "":
		return nil
	case verify:
		return usageError{errors.New("--verify is for what was pushed: leave --push out")}
	case h.setup.given():
		return usageError{errors.New("what is pushed can be rendered again by whoever has the image, without --manifest and --env: leave them out, or --push")}
	case isHere(name):
		return usageError{fmt.Errorf("an artifact is derived from an image in a registry: push %s there, and render that", name)}
	}
	return nil
}

// open opens what is rendered, a rootfs or not. Of an image in a registry that is
// fetched which the output holds.
func (h *here) open(g *globals, cmd *cobra.Command, name string) (*client.Image, error) {
	o := client.OpenOptions{Content: true, File: h.disk.file(kind.Kind{}), Near: h.cache}
	if slices.Contains(converter.ContentTypes(), h.outputType) {
		o.File.Declared.Type = kind.Type(h.outputType)
	}
	return openImageAs(g, cmd, name, o)
}

// save writes the files of an output.
func (h *here) save(ctx context.Context, r client.Rendered) error {
	names := make([]string, len(r.Files))
	for i, f := range r.Files {
		names[i] = f.Name
	}
	return saveFiles(h.output, names, func(i int, w io.Writer) error { return writeNear(ctx, r, i, h.cache, w) })
}

// writeNear writes a file of an output, whose content is fetched ahead into a cache.
func writeNear(ctx context.Context, r client.Rendered, file int, cache *lazy.Cache, w io.Writer) error {
	r.Lazily(ctx, file, cache, 0).Fill()
	return writeMap(ctx, r.Files[file].Map, r.Open, w)
}

// saveNear writes a file of an output to a file here, as writeNear does.
func saveNear(ctx context.Context, r client.Rendered, file int, cache *lazy.Cache, path string) error {
	return saveFile(path, func(w io.Writer) error { return writeNear(ctx, r, file, cache, w) })
}

// saveFiles has the files of an output written: one to the path, or into it where
// it is a directory or ends with a slash; several into a directory, which is made.
func saveFiles(path string, names []string, fill func(i int, w io.Writer) error) error {
	info, err := os.Stat(path)
	if len(names) == 1 && (err != nil && !strings.HasSuffix(path, "/") || err == nil && !info.IsDir()) {
		return saveFile(path, func(w io.Writer) error { return fill(0, w) })
	}
	if path == "-" {
		return usageError{fmt.Errorf("the output has %d files, expected a directory for them in place of -", len(names))}
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		return err
	}
	return saveTogether(path, names, fill)
}

// saveTogether has files written to a directory, where none has its name before
// all are written.
func saveTogether(dir string, names []string, fill func(i int, w io.Writer) error) (err error) {
	files := make([]*client.SparseFile, len(names))
	for i, name := range names {
		if !filepath.IsLocal(name) || filepath.Base(name) != name {
			return fmt.Errorf("a file of the output has the name %q, expected one without folders", name)
		}
		if files[i], err = client.CreateSparse(filepath.Join(dir, name)); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, files[i].Close()) }()
		if err := fill(i, files[i]); err != nil {
			return err
		}
	}
	for _, f := range files {
		if err := f.Commit(); err != nil {
			return err
		}
	}
	return nil
}

// isHere reports whether a command was given an image on this machine.
func isHere(name string) bool {
	_, err := os.Stat(name)
	return name == "-" || err == nil
}

// saveRender writes the output of a render in a registry.
func saveRender(ctx context.Context, repo *client.Repository, files []api.RenderFile, path string) error {
	names := make([]string, len(files))
	for i, f := range files {
		names[i] = f.Name
	}
	return saveFiles(path, names, func(i int, w io.Writer) error { return pullFile(ctx, repo, files[i], w) })
}
