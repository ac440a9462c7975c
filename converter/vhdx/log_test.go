package vhdx

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/converter/formattest"
)

var testLogID = [16]byte{1, 2, 3}

// change is what an entry of a log changes: a sector, or without content so many
// bytes of zeros.
type change struct {
	off     int64
	content byte // of which a sector is full
	zeros   int64
}

// testEntry is an entry of a log.
type testEntry struct {
	sequence      uint64
	tail          int64
	changes       []change
	flushed, last uint64
}

// encode returns the entry as it stands in the log.
func (e testEntry) encode() []byte {
	le := binary.LittleEndian
	p := make([]byte, container.AlignUp(logHeaderSize+int64(len(e.changes))*descriptorSize, logSector))
	for i, c := range e.changes {
		d := p[logHeaderSize+i*descriptorSize:]
		copy(d, descriptorZero)
		le.PutUint64(d[descriptorLeading:], uint64(c.zeros))
		le.PutUint64(d[descriptorOffset:], uint64(c.off))
		le.PutUint64(d[descriptorSequence:], e.sequence)
		if c.zeros != 0 {
			continue
		}
		sector := bytes.Repeat([]byte{c.content}, logSector)
		copy(d, descriptorData)
		copy(d[descriptorTrailing:], sector[dataSequenceLow:])
		copy(d[descriptorLeading:], sector[:dataContent])
		copy(sector, dataSignature)
		le.PutUint32(sector[dataSequenceHigh:], uint32(e.sequence>>32))
		le.PutUint32(sector[dataSequenceLow:], uint32(e.sequence))
		p = append(p, sector...)
	}
	copy(p, logSignature)
	le.PutUint32(p[logLength:], uint32(len(p)))
	le.PutUint32(p[logTail:], uint32(e.tail))
	le.PutUint64(p[logSequence:], e.sequence)
	le.PutUint32(p[logDescriptors:], uint32(len(e.changes)))
	copy(p[logID:], testLogID[:])
	le.PutUint64(p[logFlushed:], e.flushed)
	le.PutUint64(p[logLast:], e.last)
	seal(p, logChecksum)
	return p
}

// apply makes the changes in a file.
func (e testEntry) apply(file []byte) {
	for _, c := range e.changes {
		if c.zeros != 0 {
			clear(file[c.off:][:c.zeros])
			continue
		}
		copy(file[c.off:], bytes.Repeat([]byte{c.content}, logSector))
	}
}

// logged returns the sample with entries in its log from a place on, one behind
// the other.
func logged(t convertertest.TB, at int, entries ...testEntry) []byte {
	file := sample(t)
	putLog(file, at, entries...)
	return file
}

// putLog puts entries in the log of a file.
func putLog(file []byte, at int, entries ...testEntry) {
	ring := file[logAt : logAt+mib]
	for _, e := range entries {
		p := e.encode()
		for i, b := range p {
			ring[(at+i)%len(ring)] = b
		}
		at += len(p)
	}
	for _, header := range []int{headerAt, headerCopyAt} {
		copy(file[header+headerLogID:], testLogID[:])
	}
	reseal(file)
}

// content opens a file and returns its disk.
func content(t convertertest.TB, file []byte) []byte {
	t.Helper()
	disk, err := Open(bytes.NewReader(file), int64(len(file)), formattest.Source)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return convertertest.Bytes(t, disk.Map, disk.Blobs(formattest.Source, convertertest.Blob(file)))
}

