package container

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"runtime"

	"golang.org/x/sync/errgroup"

	"github.com/cloudlets/cloudlets/extent"
)

// Compress appends the compressed form of src to dst.
type Compress func(dst, src []byte) ([]byte, error)

// Packed is the content of a disk, compressed grain by grain.
type Packed struct {
	Blob   extent.Digest // the compressed grains, one after the other
	Size   int64         // of the blob in bytes
	Grains []PackedGrain // those with content, in the order of the disk
}

// PackedGrain is one grain of a disk, compressed.
type PackedGrain struct {
	Number int64  // of the grain on the disk
	Offset int64  // in the blob
	Length int64  // of its compressed form in bytes; 0 where it is not in the blob
	Sum    uint32 // of its content, where Packing.Sum is given
}

// Packing says how a disk is compressed.
type Packing struct {
	Disk *extent.Map
	Open extent.Opener // what the disk's map names
	// Grain is the size of a grain in bytes. The last one is padded with zeros.
	Grain int64
	// Frame is what stands before each grain in the blob; nil is nothing.
	Frame func(number int64, length int) (before []byte, alignment int64)
	// Compressor returns a compressor for one goroutine.
	Compressor func() (Compress, error)
	// KeepLarge keeps grains too whose compressed form is no shorter than they
	// are. Otherwise such a grain is listed with the length 0.
	KeepLarge bool
	// Exact cuts the last grain where the disk ends, instead of padding it.
	Exact bool
	// Sum returns a checksum of the content of a grain; nil is none. Formats with
	// one of the whole disk put it together from these.
	Sum func(content []byte) uint32
}

// batchBytes is how much of a disk is read and compressed at a time by one
// goroutine: the content of the disk is framed in pieces of its own.
const batchBytes = 1 << 20

// Pack compresses the grains of a disk on all cores and keeps them in a spool.
// Grains that hold nothing but zeros are left out, extents or not. The result
// depends on the disk and the compressor alone.
func Pack(ctx context.Context, p Packing, spool Spool) (*Packed, error) {
	packed := &Packed{}
	d, size, err := spool.Keep(ctx, func(w io.Writer) error { return p.write(ctx, packed, w) })
	if err != nil {
		return nil, fmt.Errorf("compress a disk of %d bytes: %w", p.Disk.Size(), err)
	}
	packed.Blob, packed.Size = d, size
	return packed, nil
}

// batch is a run of grains that one goroutine compresses.
type batch struct {
	run    Run
	done   chan struct{} // closed when grains is complete
	grains []compressed
}

// compressed is a grain: its compressed form, empty where it is not kept.
type compressed struct {
	number int64
	form   []byte
	sum    uint32
}

// write compresses batches at the same time and writes them in their order.
func (p Packing) write(ctx context.Context, packed *Packed, w io.Writer) error {
	workers := runtime.GOMAXPROCS(0)
	group, ctx := errgroup.WithContext(ctx)
	todo, ordered := make(chan *batch), make(chan *batch, 2*workers)
	group.Go(func() error {
		defer close(todo)
		defer close(ordered)
		for run := range p.batches() {
			b := &batch{run: run, done: make(chan struct{})}
			if !send(ctx, ordered, b) || !send(ctx, todo, b) {
				return ctx.Err()
			}
		}
		return nil
	})
	for range workers {
		group.Go(func() error { return p.work(ctx, todo) })
	}
	group.Go(func() error { return p.collect(ctx, ordered, packed, w) })
	return group.Wait()
}

// send sends a batch unless the context ends.
func send(ctx context.Context, to chan<- *batch, b *batch) bool {
	select {
	case to <- b:
		return true
	case <-ctx.Done():
		return false
	}
}

// batches yields the runs of grains of the disk in pieces.
func (p Packing) batches() iter.Seq[Run] {
	most := max(1, batchBytes/p.Grain)
	return func(yield func(Run) bool) {
		for _, r := range Runs(p.Disk, p.Grain) {
			for first := r.First; first < r.End(); first += most {
				if !yield(Run{First: first, Count: min(most, r.End()-first)}) {
					return
				}
			}
		}
	}
}

// work compresses batches until there are none.
func (p Packing) work(ctx context.Context, todo <-chan *batch) error {
	compress, err := p.Compressor()
	if err != nil {
		return err
	}
	r := extent.NewReader(ctx, p.Disk, p.Open)
	defer func() { _ = r.Close() }()
	for b := range todo {
		if err := p.compress(r, compress, b); err != nil {
			return err
		}
		close(b.done)
	}
	return nil
}

// compress compresses the grains of a batch.
func (p Packing) compress(r *extent.Reader, compress Compress, b *batch) error {
	content := make([]byte, b.run.Count*p.Grain)
	off := b.run.First * p.Grain
	held := min(int64(len(content)), r.Size()-off)
	if err := ReadFull(r, content[:held], off); err != nil {
		return fmt.Errorf("read %d bytes of the disk at %d: %w", held, off, err)
	}
	if p.Exact {
		content = content[:held]
	}
	for i := range b.run.Count {
		grain := content[i*p.Grain : min((i+1)*p.Grain, int64(len(content)))]
		if isZero(grain) {
			continue
		}
		form, err := compress(nil, grain)
		if err != nil {
			return err
		}
		if len(form) >= len(grain) && !p.KeepLarge {
			form = nil
		}
		g := compressed{number: b.run.First + i, form: form}
		if p.Sum != nil {
			g.sum = p.Sum(grain)
		}
		b.grains = append(b.grains, g)
	}
	return nil
}

// isZero reports whether p holds nothing but zeros.
func isZero(p []byte) bool {
	return p[0] == 0 && bytes.Equal(p[1:], p[:len(p)-1])
}

// collect writes batches in the order of the disk.
func (p Packing) collect(ctx context.Context, ordered <-chan *batch, packed *Packed, w io.Writer) error {
	out := &counter{w: w}
	for b := range ordered {
		select {
		case <-b.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		for _, g := range b.grains {
			if err := p.append(out, packed, g); err != nil {
				return err
			}
		}
	}
	return nil
}

// append writes a grain and notes where it stands.
func (p Packing) append(out *counter, packed *Packed, g compressed) error {
	if len(g.form) == 0 {
		packed.Grains = append(packed.Grains, PackedGrain{Number: g.number, Sum: g.sum})
		return nil
	}
	var before []byte
	alignment := int64(1)
	if p.Frame != nil {
		before, alignment = p.Frame(g.number, len(g.form))
	}
	packed.Grains = append(packed.Grains, PackedGrain{Number: g.number, Offset: out.n, Length: int64(len(before) + len(g.form)), Sum: g.sum})
	after := -(out.n + int64(len(before)+len(g.form))) & (alignment - 1)
	for _, part := range [][]byte{before, g.form, make([]byte, after)} {
		if _, err := out.Write(part); err != nil {
			return err
		}
	}
	return nil
}
