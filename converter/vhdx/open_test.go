package vhdx

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/converter/formattest"
	"github.com/cloudlets/cloudlets/extent"
)

// Where a sample has its parts: three blocks, of which the first and last are
// held.
const (
	sampleParameters = metadataAt + metadataTableSize
	sampleSize       = sampleParameters + fileParametersSize
	sampleSector     = sampleSize + 8 + 16
	sampleFirst      = tableAt + mib
	sampleSecond     = sampleFirst + mib
)

func sample(t convertertest.TB) []byte {
	disk := convertertest.Build(t, func(b *extent.Builder) {
		b.Inline(bytes.Repeat([]byte("a"), 4*sectorSize))
		b.ZeroTo(2 * mib)
		b.Inline(bytes.Repeat([]byte("b"), 4*sectorSize))
	})
	return convertertest.Bytes(t, write(t, disk, Options{}), nil)
}

func openErr(file []byte) error {
	_, err := Open(bytes.NewReader(file), int64(len(file)), formattest.Source)
	return err
}

func TestOpenRefusesUnsoundFiles(t *testing.T) {
	patch := formattest.Patch{Order: binary.LittleEndian}
	put16, put32, put64 := patch.Uint16, patch.Uint32, patch.Uint64
	// The second header counts. Of region tables, both are changed.
	const head, regions, items = headerCopyAt, regionAt + regionEntries, metadataAt + metadataEntries
	tests := []struct {
		name   string
		change func([]byte)
		want   error // nil: it must open
	}{
		{"nothing", func([]byte) {}, nil},
		{"identifier", put32(0, 0), container.ErrFormat},
		{"one header", put32(headerAt, 0), nil},
		{"the other header", put32(headerCopyAt, 0), nil},
		{"no header", func(p []byte) { put32(headerAt, 0)(p); put32(headerCopyAt, 0)(p) }, container.ErrFormat},
		{"two headers of one number", put64(head+headerSequence, 1), nil},
		{"two headers of one number that differ", func(p []byte) { put64(head+headerSequence, 1)(p); put32(head+headerFileWrite, 1)(p) }, container.ErrFormat},
		{"version 0", put16(head+headerVersion, 0), container.ErrUnsupported},
		{"version 2", put16(head+headerVersion, 2), container.ErrUnsupported},
		{"version 2 in the older header", put16(headerAt+headerVersion, 2), nil},
		{"a log that is empty", put32(head+headerLogID, 1), container.ErrFormat},
		{"log outside", put64(head+headerLogOffset, 1<<40), container.ErrFormat},
		{"log far outside", put64(head+headerLogOffset, 1<<63), container.ErrFormat},
		{"log at odd offset", put64(head+headerLogOffset, mib+512), container.ErrFormat},
		{"log in the headers", put64(head+headerLogOffset, 0), container.ErrFormat},
		{"log over the metadata", put64(head+headerLogOffset, metadataAt), container.ErrFormat},
		{"region tables", put32(regionAt, 0), container.ErrFormat},
		{"2048 regions", put32(regionAt+regionCount, 2048), container.ErrFormat},
		{"4 billion regions", put32(regionAt+regionCount, 1<<32-1), container.ErrFormat},
		{"one region", put32(regionAt+regionCount, 1), container.ErrFormat},
		{"unknown region", put32(regions, 1), container.ErrUnsupported},
		{"region outside", put64(regions+regionEntryOffset, 1<<40), container.ErrFormat},
		{"region at odd offset", put64(regions+regionEntryOffset, tableAt+4096), container.ErrFormat},
		{"region of odd length", put32(regions+regionEntryLength, 4096), container.ErrFormat},
		{"region of no length", put32(regions+regionEntryLength, 0), container.ErrFormat},
		{"table over the metadata", put64(regions+regionEntryOffset, metadataAt), container.ErrFormat},
		{"two tables", func(p []byte) { copy(p[regions+32:regions+48], p[regions:]) }, container.ErrFormat},
		{"metadata signature", put32(metadataAt, 0), container.ErrFormat},
		{"2048 items", put16(metadataAt+metadataCount, 2048), container.ErrFormat},
		{"65535 items", put16(metadataAt+metadataCount, 65535), container.ErrFormat},
		{"one item", put16(metadataAt+metadataCount, 1), container.ErrFormat},
		{"unknown item", put32(items, 1), container.ErrUnsupported},
		{"unknown item that is not required", func(p []byte) { put32(items+128, 1)(p); put32(items+128+metadataEntryFlags, 0)(p) }, nil},
		{"two items", func(p []byte) { copy(p[items+128:items+144], p[items+96:]) }, container.ErrFormat},
		{"item in the table", put32(items+metadataEntryOffset, 0), container.ErrFormat},
		{"item outside", put32(items+metadataEntryOffset, mib-4), container.ErrFormat},
		{"item far outside", put32(items+metadataEntryOffset, 1<<32-1), container.ErrFormat},
		{"long item", put32(items+metadataEntryLength, 1<<32-1), container.ErrFormat},
		{"short item", put32(items+metadataEntryLength, 4), container.ErrFormat},
		{"parent without a locator", put32(sampleParameters+4, flagHasParent), container.ErrFormat},
		{"blocks of 0 bytes", put32(sampleParameters, 0), container.ErrFormat},
		{"blocks of 512 KiB", put32(sampleParameters, mib/2), container.ErrFormat},
		{"blocks of 3 MiB", put32(sampleParameters, 3*mib), container.ErrFormat},
		{"blocks of 512 MiB", put32(sampleParameters, 512*mib), container.ErrFormat},
		{"sectors of 0 bytes", put32(sampleSector, 0), container.ErrFormat},
		{"sectors of 1 KiB", put32(sampleSector, 1024), container.ErrFormat},
		{"a disk of odd size", put64(sampleSize, 1000), container.ErrFormat},
		{"a disk of odd size for its sectors", put32(sampleSector, 4096), container.ErrFormat},
		{"a disk of size 0", put64(sampleSize, 0), nil},
		{"a disk larger than its table", put64(sampleSize, 1<<40), container.ErrFormat},
		{"a disk over 64 TiB", put64(sampleSize, maxSize+512), container.ErrFormat},
		{"a huge disk", put64(sampleSize, 1<<63), container.ErrFormat},
		{"state 4", put64(tableAt, sampleFirst|4), container.ErrFormat},
		{"not present", put64(tableAt, 0), nil},
		{"undefined", put64(tableAt, sampleFirst|stateUndefined), nil},
		{"zero", put64(tableAt, stateZero), nil},
		{"unmapped", put64(tableAt, sampleFirst|stateUnmapped), nil},
		{"partial without a parent", put64(tableAt, sampleFirst|statePartial), container.ErrFormat},
		{"block outside", put64(tableAt, 1<<40|stateFull), container.ErrFormat},
		{"block far outside", put64(tableAt, 1<<63|stateFull), container.ErrFormat},
		{"block in the headers", put64(tableAt, stateFull), container.ErrFormat},
		{"block in the log", put64(tableAt, logAt|stateFull), container.ErrFormat},
		{"block is the table", put64(tableAt, tableAt|stateFull), container.ErrFormat},
		{"block used twice", put64(tableAt, sampleSecond|stateFull), container.ErrFormat},
		{"larger blocks, the last outside", func(p []byte) { put32(sampleParameters, 2*mib)(p); copy(p[tableAt+8:], p[tableAt+16:tableAt+24]) }, container.ErrFormat},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			file := slices.Clone(sample(t))
			test.change(file)
			copy(file[regionCopyAt:], file[regionAt:regionAt+regionSize])
			if bytes.HasPrefix(file[headerAt:], []byte(headerSignature)) && test.name == "two headers of one number" {
				copy(file[headerCopyAt:], file[headerAt:headerAt+headerSize])
			}
			reseal(file)
			format(Options{}).CheckOpen(t, file, test.want)
		})
	}
}

