package vhdx

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/extent"
)

// The log (2.3) is a ring of sectors of 4 KiB. An entry has a header of 64 bytes,
// descriptors of 32 and, from the next sector on, a sector for each descriptor of
// data.
const (
	logSector = 4 << 10
	maxLog    = 16 * mib // others are refused; Hyper-V and QEMU make logs of 1 MiB

	logSignature   = "loge"
	logChecksum    = 4  // u32
	logLength      = 8  // u32, bytes of the entry
	logTail        = 12 // u32, where in the log the first entry stands that is needed
	logSequence    = 16 // u64
	logDescriptors = 24 // u32
	logID          = 32 // GUID
	logFlushed     = 48 // u64, bytes that the file had when the entry was written
	logLast        = 56 // u64, bytes that the file must have after it
	logHeaderSize  = 64

	descriptorZero     = "zero"
	descriptorData     = "desc"
	descriptorTrailing = 4  // of data: the last 4 bytes of the sector
	descriptorLeading  = 8  // of data: its first 8 bytes; of zeros: u64, bytes
	descriptorOffset   = 16 // u64, in the file
	descriptorSequence = 24 // u64, that of the entry
	descriptorSize     = 32

	dataSignature    = "data"
	dataSequenceHigh = 4 // u32
	dataContent      = 8 // what is left of the sector
	dataSequenceLow  = logSector - 4
)

// logRing is the log of a file.
type logRing struct {
	id      []byte // of entries that count
	at      int64  // in the file
	content []byte
}

// logEntry is a sound entry of a log.
type logEntry struct {
	at       int64 // in the log
	length   int64
	sequence uint64
	tail     int64
	flushed  uint64
	last     uint64
	patches  []patch
}

// patch is what an entry changes in the file: a sector, whose content stands in
// the log, or a run of zeros.
type patch struct {
	off, end           int64 // in the file
	zero               bool
	descriptor, sector int64 // in the file
}

// replay has the reader read the file as it is once the changes in its log are
// made. h is the header. Without changes, the file is read as it is.
func (r *reader) replay(h []byte) error {
	le := binary.LittleEndian
	id := h[headerLogID:headerLogVersion]
	if guid(id) == (guid{}) {
		return nil
	}
	if v := le.Uint16(h[headerLogVersion:]); v != 0 {
		return fmt.Errorf("%w: a log of version %d; want 0", container.ErrUnsupported, v)
	}
	length := int64(le.Uint32(h[headerLogLength:]))
	if length > maxLog {
		return fmt.Errorf("%w: a log of %d bytes to replay; want at most %d", container.ErrUnsupported, length, maxLog)
	}
	l := &logRing{id: id, at: int64(le.Uint64(h[headerLogOffset:]))}
	var err error
	if l.content, err = r.file.Bytes("log", uint64(l.at), length); err != nil {
		return err
	}
	entries := l.active()
	if len(entries) == 0 {
		return fmt.Errorf("%w: the file was not closed, and its log of %d bytes has no entries that are whole; let its owner look at it: "+
			"qemu-img check -r all FILE, or Mount-VHD and Dismount-VHD", container.ErrFormat, length)
	}
	m, err := l.apply(entries, r.file, r.disk.Source)
	if err != nil {
		return fmt.Errorf("replay the log: %w", err)
	}
	r.disk.File = m
	r.file = container.File{Reader: &patched{file: r.file.Reader, m: m}, Size: m.Size()}
	return nil
}

// active returns the entries to replay (2.3.3): of the runs of entries that follow
// each other and hold all that their last one needs, the newest.
func (l *logRing) active() (newest []logEntry) {
	for at := int64(0); at < int64(len(l.content)); {
		run, end := l.run(at)
		if needed := needed(run); needed != nil && (newest == nil || last(needed).sequence > last(newest).sequence) {
			newest = needed
		}
		at = max(end, at+logSector)
	}
	return newest
}

