package uki

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/extent"
)

// Options are what goes into a unified kernel image. Stub and Linux must be set;
// what is empty or nil becomes no section.
type Options struct {
	// Stub is systemd's linuxx64.efi.stub.
	Stub []byte
	// OSRelease is the content of os-release(5), Uname the version of the kernel.
	OSRelease, CommandLine, Uname string
	Linux, Initrd                 *extent.Map
	// LinuxMemory is how many bytes the kernel takes in memory: the Size of its
	// own EFI image. It unpacks itself where it stands.
	LinuxMemory int64
}

// part is a section to be added.
type part struct {
	name    string
	content *extent.Map
	memory  int64 // bytes when loaded
}

// Write returns the extent map of a unified kernel image. Only headers and texts
// are inline. Errors wrap [ErrFormat] and [ErrUnsupported].
func Write(o Options) (*extent.Map, error) {
	m, err := write(o)
	if err != nil {
		return nil, fmt.Errorf("write a unified kernel image: %w", err)
	}
	return m, nil
}

func write(o Options) (*extent.Map, error) {
	if o.Linux == nil {
		return nil, errors.New("no kernel")
	}
	stub, err := Open(bytes.NewReader(o.Stub), int64(len(o.Stub)))
	if err != nil {
		return nil, err
	}
	if err := stub.checkStub(); err != nil {
		return nil, err
	}
	parts, err := o.parts()
	if err != nil {
		return nil, err
	}
	w := &writer{stub: stub, file: bytes.Clone(o.Stub)}
	w.fileEnd, w.memoryEnd = int64(len(o.Stub)), stub.Size
	if err := w.dropSignature(); err != nil {
		return nil, err
	}
	return w.append(parts)
}

// checkStub says whether sections can be added to a file.
func (i *Image) checkStub() error {
	for _, unit := range []int64{i.fileUnit, i.memoryUnit} {
		if unit < 1 || unit > maxAlignment || unit&(unit-1) != 0 {
			return fmt.Errorf("%w: it is aligned to %d bytes, expected a power of two of at most %d", ErrFormat, unit, maxAlignment)
		}
	}
	if i.Unified() {
		return fmt.Errorf("%w: it holds a kernel already, expected a stub", ErrUnsupported)
	}
	for _, s := range i.Sections {
		if s.address+s.virtualSize > i.Size {
			return fmt.Errorf("%w: the section %q is loaded behind the end of the program", ErrFormat, s.Name)
		}
	}
	return nil
}

// parts returns the sections in the order of ukify: the kernel last.
func (o Options) parts() ([]part, error) {
	var parts []part
	for _, text := range []struct{ name, content string }{
		{SectionOSRelease, o.OSRelease}, {SectionCommandLine, o.CommandLine}, {SectionUname, o.Uname},
	} {
		if text.content == "" {
			continue
		}
		var b extent.Builder
		b.Inline([]byte(text.content))
		m, err := b.Build()
		if err != nil {
			return nil, err
		}
		parts = append(parts, part{text.name, m, m.Size()})
	}
	if o.Initrd != nil {
		parts = append(parts, part{SectionInitrd, o.Initrd, o.Initrd.Size()})
	}
	return append(parts, part{SectionLinux, o.Linux, max(o.Linux.Size(), o.LinuxMemory)}), nil
}

// writer extends a stub.
type writer struct {
	stub               *Image
	file               []byte // of the stub, changed in place
	fileEnd, memoryEnd int64
}

// dropSignature forgets the signature of the stub, which is not one of the image.
func (w *writer) dropSignature() error {
	at := w.stub.optional + directories + certificates*directorySize
	if at+directorySize > w.stub.table || binary.LittleEndian.Uint32(w.file[w.stub.optional+directoryCount:]) <= certificates {
		return nil
	}
	entry := w.file[at : at+directorySize]
	offset, size := int64(binary.LittleEndian.Uint32(entry)), int64(binary.LittleEndian.Uint32(entry[4:]))
	if size == 0 {
		return nil
	}
	if offset+size != int64(len(w.file)) || offset < int64(len(w.stub.headers)) {
		return fmt.Errorf("%w: its signature of %d bytes at %d does not end it", ErrUnsupported, size, offset)
	}
	clear(entry)
	w.fileEnd = offset
	return nil
}

// append adds sections behind the stub.
func (w *writer) append(parts []part) (*extent.Map, error) {
	table := len(w.stub.headers)
	w.stub.headersLimit = min(w.stub.headersLimit, w.fileEnd)
	for _, s := range w.stub.Sections {
		if s.Offset > 0 {
			w.stub.headersLimit = min(w.stub.headersLimit, s.Offset)
		}
	}
	if room := (w.stub.headersLimit - int64(table)) / sectionHeader; room < int64(len(parts)) {
		return nil, fmt.Errorf("%w: its headers have room for %d more sections, expected %d", ErrUnsupported, max(room, 0), len(parts))
	}
	page := max(w.stub.memoryUnit, pageSize)
	var body extent.Builder
	body.Zero(container.AlignUp(w.fileEnd, w.stub.fileUnit) - w.fileEnd)
	data := int64(0)
	for n, p := range parts {
		address, offset, stored := container.AlignUp(w.memoryEnd, page), w.fileEnd+body.Size(), container.AlignUp(p.content.Size(), w.stub.fileUnit)
		if address+p.memory > maxImage || offset+stored > math.MaxUint32 {
			return nil, fmt.Errorf("%w: with the section %s of %d bytes it has more than %d", ErrUnsupported, p.name, p.memory, maxImage)
		}
		header := w.file[table+n*sectionHeader:][:sectionHeader]
		clear(header)
		copy(header, p.name)
		for at, value := range map[int]int64{8: p.memory, 12: address, 16: stored, 20: offset, 36: readableData} {
			binary.LittleEndian.PutUint32(header[at:], uint32(value))
		}
		body.Map(p.content)
		body.Zero(stored - p.content.Size())
		w.memoryEnd = address + p.memory
		data += stored
	}
	w.finish(len(parts), data)
	tail, err := body.Build()
	if err != nil {
		return nil, err
	}
	var b extent.Builder
	b.Inline(w.file[:w.fileEnd])
	b.Map(tail)
	return b.Build()
}

// finish changes the headers for sections that hold so many bytes.
func (w *writer) finish(sections int, data int64) {
	coff, optional := w.file[w.stub.optional-coffSize:], w.file[w.stub.optional:]
	binary.LittleEndian.PutUint16(coff[sectionCount:], uint16(len(w.stub.Sections)+sections))
	before := int64(binary.LittleEndian.Uint32(optional[initializedData:]))
	binary.LittleEndian.PutUint32(optional[initializedData:], uint32(before+data))
	binary.LittleEndian.PutUint32(optional[imageSize:], uint32(container.AlignUp(w.memoryEnd, w.stub.memoryUnit)))
	binary.LittleEndian.PutUint32(optional[checkSum:], 0) // Firmware does not look at it.
}