func TestOpenChecksChecksums(t *testing.T) {
	for _, places := range [][]int{{headerAt + 20, headerCopyAt + 20}, {regionAt + 9000, regionCopyAt + 9000}} {
		file := sample(t)
		file[places[0]]++
		if err := openErr(file); err != nil {
			t.Errorf("one of %v changed: the other is sound, but %v", places, err)
		}
		file[places[1]]++
		if err := openErr(file); !errors.Is(err, container.ErrFormat) || !strings.Contains(err.Error(), "checksum") {
			t.Errorf("%v changed: %v", places, err)
		}
	}
	file := sample(t)
	file[regionCopyAt+9000]++
	reseal(file)
	if err := openErr(file); !errors.Is(err, container.ErrFormat) {
		t.Errorf("region tables that differ: %v", err)
	}
}

// parentFile returns a differencing file over a parent of zeros, and what finds
// that.
func parentFile(t testing.TB) (file []byte, find container.FindParent) {
	blobs := convertertest.Blobs{}
	parent := convertertest.Build(t, func(b *extent.Builder) { b.Zero(3 * mib) })
	disk, err := extent.Overlay(parent, 0, convertertest.Build(t, func(b *extent.Builder) { b.Inline(bytes.Repeat([]byte("a"), 4*sectorSize)) }))
	if err != nil {
		t.Fatal(err)
	}
	base := formattest.Base(t, disk, parent, blobs)
	file = convertertest.Bytes(t, write(t, disk, Options{Parent: base}), blobs)
	return file, container.GivenParent(container.Parent{Digest: parentDigest, Size: parent.Size()})
}

