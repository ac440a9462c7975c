package access

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"
)

const (
	checkEvery = time.Second // how often files are looked at
	maxFile    = 16 << 20    // bytes
)

// files is what was read from files, and is read again when they change. Where
// that fails, what was read before stays.
type files[T any] struct {
	paths []string
	parse func(contents [][]byte) (T, error)
	log   *slog.Logger

	mu      sync.Mutex
	value   T
	stamps  []stamp
	checked time.Time
}

// stamp is what of a file changes with its content.
type stamp struct {
	modified time.Time
	size     int64
	info     os.FileInfo
}

func (s stamp) same(t stamp) bool {
	return s.modified.Equal(t.modified) && s.size == t.size && os.SameFile(s.info, t.info)
}

// openFiles reads files for the first time.
func openFiles[T any](log *slog.Logger, parse func([][]byte) (T, error), paths ...string) (*files[T], error) {
	f := &files[T]{paths: paths, parse: parse, log: log}
	stamps, err := f.stat()
	if err != nil {
		return nil, err
	}
	if f.value, err = f.read(); err != nil {
		return nil, err
	}
	f.stamps, f.checked = stamps, time.Now()
	return f, nil
}

// get returns what the files hold, looking at them once a second at most.
func (f *files[T]) get() T {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := time.Now(); now.Sub(f.checked) >= checkEvery {
		f.checked = now
		f.check()
	}
	return f.value
}

// check reads the files if they changed. What is wrong with them is logged once.
func (f *files[T]) check() {
	before := f.stamps
	stamps, err := f.stat() // none where a file is gone
	if slices.EqualFunc(stamps, before, stamp.same) {
		return
	}
	f.stamps = stamps
	if err == nil {
		var value T
		if value, err = f.read(); err == nil {
			f.value = value
			f.log.Info("read again", "files", f.paths)
			return
		}
	}
	f.log.Error("files cannot be read again: going on with what they held", "files", f.paths, "error", err)
}

func (f *files[T]) stat() ([]stamp, error) {
	stamps := make([]stamp, len(f.paths))
	for i, path := range f.paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		stamps[i] = stamp{info.ModTime(), info.Size(), info}
	}
	return stamps, nil
}

func (f *files[T]) read() (T, error) {
	var none T
	contents := make([][]byte, len(f.paths))
	for i, path := range f.paths {
		content, err := readFile(path)
		if err != nil {
			return none, err
		}
		contents[i] = content
	}
	value, err := f.parse(contents)
	if err != nil {
		return none, fmt.Errorf("read %s: %w", f.paths, err)
	}
	return value, nil
}

func readFile(path string) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(content) > maxFile {
		return nil, fmt.Errorf("read %s: the file has more than %d bytes", path, maxFile)
	}
	return content, nil
}
