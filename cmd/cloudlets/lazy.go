package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/cloudlets/cloudlets/client"
	"github.com/cloudlets/cloudlets/client/lazy"
	"github.com/cloudlets/cloudlets/nbd"
)

// lazyFlags say how the content of a disk is fetched while the disk is read.
type lazyFlags struct {
	cache     string
	cacheSize byteSize
	readahead byteSize
	fill      bool
	record    string
	trace     string
	boots     bool // the disk is read by a node that boots
}

const (
	defaultCacheSize = 8 << 30
	defaultReadahead = 1 << 20

	traceFound = "auto" // the latest that was pushed for the image
	traceGuess = "guess"
	traceNone  = "none"
)

func (f *lazyFlags) register(cmd *cobra.Command) {
	f.cacheSize, f.readahead = defaultCacheSize, defaultReadahead
	flags := cmd.Flags()
	flags.StringVar(&f.cache, "cache", "", "directory to keep fetched content in, for the next time too (default: temporary files)")
	flags.Var(&f.cacheSize, "cache-size", "content to keep at most")
	flags.Var(&f.readahead, "readahead", "content to fetch ahead of a sequential read, at most; 0 for none")
	flags.BoolVar(&f.fill, "fill", false, "fetch the whole disk, in the order of its plan, while no read waits")
	flags.StringVar(&f.record, "record", "", "file to write to which content was read, in which order: see cloudlets trace")
	flags.StringVar(&f.trace, "trace", traceFound, "trace whose content is fetched first: a file; auto for the latest that was pushed for the image; guess for what systems read when they boot, by the names of files; or none")
}

// lazyDisk is a disk that is fetched while it is read, and the image it is of.
type lazyDisk struct {
	*lazy.Disk
	image    *client.Image
	rendered client.Rendered
	cache    *lazy.Cache
	flags    *lazyFlags
}

// withDisk renders what a command was given for an image, and uses the disk.
func (f *lazyFlags) withDisk(g *globals, cmd *cobra.Command, name string, flags *renderFlags, setup *setupFlags, format string, use func(lazyDisk) error) (err error) {
	cache, err := lazy.Open(f.cache, int64(f.cacheSize))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cache.Close()) }()
	i, err := openNear(g, cmd, name, cache)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, i.Close()) }()
	return flags.renderNear(g, cmd, i, cache, setup, format, func(rendered client.Rendered) error {
		tellRendered(cmd, rendered)
		disk := lazyDisk{rendered.Lazily(cmd.Context(), 0, cache, int64(f.readahead)), i, rendered, cache, f}
		if err := disk.begin(g, cmd, name); err != nil {
			return err
		}
		return errors.Join(use(disk), disk.save())
	})
}

// begin begins to record, and to fetch what is fetched ahead.
func (d lazyDisk) begin(g *globals, cmd *cobra.Command, name string) error {
	t, err := d.findTrace(g, cmd, name)
	if err != nil {
		return err
	}
	if d.flags.record != "" {
		d.Record()
	}
	if t != nil {
		d.Replay(t)
	}
	if d.flags.fill {
		d.Fill()
	}
	return nil
}

// save writes what was recorded.
func (d lazyDisk) save() error {
	if d.flags.record == "" {
		return nil
	}
	return saveFile(d.flags.record, func(w io.Writer) error {
		_, err := d.Recorded().WriteTo(w)
		return err
	})
}

// export returns the disk as an export.
func (d lazyDisk) export() *nbd.Export {
	return &nbd.Export{Name: d.image.Name, Map: d.Map(), Content: d, Fetch: d.Fetch}
}

// openNear opens an image, of a rootfs or not, whose content is kept in a cache.
func openNear(g *globals, cmd *cobra.Command, name string, cache *lazy.Cache) (*client.Image, error) {
	return openImageAs(g, cmd, name, client.OpenOptions{Content: true, Near: cache})
}

// findTrace returns the trace whose content is fetched first, or nil.
func (d lazyDisk) findTrace(g *globals, cmd *cobra.Command, name string) (*lazy.Trace, error) {
	switch d.flags.trace {
	case traceNone:
		return nil, nil
	case traceGuess:
		return d.rendered.GuessTrace(), nil
	case traceFound:
		t, err := d.pushedTrace(g, cmd, name)
		if t == nil && d.flags.boots {
			t = d.rendered.GuessTrace()
		}
		return t, err
	}
	return readTrace(d.flags.trace)
}

// pushedTrace returns the trace of an earlier boot that was pushed for the image,
// or nil. That none can be found is no reason not to boot.
func (d lazyDisk) pushedTrace(g *globals, cmd *cobra.Command, name string) (*lazy.Trace, error) {
	if d.image.Manifest == nil {
		return nil, nil
	}
	repo, err := g.repository(cmd, name)
	if err != nil {
		return nil, err
	}
	t, err := repo.Trace(cmd.Context(), d.image.Descriptor)
	if err != nil {
		fmt.Fprintln(cmd.ErrOrStderr(), "warning: no pushed trace is replayed:", err)
	}
	return t, nil
}

// readTrace reads a trace from a file.
func readTrace(path string) (*lazy.Trace, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	t, err := lazy.ReadTrace(file)
	if err := errors.Join(err, file.Close()); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}
