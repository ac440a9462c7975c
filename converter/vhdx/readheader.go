package vhdx

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/cloudlets/cloudlets/converter/container"
)

// sealed returns the two copies of a structure, nil for one whose signature or
// checksum is wrong. An error says that both are.
func (r *reader) sealed(what, signature string, size int64, checksumAt int, places ...uint64) (copies [][]byte, err error) {
	for _, at := range places {
		p, readErr := r.file.Bytes(what, at, size)
		switch {
		case readErr != nil:
			return nil, readErr
		case !strings.HasPrefix(string(p), signature):
			err = fmt.Errorf("%w: the %s at %d begins with %q, not %q", container.ErrFormat, what, at, p[:len(signature)], signature)
			p = nil
		case checksum(p, checksumAt) != binary.LittleEndian.Uint32(p[checksumAt:]):
			err = fmt.Errorf("%w: the %s at %d has a wrong checksum", container.ErrFormat, what, at)
			p = nil
		}
		copies = append(copies, p)
	}
	if copies[0] == nil && copies[1] == nil {
		return nil, err
	}
	return copies, nil
}

// readHeader reads the headers and checks that the newer one can be followed.
func (r *reader) readHeader() error {
	le := binary.LittleEndian
	p, err := r.file.Bytes("identifier", 0, int64(len(identifierSignature)))
	if err != nil {
		return err
	}
	if string(p) != identifierSignature {
		return fmt.Errorf("%w: it begins with %q, not %q", container.ErrFormat, p, identifierSignature)
	}
	copies, err := r.sealed("header", headerSignature, headerSize, headerChecksum, headerAt, headerCopyAt)
	if err != nil {
		return err
	}
	h, err := newer(copies[0], copies[1])
	if err != nil {
		return err
	}
	if v := le.Uint16(h[headerVersion:]); v != formatVersion {
		return fmt.Errorf("%w: version %d; want %d", container.ErrUnsupported, v, formatVersion)
	}
	if err := r.place("log", le.Uint64(h[headerLogOffset:]), int64(le.Uint32(h[headerLogLength:]))); err != nil {
		return err
	}
	return r.replay(h)
}

// newer returns the header that counts, of which one may be missing. Disk2VHD
// writes two that are the same.
func newer(a, b []byte) ([]byte, error) {
	le := binary.LittleEndian
	switch {
	case b == nil:
		return a, nil
	case a == nil:
		return b, nil
	}
	seqA, seqB := le.Uint64(a[headerSequence:]), le.Uint64(b[headerSequence:])
	switch {
	case seqA > seqB:
		return a, nil
	case seqA == seqB && !bytes.Equal(a, b):
		return nil, fmt.Errorf("%w: two headers with the sequence number %d differ", container.ErrFormat, seqA)
	}
	return b, nil
}

// place notes that a part of the file stands at off, where one can.
func (r *reader) place(what string, off uint64, length int64) error {
	if length == 0 {
		return nil
	}
	if off%mib != 0 || length%mib != 0 {
		return fmt.Errorf("%w: the %s of %d bytes at %d is not in whole MiB", container.ErrFormat, what, length, off)
	}
	if err := r.file.Contains(what, off, length); err != nil {
		return err
	}
	r.used.Add(what, int64(off), length)
	return nil
}

// readRegions finds the metadata and the block allocation table.
func (r *reader) readRegions() error {
	copies, err := r.sealed("region table", regionSignature, regionSize, regionChecksum, regionAt, regionCopyAt)
	if err != nil {
		return err
	}
	p := copies[0]
	if p == nil {
		p = copies[1]
	}
	if copies[1] != nil && !bytes.Equal(p, copies[1]) {
		return fmt.Errorf("%w: the two region tables differ", container.ErrFormat)
	}
	count := binary.LittleEndian.Uint32(p[regionCount:])
	if count > maxTableCount {
		return fmt.Errorf("%w: %d regions; want at most %d", container.ErrFormat, count, maxTableCount)
	}
	for i := range int(count) {
		if err := r.addRegion(p[regionEntries+i*tableEntrySize:][:tableEntrySize]); err != nil {
			return fmt.Errorf("region %d: %w", i, err)
		}
	}
	if r.metadata.length == 0 || r.table.length == 0 {
		return fmt.Errorf("%w: it lacks the metadata or the block allocation table", container.ErrFormat)
	}
	return nil
}

// addRegion notes a region that the reader needs, and refuses what a reader must
// know and this one does not.
func (r *reader) addRegion(e []byte) error {
	le := binary.LittleEndian
	id := container.MixedEndian(guid(e))
	off, length := le.Uint64(e[regionEntryOffset:]), int64(le.Uint32(e[regionEntryLength:]))
	var at *region
	what := "region"
	switch id {
	case regionBAT:
		at, what = &r.table, "block allocation table"
	case regionMetadata:
		at, what = &r.metadata, "metadata"
	default:
		if le.Uint32(e[regionEntryFlags:])&regionFlagRequired != 0 {
			return fmt.Errorf("%w: the region %x must be known", container.ErrUnsupported, id)
		}
	}
	if err := r.place(what, off, length); err != nil {
		return err
	}
	if at == nil {
		return nil
	}
	if at.length != 0 {
		return fmt.Errorf("%w: a second %s", container.ErrFormat, what)
	}
	*at = region{id, int64(off), length}
	return nil
}
