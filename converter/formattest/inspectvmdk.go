package formattest

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

// inspectVMDK checks the header of a sparse extent, the text behind it, and the
// copy of the header at the end of a stream.
func inspectVMDK(v *inspected) (int64, error) {
	const sector, maxDescriptor, atEnd = 512, 1<<20 - 1, 1<<64 - 1
	le := binary.LittleEndian
	h := v.at(0, sector)
	ver, descriptor, length := le.Uint32(h[4:]), le.Uint64(h[28:]), le.Uint64(h[36:])
	if ver < 1 || ver > 3 {
		return 0, fmt.Errorf("%w: version %d", ErrInspection, ver)
	}
	if descriptor != 1 || length > maxDescriptor/sector {
		return 0, fmt.Errorf("%w: a descriptor of %d sectors at sector %d", ErrInspection, length, descriptor)
	}
	if le.Uint64(h[56:]) == atEnd {
		if err := inspectFooter(v, h); err != nil {
			return 0, err
		}
	}
	text := strings.TrimRight(string(v.at(sector, int(length)*sector)), "\x00")
	if err := inspectDescriptor(text); err != nil {
		return 0, err
	}
	return int64(le.Uint64(h[12:])) * sector, nil
}

// inspectFooter checks the end of a stream: a marker, the header again but for
// where its grain directory is, and the marker of the end. h is the header.
func inspectFooter(v *inspected, h []byte) error {
	const sector = 512
	tail := v.at(v.size-3*sector, 3*sector)
	marker, footer, end := tail[:sector], slices.Clone(tail[sector:2*sector]), tail[2*sector:]
	le := binary.LittleEndian
	want := make([]byte, sector)
	le.PutUint64(want, 1)
	le.PutUint32(want[12:], 3)
	if string(marker) != string(want) {
		return fmt.Errorf("%w: no marker before the footer", ErrInspection)
	}
	if string(end) != string(make([]byte, sector)) {
		return fmt.Errorf("%w: no marker at the end of the stream", ErrInspection)
	}
	if le.Uint64(footer[56:]) == 1<<64-1 {
		return fmt.Errorf("%w: the footer does not say where the grain directory is", ErrInspection)
	}
	copy(footer[56:64], h[56:64])
	if string(footer) != string(h) {
		return fmt.Errorf("%w: the footer differs from the header", ErrInspection)
	}
	return nil
}

// inspectDescriptor checks every line of a descriptor.
func inspectDescriptor(text string) error {
	kind, extents := "", 0
	for line := range strings.Lines(strings.ToLower(text)) {
		line = strings.TrimSpace(line)
		key, value, pair := strings.Cut(line, "=")
		word, _, _ := strings.Cut(line, " ")
		switch {
		case line == "", strings.HasPrefix(line, "#"), strings.HasPrefix(line, "ddb"):
		case pair && !strings.Contains(key, " "):
			if key == "createtype" {
				kind = strings.Trim(value, `"`)
			}
		case word == "rw" || word == "rdonly" || word == "noaccess":
			extents++
			if strings.Contains(line, "/") {
				return fmt.Errorf("%w: the extent %q names a path", ErrInspection, line)
			}
		default:
			return fmt.Errorf("%w: the line %.100q of the descriptor", ErrInspection, line)
		}
	}
	if strings.ContainsFunc(text, func(c rune) bool { return c > 0x7f }) {
		return fmt.Errorf("%w: the descriptor is not ASCII", ErrInspection)
	}
	if kind != "monolithicsparse" && kind != "streamoptimized" {
		return fmt.Errorf("%w: the type %.100q", ErrInspection, kind)
	}
	if extents == 0 {
		return fmt.Errorf("%w: no extents", ErrInspection)
	}
	return nil
}