// parentDigest is that of 3 MiB of zeros.
const parentDigest extent.Digest = "sha256:bbd05cf6097ac9b1f89ea29d2542c1b7b67ee46848393895f5a9e43fa1f621e5"

// A block may be the parent's in part.
func TestOpenReadsBitmaps(t *testing.T) {
	le := binary.LittleEndian
	file, find := parentFile(t)
	ratio := int64(4096)
	bitmapAt := len(file)
	file = append(file, make([]byte, mib)...)
	file[bitmapAt] = 0b0000_0101 // sectors 0 and 2
	le.PutUint64(file[tableAt+ratio*entrySize:], uint64(bitmapAt)|stateBitmapPresent)
	le.PutUint64(file[tableAt:], sampleFirst|statePartial)

	open := func() (*container.Disk, error) {
		return OpenOver(bytes.NewReader(file), int64(len(file)), formattest.Source, find)
	}
	got, err := open()
	if err != nil {
		t.Fatal(err)
	}
	want := convertertest.Build(t, func(b *extent.Builder) {
		b.Source(formattest.Source, sampleFirst, sectorSize)
		b.Source(parentDigest, sectorSize, sectorSize)
		b.Source(formattest.Source, sampleFirst+2*sectorSize, sectorSize)
		b.Source(parentDigest, 3*sectorSize, 3*mib-3*sectorSize)
	})
	if !bytes.Equal(got.Map.Encode(), want.Encode()) {
		t.Error("the disk differs")
	}
	for name, entry := range map[string]uint64{"missing": 0, "outside": 1<<40 | stateBitmapPresent, "in the block": sampleFirst | stateBitmapPresent} {
		le.PutUint64(file[tableAt+ratio*entrySize:], entry)
		if _, err := open(); !errors.Is(err, container.ErrFormat) {
			t.Errorf("bitmap %s: %v", name, err)
		}
	}
}

// What a file names its parent is compared, if it is a digest, and never opened.
func TestOpenNamesTheParentThatIsMissing(t *testing.T) {
	file, find := parentFile(t)
	name := `C:\disks\` + strings.Repeat("b", len(parentDigest)-9)
	at := bytes.Index(file, encodeText(string(parentDigest)))
	copy(file[at:], encodeText(name))
	r := bytes.NewReader(file)
	var missing *container.ParentError
	if _, err := Open(r, r.Size(), formattest.Source); !errors.As(err, &missing) || missing.Name != name {
		t.Errorf("without its parent: %v", err)
	}
	if _, err := OpenOver(r, r.Size(), formattest.Source, find); err != nil {
		t.Errorf("over the parent that is given: %v", err)
	}
}

func TestOpenRefusesUnsoundLocators(t *testing.T) {
	file, find := parentFile(t)
	kind := container.MixedEndian(locatorVHDX)
	at := bytes.Index(file, kind[:])
	le := binary.LittleEndian
	for name, change := range map[string]func([]byte){
		"unknown type":  func(p []byte) { p[0]++ },
		"no entries":    func(p []byte) { le.PutUint16(p[locatorCount:], 0) },
		"one entry":     func(p []byte) { le.PutUint16(p[locatorCount:], 1) },
		"65535 entries": func(p []byte) { le.PutUint16(p[locatorCount:], 65535) },
		"key outside":   func(p []byte) { le.PutUint32(p[locatorEntries:], 1<<32-1) },
		"value outside": func(p []byte) { le.PutUint32(p[locatorEntries+4:], 1<<20) },
		"long value":    func(p []byte) { le.PutUint16(p[locatorEntries+10:], 65535) },
		"no path": func(p []byte) {
			at := bytes.Index(p, encodeText(locatorKeyRelative))
			copy(p[at:], encodeText(locatorKeyLinkage))
		},
	} {
		changed := slices.Clone(file)
		change(changed[at:])
		_, err := OpenOver(bytes.NewReader(changed), int64(len(changed)), formattest.Source, find)
		if !errors.Is(err, container.ErrFormat) && !errors.Is(err, container.ErrUnsupported) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
