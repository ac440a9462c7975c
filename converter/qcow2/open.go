package qcow2

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/extent"
)

// Open returns the disk in a qcow2 file, version 2 or 3, as an extent map over
// the file's own bytes: r reads the file, size is its length in bytes, and
// source is the digest by which the map names it. Unallocated and zero clusters
// become zero extents. Of internal snapshots only the active state is read.
//
// Every offset is checked to lie within the file, and nothing may overlap the
// tables; a cluster used twice must be marked as shared. External data files,
// encryption and backing files, for which there is [OpenOver], are refused with
// container.ErrUnsupported, all else that is wrong with container.ErrFormat.
//
// Memory is bounded by what the file really holds: at most 40 MiB for its L1 and
// refcount tables, and some 100 bytes for each run of clusters, of which more than
// [container.MaxPieces] are refused.
func Open(r io.ReaderAt, size int64, source extent.Digest) (*container.Disk, error) {
	return OpenOver(r, size, source, nil)
}

// OpenOver is [Open] for files with a backing file too. What such a file leaves to
// it becomes extents of the disk that find returns for its name; beyond the end of
// that, zero.
func OpenOver(r io.ReaderAt, size int64, source extent.Digest, find container.FindParent) (*container.Disk, error) {
	disk, err := open(&reader{file: container.File{Reader: r, Size: size}, find: find}, source)
	if err != nil {
		return nil, fmt.Errorf("open qcow2 file of %d bytes: %w", size, err)
	}
	return disk, nil
}

func open(r *reader, source extent.Digest) (*container.Disk, error) {
	if err := r.readHeader(); err != nil {
		return nil, err
	}
	if err := r.readRefcountTable(); err != nil {
		return nil, err
	}
	tables, err := r.readL1()
	if err != nil {
		return nil, err
	}
	// Checked before the tables are read, so that no table is read twice.
	if err := r.used.Check(); err != nil {
		return nil, err
	}
	runs, err := r.readL2(tables)
	if err != nil {
		return nil, err
	}
	if err := r.hostRanges(runs).Check(); err != nil {
		return nil, err
	}
	return r.disk(runs, source)
}

// reader reads a qcow2 file.
type reader struct {
	file container.File
	find container.FindParent

	fileHeader
	parent *container.Parent // nil where the file stands alone
	used   container.Ranges  // where the tables stand
	held   int64             // bytes that the tables take
}

// fileHeader is what the header says.
type fileHeader struct {
	version       uint32
	extended      bool // L2 entries have bitmaps
	compression   Compression
	clusterBits   uint32
	clusterSize   int64
	virtualSize   int64 // bytes
	l1Entries     int64
	l1Offset      uint64
	refcountTable container.Range
}

// aligned checks that a table or cluster starts where one can.
func (r *reader) aligned(what string, off uint64) error {
	if off%uint64(r.clusterSize) != 0 || off == 0 {
		return fmt.Errorf("%w: the %s at %d is not at a multiple of the cluster size, %d", container.ErrFormat, what, off, r.clusterSize)
	}
	return nil
}

// use notes that a table takes length bytes at off, which must lie in the file.
func (r *reader) use(what string, off uint64, length int64) error {
	if err := r.aligned(what, off); err != nil {
		return err
	}
	if err := r.file.Contains(what, off, length); err != nil {
		return err
	}
	// Tables that take more than all of the file overlap somewhere. That is found
	// out before more of them are kept.
	if r.held += length; r.held > r.file.Size {
		return fmt.Errorf("%w: up to the %s at %d, its tables take more than the file of %d bytes has", container.ErrFormat, what, off, r.file.Size)
	}
	r.used.Add(what, int64(off), length)
	return nil
}

// readRefcountTable notes where the refcounts stand. Their values do not matter
// to a reader.
func (r *reader) readRefcountTable() error {
	t := r.refcountTable
	r.used.Add("header", 0, r.clusterSize)
	if t.End == t.Start {
		return nil
	}
	if err := r.use("refcount table", uint64(t.Start), t.End-t.Start); err != nil {
		return err
	}
	table, err := r.file.Bytes("refcount table", uint64(t.Start), t.End-t.Start)
	if err != nil {
		return err
	}
	for ; len(table) > 0; table = table[entrySize:] {
		// Bits 0-8 are reserved.
		if off := binary.BigEndian.Uint64(table); off != 0 {
			if err := r.use("refcount block", off, r.clusterSize); err != nil {
				return err
			}
		}
	}
	return nil
}

