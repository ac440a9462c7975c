package lazy

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/cloudlets/cloudlets/extent"
)

// TraceType is the media type, and the artifact type, of a trace.
const TraceType = "application/vnd.cloudlets.boot.trace.v1+json"

// MaxTrace is the longest trace that is read, in bytes.
const MaxTrace = 32 << 20

// ErrTrace is wrapped by errors about what is not a trace.
var ErrTrace = errors.New("not a valid boot trace")

// Trace lists what was read of layers, in the order in which it was first read.
// It names content by digest, so it is good for every disk that is rendered of
// these layers.
type Trace struct {
	Layers []extent.Digest `json:"layers"` // digests of content
	Ranges []Range         `json:"ranges"`
}

// Range is a range of the content of a layer: the index of the layer, the offset
// and the length, in bytes.
type Range [3]int64

// ReadTrace reads a trace of at most 32 MiB. The error wraps ErrTrace where it is
// none.
func ReadTrace(r io.Reader) (*Trace, error) {
	encoded, err := io.ReadAll(io.LimitReader(r, MaxTrace+1))
	if err != nil {
		return nil, fmt.Errorf("read boot trace: %w", err)
	}
	if len(encoded) > MaxTrace {
		return nil, fmt.Errorf("%w: more than %d bytes", ErrTrace, MaxTrace)
	}
	t := new(Trace)
	if err := json.Unmarshal(encoded, t); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrTrace, err)
	}
	for i, g := range t.Ranges {
		if g[0] < 0 || g[0] >= int64(len(t.Layers)) || g[1] < 0 || g[2] <= 0 || g[1]+g[2] < 0 {
			return nil, fmt.Errorf("%w: range %d is %v, of %d layers", ErrTrace, i, g, len(t.Layers))
		}
	}
	return t, nil
}

// WriteTo writes the trace.
func (t *Trace) WriteTo(w io.Writer) (int64, error) {
	encoded, err := json.Marshal(t)
	if err != nil {
		return 0, err
	}
	n, err := w.Write(append(encoded, '\n'))
	return int64(n), err
}

// Replay has fetched what a trace lists, in its order. What it says of other
// layers is passed over.
func (d *Disk) Replay(t *Trace) {
	var wants []want
	for _, g := range t.Ranges {
		if l := d.layers[t.Layers[g[0]]]; l != nil {
			wants = l.missing(wants, extent.Extent{Kind: extent.Source, Offset: g[1], Length: g[2]})
		}
	}
	if len(wants) > 0 {
		d.cache.fetch.prefetch(priorityTrace, wants)
	}
}

// recorder notes which frames are read first.
type recorder struct {
	seen  map[*Layer]bitset
	trace Trace
}

// Record begins to record what is read.
func (d *Disk) Record() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.recorder = &recorder{seen: make(map[*Layer]bitset)}
}

// Recorded returns what was read since Record, or an empty trace.
func (d *Disk) Recorded() *Trace {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.recorder == nil {
		return new(Trace)
	}
	t := d.recorder.trace
	return &Trace{Layers: slices.Clone(t.Layers), Ranges: slices.Clone(t.Ranges)}
}

// record notes a read.
func (d *Disk) record(off, n int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.recorder == nil {
		return
	}
	for _, e := range d.Map().Range(off, n) {
		if l := d.layers[e.Digest]; l != nil && e.Kind == extent.Source {
			d.recorder.read(l, e)
		}
	}
}

// read notes the frames of an extent that were not noted yet.
func (r *recorder) read(l *Layer, e extent.Extent) {
	seen := r.seen[l]
	if seen == nil {
		seen = newBitset(l.index.Len())
		r.seen[l] = seen
	}
	first, end := l.index.Overlap(e.Offset, e.Length)
	for i := first; i < end; i++ {
		if seen.add(i) {
			f := l.index.At(i)
			r.trace.Add(e.Digest, f.ContentOffset, f.ContentSize)
		}
	}
}

// Add appends a range of the content of a layer, or lets the last range go on. d
// is the digest of the content.
func (t *Trace) Add(d extent.Digest, off, n int64) {
	layer := slices.Index(t.Layers, d)
	if layer < 0 {
		layer = len(t.Layers)
		t.Layers = append(t.Layers, d)
	}
	if last := len(t.Ranges) - 1; last >= 0 && t.Ranges[last][0] == int64(layer) && t.Ranges[last][1]+t.Ranges[last][2] == off {
		t.Ranges[last][2] += n
		return
	}
	t.Ranges = append(t.Ranges, Range{int64(layer), off, n})
}