// replayed returns the disk that QEMU has once it replayed the log of a file.
func replayed(t *testing.T, file []byte) []byte {
	t.Helper()
	convertertest.Need(t, "qemu-img", "qemu-utils")
	path, raw := filepath.Join(t.TempDir(), "disk.vhdx"), filepath.Join(t.TempDir(), "disk.raw")
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	convertertest.Run(t, "qemu-img", "check", "-q", "-f", "vhdx", "-r", "all", path)
	convertertest.Run(t, "qemu-img", "convert", "-f", "vhdx", "-O", "raw", path, raw)
	p, err := os.ReadFile(raw)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestOpenReplaysLogs(t *testing.T) {
	many := make([]change, 130)
	for i := range many {
		many[i] = change{off: sampleFirst + int64(i)*logSector, content: byte(i)}
	}
	some := many[:100]
	const tooMany = "many descriptors" // for QEMU, which reads one sector of them
	for name, c := range map[string]struct {
		at      int // where the log begins
		stale   []testEntry
		entries []testEntry
	}{
		"a sector":       {0, nil, []testEntry{{sequence: 1, changes: []change{{off: sampleFirst, content: 'x'}}}}},
		"two, far apart": {0, nil, []testEntry{{sequence: 7, changes: []change{{off: sampleSecond + 4*logSector, content: 'x'}, {off: sampleFirst + logSector, content: 'y'}}}}},
		"zeros":          {0, nil, []testEntry{{sequence: 1, changes: []change{{off: sampleFirst, zeros: mib}}}}},
		"nothing":        {0, nil, []testEntry{{sequence: 1}}},
		tooMany:          {0, nil, []testEntry{{sequence: 1 << 40, changes: many}}},
		"over the end":   {mib - 3*logSector, nil, []testEntry{{sequence: 1, tail: mib - 3*logSector, changes: some}}},
		"over each other": {4 * logSector, nil, []testEntry{
			{sequence: 4, tail: 4 * logSector, changes: some},
			{sequence: 5, tail: 4 * logSector, changes: []change{{off: sampleFirst + 2*logSector, zeros: 5 * logSector}, {off: sampleFirst + 4*logSector, content: '4'}}},
			{sequence: 6, tail: 4 * logSector, changes: []change{{off: sampleFirst + 3*logSector, content: '3'}, {off: sampleFirst + 3*logSector, zeros: logSector}}},
		}},
		"the table": {0, nil, []testEntry{{sequence: 1, changes: []change{{off: tableAt, zeros: logSector}}}}},
		"an older run": {5 * logSector, []testEntry{{sequence: 1, changes: []change{{off: sampleFirst, content: 'o'}}}, {sequence: 2, changes: []change{{off: sampleFirst, content: 'o'}}}},
			[]testEntry{{sequence: 9, tail: 5 * logSector, changes: []change{{off: sampleSecond, content: 'n'}}}}},
	} {
		t.Run(name, func(t *testing.T) {
			file := logged(t, 0, c.stale...)
			putLog(file, c.at, c.entries...)
			got := content(t, file)
			want := sample(t)
			for _, e := range c.entries {
				e.apply(want)
			}
			if !bytes.Equal(got, content(t, want)) {
				t.Error("the disk is not that with the changes made")
			}
			if name != tooMany && !bytes.Equal(got, replayed(t, file)) {
				t.Error("the disk is not what QEMU makes of it")
			}
		})
	}
}

// Entries that are older than the tail are on the disk already, or were undone.
func TestOpenReplaysFromTheTail(t *testing.T) {
	first := testEntry{sequence: 1, changes: []change{{off: sampleFirst, content: 'o'}}}
	second := testEntry{sequence: 2, tail: 2 * logSector, changes: []change{{off: sampleSecond, content: 'n'}}}
	want := sample(t)
	second.apply(want)
	if !bytes.Equal(content(t, logged(t, 0, first, second)), content(t, want)) {
		t.Error("the disk is not that with the second entry's changes made")
	}
}

// A block may be where the file did not reach when it was left.
func TestOpenReplaysTheGrowthOfTheFile(t *testing.T) {
	short := sample(t)
	grown := append(bytes.Clone(short), make([]byte, mib)...)
	e := testEntry{sequence: 1, last: uint64(len(grown)), changes: []change{{off: int64(len(short)) + logSector, content: 'g'}}}
	e.apply(grown)
	file := logged(t, 0, e)
	for _, p := range [][]byte{file, grown} {
		binary.LittleEndian.PutUint64(p[tableAt+entrySize:], uint64(len(short))|stateFull)
	}
	if !bytes.Equal(content(t, file), content(t, grown)) {
		t.Error("the disk differs")
	}
}

// QEMU leaves its log when it cannot write the table.
func TestOpenReplaysWhatQEMULeft(t *testing.T) {
	convertertest.Need(t, "qemu-io", "qemu-utils")
	path := filepath.Join(t.TempDir(), "disk.vhdx")
	convertertest.Run(t, "qemu-img", "create", "-q", "-f", "vhdx", "-o", "block_size=1M", path, "64M")
	convertertest.Run(t, "qemu-io", "-f", "vhdx", "-c", "write -P 1 0 1M", "-c", "write -P 2 5M 2M", path)
	_, err := convertertest.Try("qemu-io", "-c", fmt.Sprintf("open -o driver=vhdx,file.driver=blkdebug,file.image.driver=file,file.image.filename=%s,"+
		"file.inject-error.0.event=none,file.inject-error.0.iotype=write,file.inject-error.0.sector=%d", path, 2*mib/sectorSize),
		"-c", "write -P 3 20M 64k", "-c", "abort")
	if err == nil {
		t.Fatal("QEMU could write the table")
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if guid(file[headerAt+headerLogID:headerAt+headerLogVersion]) == (guid{}) {
		t.Fatal("QEMU left no log")
	}
	got := content(t, file)
	if !bytes.Equal(got, replayed(t, file)) {
		t.Error("the disk is not what QEMU makes of it")
	}
	if got[20*mib] != 3 {
		t.Error("the last write is not there")
	}
}

func TestOpenRefusesUnsoundLogs(t *testing.T) {
	le := binary.LittleEndian
	sector := func(off int64) testEntry { return testEntry{sequence: 1, changes: []change{{off: off, content: 'x'}}} }
	good := sector(sampleFirst)
	whole := "has no entries that are whole"
	for name, c := range map[string]struct {
		entry  testEntry
		change func(file []byte)
		want   string
	}{
		"a wrong checksum":        {good, func(p []byte) { p[logAt+2*logSector-100]++ }, whole},
		"another id":              {good, func(p []byte) { p[headerAt+headerLogID]++; p[headerCopyAt+headerLogID]++ }, whole},
		"a long entry":            {good, func(p []byte) { le.PutUint32(p[logAt+logLength:], 1<<31) }, whole},
		"an entry of no sectors":  {good, func(p []byte) { le.PutUint32(p[logAt+logLength:], 100) }, whole},
		"many descriptors":        {good, func(p []byte) { le.PutUint32(p[logAt+logDescriptors:], 1<<32-1) }, whole},
		"no data":                 {good, func(p []byte) { le.PutUint32(p[logAt+logLength:], logSector) }, whole},
		"data of another entry":   {good, func(p []byte) { p[logAt+logSector+dataSequenceHigh]++ }, whole},
		"sequence 0":              {testEntry{}, nil, whole},
		"a tail elsewhere":        {testEntry{sequence: 1, tail: 8 * logSector}, nil, whole},
		"the headers":             {sector(headerAt), nil, "after the headers"},
		"the log":                 {sector(logAt + 8*logSector), nil, "changes the log itself"},
		"past the end":            {sector(1 << 40), nil, "changes the file of"},
		"far past the end":        {sector(-logSector), nil, "changes the file of"},
		"part of a sector":        {sector(sampleFirst + 512), nil, "whole sectors"},
		"zeros without end":       {testEntry{sequence: 1, changes: []change{{off: sampleFirst, zeros: -logSector}}}, nil, "changes the file of"},
		"zeros over everything":   {testEntry{sequence: 1, changes: []change{{off: sampleFirst, zeros: 1 << 62}}}, nil, "changes the file of"},
		"a file cut short":        {testEntry{sequence: 1, flushed: 1 << 30}, nil, "it was cut short"},
		"a file without end":      {testEntry{sequence: 1, last: 1 << 63}, nil, "is to have 9223372036854775808 bytes"},
		"a file that is too long": {testEntry{sequence: 1, last: 1 << 50}, nil, "is to have"},
		"no log": {good, func(p []byte) {
			le.PutUint32(p[headerAt+headerLogLength:], 0)
			le.PutUint32(p[headerCopyAt+headerLogLength:], 0)
		}, whole},
		"a log of gigabytes": {good, func(p []byte) {
			le.PutUint32(p[headerAt+headerLogLength:], 1<<31)
			le.PutUint32(p[headerCopyAt+headerLogLength:], 1<<31)
		}, "outside"},
		"another version": {good, func(p []byte) { p[headerAt+headerLogVersion]++; p[headerCopyAt+headerLogVersion]++ }, "a log of version 1"},
	} {
		t.Run(name, func(t *testing.T) {
			file := logged(t, 0, c.entry)
			if c.change != nil {
				c.change(file)
				reseal(file)
			}
			err := openErr(file)
			if !errors.Is(err, container.ErrFormat) && !errors.Is(err, container.ErrUnsupported) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

// A log has room for half a million changes, each of which cuts the disk in two.
func TestLogsAreBounded(t *testing.T) {
	file := sample(t)
	at := len(file)
	file = append(file, make([]byte, 2*maxLog)...)
	e := testEntry{sequence: 1, last: 8 << 40}
	for i := range int64(maxLog-logSector) / descriptorSize {
		e.changes = append(e.changes, change{off: int64(len(file)) + 2*i*logSector, zeros: logSector})
	}
	copy(file[at:], e.encode())
	for _, header := range []int{headerAt, headerCopyAt} {
		copy(file[header+headerLogID:], testLogID[:])
		binary.LittleEndian.PutUint64(file[header+headerLogOffset:], uint64(at))
		binary.LittleEndian.PutUint32(file[header+headerLogLength:], maxLog)
	}
	reseal(file)
	format(Options{}).CheckHostileMemory(t, file, nil)
}

// FuzzLog fuzzes two entries of a log, which stay sealed.
func FuzzLog(f *testing.F) {
	whole := logged(f, 0, testEntry{sequence: 1, changes: []change{{off: sampleFirst, content: 'x'}}},
		testEntry{sequence: 2, changes: []change{{off: sampleFirst, zeros: mib}}})
	f.Add(whole[logAt:][:200], whole[logAt+2*logSector:][:200])
	f.Fuzz(func(t *testing.T, first, second []byte) {
		file := bytes.Clone(whole)
		for at, p := range map[int][]byte{logAt: first, logAt + 2*logSector: second} {
			copy(file[at:][:200], p)
			if n := int(binary.LittleEndian.Uint32(file[at+logLength:])); n >= logSector && n <= mib/2 {
				seal(file[at:at+n], logChecksum)
			}
		}
		format(Options{}).OpenHostile(t, file)
	})
}