// table is an L2 table: where it is, and which entry of the L1 table names it.
type table struct {
	index  int64
	offset uint64
}

// readL1 returns the L2 tables that map the disk. Entries beyond its size belong
// to the state of a machine saved in a snapshot.
func (r *reader) readL1() ([]table, error) {
	need := container.DivideUp(r.virtualSize, r.clusterSize*r.clusterSize/r.l2EntrySize())
	if r.l1Entries < need {
		return nil, fmt.Errorf("%w: the L1 table has %d entries, the disk of %d bytes needs %d",
			container.ErrFormat, r.l1Entries, r.virtualSize, need)
	}
	if r.l1Entries == 0 {
		return nil, nil
	}
	if err := r.use("L1 table", r.l1Offset, r.l1Entries*entrySize); err != nil {
		return nil, err
	}
	l1, err := r.file.Bytes("L1 table", r.l1Offset, need*entrySize)
	if err != nil {
		return nil, err
	}
	var tables []table
	for i := range need {
		entry := binary.BigEndian.Uint64(l1[i*entrySize:])
		if entry&^(offsetMask|flagCopied) != 0 {
			return nil, fmt.Errorf("%w: L1 entry %d is %#016x, which has reserved bits set", container.ErrFormat, i, entry)
		}
		if entry&offsetMask == 0 {
			continue
		}
		if err := r.use("L2 table", entry&offsetMask, r.clusterSize); err != nil {
			return nil, fmt.Errorf("L1 entry %d: %w", i, err)
		}
		tables = append(tables, table{index: i, offset: entry & offsetMask})
	}
	return tables, nil
}

// guestRun is a run of clusters that follow each other on the disk and in the
// file.
type guestRun struct {
	guest int64 // offset on the disk
	host  int64 // offset in the file
	bytes int64
	// packed is how many bytes of the file one compressed cluster takes; 0 where
	// clusters are not compressed.
	packed int32
	// copied means that the file says nothing else uses the clusters.
	copied bool
	// zero means that the clusters read as zeros, whatever the file has for them;
	// where that is nothing, host is 0.
	zero bool
}

// hostBytes returns how many bytes of the file the run takes.
func (g guestRun) hostBytes() int64 {
	switch {
	case g.packed > 0:
		return int64(g.packed)
	case g.host == 0:
		return 0
	}
	return g.bytes
}

// readL2 returns the clusters that the file has of the disk, in its order.
func (r *reader) readL2(tables []table) ([]guestRun, error) {
	var runs []guestRun
	size := r.l2EntrySize()
	perTable := r.clusterSize / size
	for _, t := range tables {
		l2, err := r.file.Bytes("L2 table", t.offset, r.clusterSize)
		if err != nil {
			return nil, err
		}
		for i := range perTable {
			guest := (t.index*perTable + i) * r.clusterSize
			if guest >= r.virtualSize {
				break
			}
			if runs, err = r.appendCluster(runs, guest, l2[i*size:][:size]); err != nil {
				return nil, fmt.Errorf("cluster at %d of the disk: %w", guest, err)
			}
			if err := container.CheckPieces(len(runs)); err != nil {
				return nil, err
			}
		}
	}
	return runs, nil
}

// appendCluster appends what the file has of the cluster at guest, as its L2
// entry says.
func (r *reader) appendCluster(runs []guestRun, guest int64, entry []byte) ([]guestRun, error) {
	descriptor := binary.BigEndian.Uint64(entry)
	if r.extended {
		return r.appendSubclusters(runs, guest, descriptor, binary.BigEndian.Uint64(entry[entrySize:]))
	}
	run, ok, err := r.cluster(descriptor)
	if err != nil || !ok {
		return runs, err
	}
	run.guest = guest
	return appendRun(runs, run), nil
}

