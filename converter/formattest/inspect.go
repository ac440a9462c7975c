package formattest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/cloudlets/cloudlets/converter/container"
)

// ErrInspection is wrapped by what an inspection refuses.
var ErrInspection = errors.New("refused by inspection")

// Inspection is what OpenStack takes a file for.
type Inspection struct {
	Format string // "raw" where it knows none
	Size   int64  // of the disk, in bytes
}

// Inspect looks at a file as OpenStack does before it lets one in: the rules of
// oslo.utils, imageutils/format_inspector.py, written anew and with nothing of the
// readers that they are held against. A file that looks like two formats is
// refused, as is what could lead a program out of the file.
func Inspect(r io.ReaderAt, size int64) (Inspection, error) {
	v := &inspected{r: r, size: size}
	var found []string
	for _, rule := range inspectionRules() {
		if rule.matches(v) {
			found = append(found, rule.format)
		}
	}
	// An ISO that starts from a disk too has a partition table.
	if slices.Equal(found, []string{"gpt", "iso"}) {
		found = found[1:]
	}
	switch len(found) {
	case 0:
		return Inspection{"raw", size}, v.err
	case 1:
	default:
		return Inspection{}, fmt.Errorf("%w: it looks like %s", ErrInspection, strings.Join(found, " and "))
	}
	for _, rule := range inspectionRules() {
		if rule.format != found[0] {
			continue
		}
		n, err := rule.check(v)
		if err = errors.Join(err, v.err); err != nil {
			return Inspection{}, fmt.Errorf("inspect %s: %w", rule.format, err)
		}
		return Inspection{rule.format, n}, nil
	}
	return Inspection{}, v.err
}

// inspectionRule is one format: what it is known by, and what is wanted of it.
type inspectionRule struct {
	format  string
	matches func(v *inspected) bool
	check   func(v *inspected) (size int64, err error)
}

func inspectionRules() []inspectionRule {
	starts := func(at int64, marks ...string) func(*inspected) bool {
		return func(v *inspected) bool {
			return slices.ContainsFunc(marks, func(m string) bool { return string(v.at(at, len(m))) == m })
		}
	}
	field := func(at int64, order binary.ByteOrder) func(*inspected) (int64, error) {
		return func(v *inspected) (int64, error) { return int64(order.Uint64(v.at(at, 8))), nil }
	}
	banned := func(*inspected) (int64, error) { return 0, fmt.Errorf("%w: the format is banned", ErrInspection) }
	return []inspectionRule{
		{"qcow2", starts(0, "QFI\xfb"), inspectQCOW2},
		{"qed", starts(0, "QED\x00"), banned},
		{"vhd", starts(0, "conectix"), field(40, binary.BigEndian)},
		{"vhdx", starts(0, "vhdxfile"), inspectVHDX},
		{"vmdk", starts(0, "KDMV"), inspectVMDK},
		{"vmdk descriptor", starts(0, "# Disk DescriptorFile"), banned},
		{"vdi", starts(0x40, "\x7f\x10\xda\xbe"), field(0x170, binary.LittleEndian)},
		{"gpt", starts(510, "\x55\xaa"), inspectGPT},
		{"iso", starts(0x8001, "CD001", "NSR02", "NSR03"), inspectISO},
	}
}

// inspected is the file that is looked at. Reading beyond its end gives zeros.
type inspected struct {
	r    io.ReaderAt
	size int64
	err  error // of reading
}

func (v *inspected) at(off int64, n int) []byte {
	p := make([]byte, n)
	if off < 0 || off >= v.size {
		return p
	}
	if err := container.ReadFull(v.r, p[:min(int64(n), v.size-off)], off); err != nil {
		v.err = errors.Join(v.err, err)
	}
	return p
}

func inspectQCOW2(v *inspected) (int64, error) {
	be := binary.BigEndian
	h := v.at(0, 104)
	ver, backing, incompatible := be.Uint32(h[4:]), be.Uint64(h[8:]), be.Uint64(h[72:])
	switch {
	case ver != 2 && ver != 3:
		return 0, fmt.Errorf("%w: version %d", ErrInspection, ver)
	case backing != 0:
		return 0, fmt.Errorf("%w: it has a backing file", ErrInspection)
	case ver == 3 && incompatible&4 != 0:
		return 0, fmt.Errorf("%w: it has a data file", ErrInspection)
	case ver == 3 && incompatible&^0xf != 0:
		return 0, fmt.Errorf("%w: unknown features %#x", ErrInspection, incompatible)
	}
	return int64(be.Uint64(h[24:])), nil
}

// GUIDs as they stand in VHDX files.
const (
	inspectMetadataRegion = "\x06\xa2\x7c\x8b\x90\x47\x9a\x4b\xb8\xfe\x57\x5f\x05\x0f\x88\x6e"
	inspectDiskSizeItem   = "\x24\x42\xa5\x2f\x1b\xcd\x76\x48\xb2\x11\x5d\xbe\xd8\x3b\xf4\xb8"
)

func inspectVHDX(v *inspected) (int64, error) {
	const regions, entry, limit = 192 << 10, 32, 2048
	le := binary.LittleEndian
	h := v.at(regions, 16)
	count := le.Uint32(h[8:])
	if string(h[:4]) != "regi" || count >= limit {
		return 0, fmt.Errorf("%w: region table %q of %d entries", ErrInspection, h[:4], count)
	}
	metadata := int64(0)
	for i := range int64(count) {
		if e := v.at(regions+16+i*entry, entry); string(e[:16]) == inspectMetadataRegion {
			metadata = int64(le.Uint64(e[16:]))
		}
	}
	m := v.at(metadata, 32)
	items := le.Uint16(m[10:])
	if string(m[:8]) != "metadata" || items >= limit {
		return 0, fmt.Errorf("%w: metadata %q of %d entries", ErrInspection, m[:8], items)
	}
	for i := range int64(items) {
		if e := v.at(metadata+32+i*entry, entry); string(e[:16]) == inspectDiskSizeItem {
			return int64(le.Uint64(v.at(metadata+int64(le.Uint32(e[16:])), 8))), nil
		}
	}
	return 0, fmt.Errorf("%w: no size of the disk", ErrInspection)
}

// inspectGPT checks the partition table of a master boot record.
func inspectGPT(v *inspected) (int64, error) {
	for i := range int64(4) {
		e := v.at(446+16*i, 16)
		boot, kind, first := e[0], e[4], binary.LittleEndian.Uint32(e[8:])
		switch {
		case boot != 0 && boot != 0x80:
			return 0, fmt.Errorf("%w: partition %d has the boot flag %#02x", ErrInspection, i, boot)
		case kind == 0xee && i > 0:
			return 0, fmt.Errorf("%w: partition %d says that there is a GPT; only the first may", ErrInspection, i)
		case kind == 0xee && (string(e[1:4]) != "\x00\x02\x00" || first != 1):
			return 0, fmt.Errorf("%w: the protective partition begins at %x and sector %d", ErrInspection, e[1:4], first)
		}
	}
	return v.size, nil
}

func inspectISO(v *inspected) (int64, error) {
	d := v.at(0x8000, 2048)
	if d[0] != 1 {
		return 0, nil // not the primary volume descriptor
	}
	le := binary.LittleEndian
	return int64(le.Uint32(d[80:])) * int64(le.Uint16(d[128:])), nil
}
