package extent

// NowReader is content some of which is at hand: in memory, not on a disk or
// behind a network.
type NowReader interface {
	// ReadNow fills p with the content at off, and reports whether it did. It did
	// not where that takes waiting, where the content ends before, and where it
	// cannot be read: then what p holds is undefined, and ReadAt tells more.
	ReadNow(p []byte, off int64) bool
}

// ReadNow fills p with the content at off, as [NowReader] asks. Content of blobs
// that are no NowReader, or not open yet, is not at hand.
func (r *Reader) ReadNow(p []byte, off int64) bool {
	if off < 0 || off > r.m.size || int64(len(p)) > r.m.size-off || r.ctx.Err() != nil {
		return false
	}
	for i := r.m.Find(off); len(p) > 0; i++ {
		within := off - r.m.starts[i]
		k := min(r.m.end(i)-off, int64(len(p)))
		if !r.readRunNow(p[:k], i, within) {
			return false
		}
		p, off = p[k:], off+k
	}
	return true
}

// readRunNow fills p with the bytes at off within extent i, if they are at hand.
func (r *Reader) readRunNow(p []byte, i int, off int64) bool {
	run := r.m.runs[i]
	if run.blob < firstBlob {
		return r.readRun(p, i, off) == nil
	}
	blob := r.blobs[run.blob-firstBlob].opened.Load()
	if blob == nil {
		return false
	}
	now, ok := (*blob).(NowReader)
	return ok && now.ReadNow(p, run.off+off)
}