// cluster decodes an L2 entry. ok says whether the file has the cluster: as zeros,
// or anywhere.
func (r *reader) cluster(entry uint64) (run guestRun, ok bool, err error) {
	if entry&flagCompressed != 0 {
		run, err = r.packedCluster(entry)
		return run, true, err
	}
	known := uint64(offsetMask | flagCopied)
	if r.version >= version3 {
		known |= flagZero
	}
	if entry&^known != 0 {
		return run, false, fmt.Errorf("%w: L2 entry %#016x has reserved bits set", container.ErrFormat, entry)
	}
	off := entry & offsetMask
	if off == 0 {
		return guestRun{bytes: r.clusterSize, zero: true}, r.parent != nil && entry&flagZero != 0, nil
	}
	if err := r.aligned("data cluster", off); err != nil {
		return run, false, err
	}
	// QEMU writes the last cluster of a file no further than it must.
	if err := r.file.Contains("start of the data cluster", off, 1); err != nil {
		return run, false, err
	}
	return guestRun{
		host:   int64(off),
		bytes:  r.clusterSize,
		copied: entry&flagCopied != 0,
		zero:   entry&flagZero != 0,
	}, true, nil
}

// appendRun appends a run, joining it to the one it continues.
func appendRun(runs []guestRun, run guestRun) []guestRun {
	if last := len(runs) - 1; last >= 0 {
		l := &runs[last]
		if l.guest+l.bytes == run.guest && l.continuedAt(run.host) && l.copied == run.copied && l.zero == run.zero && l.packed+run.packed == 0 {
			l.bytes += run.bytes
			return runs
		}
	}
	return append(runs, run)
}

// continuedAt reports whether the next clusters go on in the file, or stand
// nowhere in it as these do.
func (g guestRun) continuedAt(host int64) bool {
	if g.host == 0 {
		return host == 0
	}
	return g.host+g.bytes == host
}

// hostRanges returns where in the file the tables and the clusters of the disk
// stand.
func (r *reader) hostRanges(runs []guestRun) container.Ranges {
	ranges := append(make(container.Ranges, 0, len(r.used)+len(runs)), r.used...)
	for _, run := range runs {
		if n := run.hostBytes(); n > 0 {
			ranges = append(ranges, container.Range{What: "data cluster", Start: run.host, End: run.host + n, Shared: !run.copied})
		}
	}
	return ranges
}

// packedCluster decodes the descriptor of a compressed cluster. Several may
// share a cluster of the file, and even a sector.
func (r *reader) packedCluster(entry uint64) (guestRun, error) {
	bits := offsetBits(int(r.clusterBits))
	if entry&flagCopied != 0 {
		return guestRun{}, fmt.Errorf("%w: compressed L2 entry %#016x has reserved bits set", container.ErrFormat, entry)
	}
	off := entry & (1<<bits - 1)
	sectors := int64(entry&(flagCompressed-1)>>bits) + 1
	if off == 0 {
		return guestRun{}, fmt.Errorf("%w: a compressed cluster at 0, where the header is", container.ErrFormat)
	}
	if err := r.file.Contains("start of the compressed cluster", off, 1); err != nil {
		return guestRun{}, err
	}
	// The last one may end before its last sector does.
	held := min(sectors*sectorSize-int64(off%sectorSize), r.file.Size-int64(off))
	return guestRun{host: int64(off), bytes: r.clusterSize, packed: int32(held)}, nil
}

// disk returns the disk.
func (r *reader) disk(runs []guestRun, source extent.Digest) (*container.Disk, error) {
	decode, err := r.compression.decompress()
	if err != nil {
		return nil, err
	}
	units := container.NewUnits(r.file.Reader, r.clusterSize, decode)
	var b extent.Builder
	b.Grow(2*len(runs)+1, 0) // each with what is left out before it
	for _, run := range runs {
		r.leaveTo(&b, run.guest)
		length := min(run.bytes, r.virtualSize-run.guest)
		switch {
		case run.zero:
		case run.packed > 0:
			at := units.Add(run.host, int(run.packed), int(r.clusterSize))
			b.Source(container.Unpacked(source), at, length)
			continue
		default:
			held := max(0, min(length, r.file.Size-run.host))
			b.Source(source, run.host, held)
			length -= held
		}
		b.Zero(length)
	}
	r.leaveTo(&b, r.virtualSize)
	m, err := b.Build()
	if units.Len() == 0 {
		units = nil
	}
	return &container.Disk{Map: m, Units: units}, err
}

// leaveTo appends what the file does not have, up to off.
func (r *reader) leaveTo(b *extent.Builder, off int64) {
	if r.parent == nil {
		b.ZeroTo(off)
		return
	}
	r.parent.AppendTo(b, b.Size(), off-b.Size())
}

// maxVirtualSize keeps sums of a disk's size and a cluster within an int64.
const maxVirtualSize = math.MaxInt64 - 1<<maxClusterBits