// run returns the entries from at on that follow each other, and where in a log
// without end the next one would stand.
func (l *logRing) run(at int64) (run []logEntry, end int64) {
	size := int64(len(l.content))
	for end = at; end-at < size; {
		e, ok := l.entry(end % size)
		if !ok || end-at+e.length > size || len(run) > 0 && e.sequence != last(run).sequence+1 {
			break
		}
		run = append(run, e)
		end += e.length
	}
	return run, end
}

func last(run []logEntry) *logEntry { return &run[len(run)-1] }

// needed returns the entries of a run from the one on that its last one names;
// nil if that is not among them.
func needed(run []logEntry) []logEntry {
	for i, e := range run {
		if e.at == last(run).tail {
			return run[i:]
		}
	}
	return nil
}

// bytes returns n bytes at a place of the log, which goes on at its beginning.
func (l *logRing) bytes(at, n int64) []byte {
	at %= int64(len(l.content))
	if at+n <= int64(len(l.content)) {
		return l.content[at : at+n]
	}
	return append(append(make([]byte, 0, n), l.content[at:]...), l.content[:at+n-int64(len(l.content))]...)
}

// entry returns the entry at a place of the log, if one stands there that is
// sound. That is seen in all its sectors before its checksum is computed: no two
// entries could have them in common, so that this takes no more time than the log
// is long.
func (l *logRing) entry(at int64) (e logEntry, ok bool) {
	le := binary.LittleEndian
	h := l.bytes(at, logHeaderSize)
	e = logEntry{
		at: at, length: int64(le.Uint32(h[logLength:])), sequence: le.Uint64(h[logSequence:]), tail: int64(le.Uint32(h[logTail:])),
		flushed: le.Uint64(h[logFlushed:]), last: le.Uint64(h[logLast:]),
	}
	if string(h[:len(logSignature)]) != logSignature || string(h[logID:logFlushed]) != string(l.id) ||
		e.length%logSector != 0 || e.length > int64(len(l.content)) || e.sequence == 0 {
		return e, false
	}
	count := int64(le.Uint32(h[logDescriptors:]))
	data := container.AlignUp(logHeaderSize+count*descriptorSize, logSector)
	if data > e.length {
		return e, false
	}
	for i := range count {
		if data, ok = l.describe(&e, logHeaderSize+i*descriptorSize, data); !ok {
			return e, false
		}
	}
	return e, data == e.length && checksum(l.bytes(at, e.length), logChecksum) == le.Uint32(h[logChecksum:])
}

// describe takes a descriptor of an entry, whose next sector of data stands at
// data of it, and returns where the one after does.
func (l *logRing) describe(e *logEntry, at, data int64) (next int64, ok bool) {
	le := binary.LittleEndian
	d := l.bytes(e.at+at, descriptorSize)
	p := patch{off: int64(le.Uint64(d[descriptorOffset:])), descriptor: l.place(e.at + at)}
	if le.Uint64(d[descriptorSequence:]) != e.sequence {
		return 0, false
	}
	switch string(d[:len(descriptorZero)]) {
	case descriptorZero:
		p.zero = true
		p.end = p.off + int64(le.Uint64(d[descriptorLeading:]))
	case descriptorData:
		if data == e.length {
			return 0, false
		}
		s := l.bytes(e.at+data, logSector)
		if string(s[:len(dataSignature)]) != dataSignature ||
			uint64(le.Uint32(s[dataSequenceHigh:]))<<32|uint64(le.Uint32(s[dataSequenceLow:])) != e.sequence {
			return 0, false
		}
		p.sector, p.end = l.place(e.at+data), p.off+logSector
		data += logSector
	default:
		return 0, false
	}
	e.patches = append(e.patches, p)
	return data, true
}

// place returns where in the file a place of the log is.
func (l *logRing) place(at int64) int64 { return l.at + at%int64(len(l.content)) }

