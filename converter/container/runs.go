package container

import "github.com/cloudlets/cloudlets/extent"

// Run is a run of neighbouring grains of a disk.
type Run struct{ First, Count int64 }

// End returns the number of the grain after the run.
func (r Run) End() int64 { return r.First + r.Count }

// Runs returns, in order, the runs of grains in which a disk has anything but
// zero extents. grain is their size in bytes; the disk's last one may be cut
// short. No two runs touch.
func Runs(disk *extent.Map, grain int64) []Run {
	var runs []Run
	for off := int64(0); ; {
		start, end, ok := disk.NextData(off)
		if !ok {
			return runs
		}
		off = end
		run := Run{First: start / grain}
		run.Count = (end-1)/grain + 1 - run.First
		runs = appendRun(runs, run)
	}
}

// appendRun appends a run that starts no earlier than the last one.
func appendRun(runs []Run, run Run) []Run {
	if n := len(runs); n > 0 && run.First <= runs[n-1].End() {
		last := &runs[n-1]
		last.Count = max(last.End(), run.End()) - last.First
		return runs
	}
	return append(runs, run)
}

// AppendGrain appends a grain to runs, none of which has a later one.
func AppendGrain(runs []Run, number int64) []Run {
	return appendRun(runs, Run{First: number, Count: 1})
}

// SplitZero splits runs of grains into those with anything but zero extents, and
// the rest.
func SplitZero(disk *extent.Map, runs []Run, grain int64) (data, zero []Run) {
	for _, run := range runs {
		for next := run.First; next < run.End(); {
			start, end, ok := disk.NextData(next * grain)
			if !ok || start >= run.End()*grain {
				zero = append(zero, Run{First: next, Count: run.End() - next})
				break
			}
			first := start / grain
			if first > next {
				zero = append(zero, Run{First: next, Count: first - next})
			}
			next = min((end-1)/grain+1, run.End())
			data = appendRun(data, Run{First: first, Count: next - first})
		}
	}
	return data, zero
}

// Grains counts the grains of runs.
func Grains(runs []Run) int64 {
	n := int64(0)
	for _, r := range runs {
		n += r.Count
	}
	return n
}

// AppendGrains appends the content of runs of grains to b. What a grain has
// beyond the end of the disk is zero.
func AppendGrains(b *extent.Builder, disk *extent.Map, runs []Run, grain int64) {
	b.Grow(disk.Len(), int(disk.InlineSize()))
	for _, r := range runs {
		AppendPadded(b, disk, r.First*grain, r.Count*grain)
	}
}

// AppendPadded appends n bytes at off of a disk to b. What lies beyond its end
// is zero.
func AppendPadded(b *extent.Builder, disk *extent.Map, off, n int64) {
	held := min(n, max(0, disk.Size()-off))
	b.Slice(disk, min(off, disk.Size()), held)
	b.Zero(n - held)
}
