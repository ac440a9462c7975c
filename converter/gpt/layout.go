package gpt

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/extent"
)

// DefaultAlignment is what partitions and the disk are aligned to, in bytes.
const DefaultAlignment = 1 << 20

// ErrNoRoom is wrapped when the partitions do not fit the disk.
var ErrNoRoom = errors.New("the disk is too small")

// Layout describes a disk.
type Layout struct {
	// ID is the disk's GUID. Two disks of one machine must not share one.
	ID GUID
	// Size of the disk in bytes, a multiple of 512. 0 means the smallest
	// multiple of the alignment that holds the partitions and both tables.
	Size int64
	// Alignment of the start of each partition in bytes, a multiple of 512.
	// 0 means DefaultAlignment.
	Alignment int64
	// BootCode is what a BIOS starts: at most 440 bytes, placed in block 0.
	BootCode []byte
	// Partitions, 1 to 128 of them, in the order of the disk; the first is number 1.
	Partitions []Partition
}

// Partition describes a partition.
type Partition struct {
	Type GUID // what is in it
	ID   GUID // its own GUID, unlike all others
	// Name is what people and /dev/disk/by-partlabel call it: at most 36
	// UTF-16 code units.
	Name       string
	Attributes Attributes
	// Size in bytes, rounded up to the alignment. 0 means the size of Map.
	Size int64
	// Fill makes the last partition take what room is left on the disk, and at
	// least Size. No other partition may have it.
	Fill bool
	// Map is the content. What of the partition it does not reach is zeros;
	// nil is all zeros.
	Map *extent.Map
}

// Span is a range of the disk, in bytes.
type Span struct{ Offset, Length int64 }

// End returns the offset of the first byte after the span.
func (s Span) End() int64 { return s.Offset + s.Length }

// FirstBlock returns the logical block address (512 bytes a block) of the start.
func (s Span) FirstBlock() int64 { return s.Offset / blockSize }

// Place returns where each partition stands. It looks at sizes only, never at
// content, so it may be called before boot code that holds block addresses is
// made.
func (l Layout) Place() ([]Span, error) {
	spans, _, err := l.place()
	return spans, err
}

// DiskSize returns the size of the disk in bytes.
func (l Layout) DiskSize() (int64, error) {
	_, size, err := l.place()
	return size, err
}

func (l Layout) place() (spans []Span, size int64, err error) {
	if err := l.checkSizes(); err != nil {
		return nil, 0, err
	}
	alignment := l.alignment()
	end := int64(firstUsable * blockSize)
	for i, p := range l.Partitions {
		length, err := p.minSize()
		if err != nil {
			return nil, 0, fmt.Errorf("partition %d (%s): %w", i+1, p.Name, err)
		}
		if length > math.MaxInt64/2-end {
			return nil, 0, fmt.Errorf("partition %d (%s): its %d bytes end past %d: %w",
				i+1, p.Name, length, int64(math.MaxInt64/2), ErrNoRoom)
		}
		span := Span{Offset: container.AlignUp(end, alignment), Length: container.AlignUp(length, alignment)}
		spans = append(spans, span)
		end = span.End()
	}
	need := end + tableBlocks*blockSize
	if l.Size == 0 {
		return spans, container.AlignUp(need, alignment), nil
	}
	if l.Size < need {
		return nil, 0, fmt.Errorf("%w: the partitions and tables need %d bytes, the disk has %d; make it larger",
			ErrNoRoom, need, l.Size)
	}
	if last := len(spans) - 1; l.Partitions[last].Fill {
		usable := l.Size - tableBlocks*blockSize
		spans[last].Length = usable/alignment*alignment - spans[last].Offset
	}
	return spans, l.Size, nil
}

func (l Layout) alignment() int64 {
	if l.Alignment == 0 {
		return DefaultAlignment
	}
	return l.Alignment
}

// maxAlignment keeps sums of sizes and alignments far from overflow. In bytes.
const maxAlignment = 1 << 40

func (l Layout) checkSizes() error {
	if l.Size < 0 || l.Size%blockSize != 0 {
		return fmt.Errorf("disk size %d: want a multiple of %d", l.Size, blockSize)
	}
	if l.Alignment < 0 || l.Alignment%blockSize != 0 || l.Alignment > maxAlignment {
		return fmt.Errorf("alignment %d: want a multiple of %d, at most %d", l.Alignment, blockSize, int64(maxAlignment))
	}
	if len(l.Partitions) == 0 {
		return errors.New("no partitions: want at least one")
	}
	if len(l.Partitions) > entryCount {
		return fmt.Errorf("%d partitions: the table holds at most %d", len(l.Partitions), entryCount)
	}
	for i, p := range l.Partitions[:len(l.Partitions)-1] {
		if p.Fill {
			return fmt.Errorf("partition %d (%s): only the last partition can fill the disk", i+1, p.Name)
		}
	}
	return nil
}

// minSize returns how many bytes the partition needs at least.
func (p Partition) minSize() (int64, error) {
	var content int64
	if p.Map != nil {
		content = p.Map.Size()
	}
	switch {
	case p.Size < 0:
		return 0, fmt.Errorf("size %d: want a positive number", p.Size)
	case p.Size > 0 && content > p.Size:
		return 0, fmt.Errorf("its content of %d bytes is larger than its size of %d", content, p.Size)
	case p.Size == 0 && content == 0 && !p.Fill:
		return 0, errors.New("it has neither a size nor content")
	}
	return max(p.Size, content, blockSize), nil
}

// checkNames checks what Place need not know: identities and names.
func (l Layout) checkNames() error {
	if l.ID.IsZero() {
		return errors.New("the disk has no GUID")
	}
	if len(l.BootCode) > maxBootCode {
		return fmt.Errorf("boot code of %d bytes: block 0 has room for %d", len(l.BootCode), maxBootCode)
	}
	number := make(map[GUID]int, len(l.Partitions))
	for i, p := range l.Partitions {
		if err := p.checkNames(); err != nil {
			return fmt.Errorf("partition %d (%s): %w", i+1, p.Name, err)
		}
		if other, ok := number[p.ID]; ok {
			return fmt.Errorf("partition %d (%s): it has the GUID of partition %d, %s", i+1, p.Name, other, p.ID)
		}
		number[p.ID] = i + 1
	}
	return nil
}

func (p Partition) checkNames() error {
	if p.Type.IsZero() {
		return errors.New("it has no type GUID")
	}
	if p.ID.IsZero() {
		return errors.New("it has no GUID of its own")
	}
	if !utf8.ValidString(p.Name) || strings.ContainsRune(p.Name, 0) {
		return fmt.Errorf("name %q: want valid UTF-8 without NUL", p.Name)
	}
	if n := len(utf16.Encode([]rune(p.Name))); n > maxNameUnits {
		return fmt.Errorf("name %q has %d UTF-16 code units: want at most %d", p.Name, n, maxNameUnits)
	}
	return nil
}