// apply returns the file with the changes of entries made.
func (l *logRing) apply(entries []logEntry, file container.File, source extent.Digest) (*extent.Map, error) {
	newest := last(entries)
	if newest.flushed > uint64(file.Size) {
		return nil, fmt.Errorf("%w: the file had %d bytes and ends at %d; it was cut short", container.ErrFormat, newest.flushed, file.Size)
	}
	if newest.last > maxSize*2 {
		return nil, fmt.Errorf("%w: the file is to have %d bytes", container.ErrFormat, newest.last)
	}
	size := max(file.Size, int64(newest.last))
	var patches []patch
	for _, e := range entries {
		for _, p := range e.patches {
			if err := l.check(p, size); err != nil {
				return nil, fmt.Errorf("entry %d: %w", e.sequence, err)
			}
			patches = append(patches, p)
		}
	}
	var base, b extent.Builder
	base.Source(source, 0, file.Size)
	base.ZeroTo(size)
	whole, err := base.Build()
	if err != nil {
		return nil, err
	}
	for _, p := range flatten(patches) {
		b.Slice(whole, b.Size(), p.off-b.Size())
		p.appendTo(&b, source)
	}
	b.Slice(whole, b.Size(), size-b.Size())
	return b.Build()
}

// check returns an error unless a file of so many bytes has the place that a patch
// changes, and it is neither its headers nor its log.
func (l *logRing) check(p patch, size int64) error {
	if p.off%logSector != 0 || p.end%logSector != 0 || p.off < headerSection || p.end < p.off || p.end > size {
		return fmt.Errorf("%w: it changes the file of %d bytes from %d to %d; want whole sectors of 4 KiB after the headers", container.ErrFormat, size, p.off, p.end)
	}
	if p.off < l.at+int64(len(l.content)) && l.at < p.end {
		return fmt.Errorf("%w: it changes the log itself, from %d to %d", container.ErrFormat, p.off, p.end)
	}
	return nil
}

// appendTo appends what the patch puts in its place: parts of the log.
func (p patch) appendTo(b *extent.Builder, source extent.Digest) {
	if p.zero {
		b.Zero(p.end - p.off)
		return
	}
	b.Source(source, p.descriptor+descriptorLeading, dataContent)
	b.Source(source, p.sector+dataContent, dataSequenceLow-dataContent)
	b.Source(source, p.descriptor+descriptorTrailing, logSector-dataSequenceLow)
}

// flatten returns patches, which are made one after the other, in the order of the
// file, without what later ones change anew.
func flatten(patches []patch) []patch {
	if len(patches) < 2 {
		return patches
	}
	half := len(patches) / 2
	return over(flatten(patches[:half]), flatten(patches[half:]))
}

// over returns two lists of patches as one, each in the order of the file. Where
// both change a place, upper does. A sector is in the way of no part of another.
func over(lower, upper []patch) []patch {
	all := make([]patch, 0, len(lower)+len(upper))
	for _, u := range upper {
		for len(lower) > 0 && lower[0].off < u.off {
			p := lower[0]
			p.end = min(p.end, u.off)
			all = append(all, p)
			if lower[0].off = p.end; lower[0].end == p.end {
				lower = lower[1:]
			}
		}
		for len(lower) > 0 && lower[0].end <= u.end {
			lower = lower[1:]
		}
		if len(lower) > 0 {
			lower[0].off = max(lower[0].off, u.end)
		}
		all = append(all, u)
	}
	return append(all, lower...)
}

// patched reads a file as a map of it says.
type patched struct {
	file io.ReaderAt
	m    *extent.Map
}

// ReadAt is what [io.ReaderAt] asks for.
func (r *patched) ReadAt(p []byte, off int64) (n int, err error) {
	for start, e := range r.m.Range(off, int64(len(p))) {
		part := p[start-off:][:e.Length]
		if e.Kind == extent.Zero {
			clear(part)
		} else if err := container.ReadFull(r.file, part, e.Offset); err != nil {
			return n, err
		}
		n += len(part)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}
