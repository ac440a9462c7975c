package kind

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strings"
)

// container is a container that was found by its header.
type container struct {
	container Container
	what      string
	missing   string // as in Finding
	parent    bool   // as in Finding
	// open says that the content begins at the file's start, so that its signs
	// are those of the file.
	open bool
	size int64 // of that content in bytes
}

// finding returns what is known of a file that is a container. signs are those
// of a file that is none.
func (c *container) finding(signs []sign) Finding {
	f := Finding{Container: c.container, Signs: []string{c.what}, Missing: c.missing, Parent: c.parent}
	if c.open {
		f.conclude(signs, c.size)
		return f
	}
	switch c.container {
	case OVA:
		f.Types = []Type{Disk}
		return f
	default:
		// The header does not tell what is inside.
		f.Types = Types()
	}
	for _, s := range signs {
		if s.class == bootSector {
			continue
		}
		f.Signs = append(f.Signs, s.what)
		f.Contradictory = true
	}
	return f
}

// findContainer returns the container that a file is, or nil.
func findContainer(r io.ReaderAt, head []byte, size int64) (*container, error) {
	for _, find := range []func(io.ReaderAt, []byte, int64) (*container, error){
		findQcow, findCow, findQED, findParallels, findVDI, findVHDX, findVMDK, findVHD, findOVA,
	} {
		if c, err := find(r, head, size); c != nil || err != nil {
			return c, err
		}
	}
	return nil, nil
}

// has reports whether head holds a text at an offset.
func has(head []byte, offset int, text string) bool {
	return len(head) >= offset && bytes.HasPrefix(head[offset:], []byte(text))
}

// findQcow reads the header of qcow and qcow2 (QEMU, docs/interop/qcow2.rst).
func findQcow(_ io.ReaderAt, head []byte, _ int64) (*container, error) {
	const (
		external          = 1 << 2 // of the incompatible features
		known             = 1<<5 - 1
		featuresAt        = 72
		backingAt         = 8
		leastOf3, leastOf = 104, 48
	)
	if !has(head, 0, "QFI\xfb") || len(head) < leastOf {
		return nil, nil
	}
	version := binary.BigEndian.Uint32(head[4:])
	c := &container{container: Qcow2, what: fmt.Sprintf("a qcow2 header of version %d", version)}
	switch version {
	case 1:
		c.container, c.what = Qcow, "a qcow header"
	case 2:
	case 3:
		if len(head) < leastOf3 {
			c.missing = "the rest of its header"
			return c, nil
		}
		switch features := binary.BigEndian.Uint64(head[featuresAt:]); {
		case features&external != 0:
			c.missing = "an external data file"
		case features&^known != 0:
			c.missing = "features that nobody here knows"
		}
	default:
		c.missing = "a reader of that version"
	}
	switch {
	case binary.BigEndian.Uint64(head[backingAt:]) == 0:
	case version == 1:
		c.missing = "a backing file"
	default:
		c.parent = true
	}
	return c, nil
}

// findCow reads the header of the format of user-mode Linux (the kernel's
// arch/um/drivers/cow_user.c): version 2 is also that of QEMU's cow.
func findCow(_ io.ReaderAt, head []byte, _ int64) (*container, error) {
	if !has(head, 0, "OOOM\x00\x00\x00") {
		return nil, nil
	}
	c := &container{container: Cow, what: "a cow header"}
	if len(head) > 8 && head[8] != 0 { // a name
		c.missing = "a backing file"
	}
	return c, nil
}

// findQED reads the header of QED (QEMU, docs/interop/qed_spec.rst).
func findQED(_ io.ReaderAt, head []byte, _ int64) (*container, error) {
	const featuresAt, backing = 16, 1 << 0
	if !has(head, 0, "QED\x00") || len(head) < 64 {
		return nil, nil
	}
	c := &container{container: QED, what: "a QED header"}
	if binary.LittleEndian.Uint64(head[featuresAt:])&backing != 0 {
		c.missing = "a backing file"
	}
	return c, nil
}

// findParallels looks at the magic numbers of Parallels' disks, the old and the
// new one (QEMU, docs/interop/parallels.rst).
func findParallels(_ io.ReaderAt, head []byte, _ int64) (*container, error) {
	if !has(head, 0, "WithoutFreeSpace") && !has(head, 0, "WithouFreSpacExt") {
		return nil, nil
	}
	return &container{container: Parallels, what: "a Parallels header"}, nil
}

// findVDI reads the header of VirtualBox's format, whose image type 4 is a
// difference to another file.
func findVDI(_ io.ReaderAt, head []byte, _ int64) (*container, error) {
	const typeAt, difference = 0x4c, 4
	if !has(head, 0x40, "\x7f\x10\xda\xbe") || len(head) < 0x200 {
		return nil, nil
	}
	c := &container{container: VDI, what: "a VDI header"}
	if binary.LittleEndian.Uint32(head[typeAt:]) == difference {
		c.missing = "a parent"
	}
	return c, nil
}

// findOVA looks at the name of a tar's first member, which is the description of
// the machines (DMTF DSP0243, section 5.3).
func findOVA(_ io.ReaderAt, head []byte, _ int64) (*container, error) {
	if !has(head, 257, "ustar") {
		return nil, nil
	}
	name, _, _ := bytes.Cut(head[:100], []byte{0})
	if !strings.HasSuffix(strings.ToLower(string(name)), ".ovf") {
		return nil, nil
	}
	return &container{container: OVA, what: "an OVF package"}, nil
}

// Of VHD (Microsoft's Virtual Hard Disk Image Format Specification 1.0). All
// numbers are big-endian.
const (
	vhdCookie       = "conectix"
	vhdFooterSize   = 512
	vhdSizeAt       = 48
	vhdTypeAt       = 60
	vhdChecksumAt   = 64
	vhdFixed        = 2
	vhdDynamic      = 3
	vhdDifferencing = 4
)

// findVHD reads the footer at the end; those before Virtual PC 2004 are a byte
// shorter. A fixed disk has no other mark.
func findVHD(r io.ReaderAt, head []byte, size int64) (*container, error) {
	for _, length := range []int64{vhdFooterSize, vhdFooterSize - 1} {
		if size < length {
			continue
		}
		footer, err := readAt(r, size-length, length)
		if err != nil {
			return nil, fmt.Errorf("read the end of the file: %w", err)
		}
		if isVHDFooter(footer) {
			return newVHD(footer, size-length), nil
		}
	}
	if has(head, 0, vhdCookie) {
		return &container{container: VHD, what: "the start of a dynamic VHD", missing: "the footer that it should end with"}, nil
	}
	return nil, nil
}

func isVHDFooter(footer []byte) bool {
	if !has(footer, 0, vhdCookie) {
		return false
	}
	sum := uint32(0)
	for i, b := range footer {
		if i < vhdChecksumAt || i >= vhdChecksumAt+4 {
			sum += uint32(b)
		}
	}
	return binary.BigEndian.Uint32(footer[vhdChecksumAt:]) == ^sum
}

// newVHD returns the VHD of a footer after data bytes.
func newVHD(footer []byte, data int64) *container {
	c := &container{container: VHD, what: "a VHD footer", size: data}
	switch t := binary.BigEndian.Uint32(footer[vhdTypeAt:]); t {
	case vhdFixed:
		c.open = true
		if declared := binary.BigEndian.Uint64(footer[vhdSizeAt:]); declared > uint64(data) {
			c.missing = fmt.Sprintf("%d bytes, of which it has %d", declared, data)
		}
	case vhdDynamic:
	case vhdDifferencing:
		c.parent = true
	default:
		c.missing = fmt.Sprintf("a reader of its disk type %d", t)
	}
	return c
}

// Of VHDX (MS-VHDX). All numbers are little-endian.
const (
	vhdxRegionsAt    = 192 << 10
	vhdxRegionsSize  = 64 << 10
	vhdxMaxRegions   = 2047
	vhdxMetadataID   = "\x06\xa2\x7c\x8b\x90\x47\x9a\x4b\xb8\xfe\x57\x5f\x05\x0f\x88\x6e"
	vhdxParametersID = "\x37\x67\xa1\xca\x36\xfa\x43\x4d\xb3\xb6\x33\xf0\xaa\x44\xe7\x6b"
	vhdxHasParent    = 1 << 1
)

// findVHDX reads the id of the file, and in its metadata whether it has a parent.
func findVHDX(r io.ReaderAt, head []byte, size int64) (*container, error) {
	if !has(head, 0, "vhdxfile") {
		return nil, nil
	}
	c := &container{container: VHDX, what: "a VHDX header"}
	flags, ok, err := vhdxParameters(r, size)
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the metadata of a VHDX: %w", err)
	case !ok:
		c.missing = "its metadata"
	case flags&vhdxHasParent != 0:
		c.parent = true
	}
	return c, nil
}

// vhdxParameters returns the flags in the file parameters of a VHDX, if it has
// them.
func vhdxParameters(r io.ReaderAt, size int64) (flags uint32, ok bool, err error) {
	if size < vhdxRegionsAt+vhdxRegionsSize {
		return 0, false, nil
	}
	regions, err := readAt(r, vhdxRegionsAt, vhdxRegionsSize)
	if err != nil || !has(regions, 0, "regi") {
		return 0, false, err
	}
	region := vhdxEntry(regions, 16, min(int(binary.LittleEndian.Uint32(regions[8:])), vhdxMaxRegions), vhdxMetadataID)
	if region == nil {
		return 0, false, nil
	}
	at := binary.LittleEndian.Uint64(region[16:])
	if at > uint64(size) || uint64(size)-at < vhdxRegionsSize {
		return 0, false, nil
	}
	metadata, err := readAt(r, int64(at), vhdxRegionsSize)
	if err != nil || !has(metadata, 0, "metadata") {
		return 0, false, err
	}
	item := vhdxEntry(metadata, 32, min(int(binary.LittleEndian.Uint16(metadata[10:])), vhdxMaxRegions), vhdxParametersID)
	if item == nil {
		return 0, false, nil
	}
	offset := at + uint64(binary.LittleEndian.Uint32(item[16:]))
	if offset > uint64(size) || uint64(size)-offset < 8 {
		return 0, false, nil
	}
	parameters, err := readAt(r, int64(offset), 8)
	if err != nil {
		return 0, false, err
	}
	return binary.LittleEndian.Uint32(parameters[4:]), true, nil
}

// vhdxEntry returns the entry of 32 bytes with an ID in a table after a header.
func vhdxEntry(b []byte, header, count int, id string) []byte {
	for i := range count {
		at := header + 32*i
		if at+32 > len(b) {
			return nil
		}
		if has(b, at, id) {
			return b[at : at+32]
		}
	}
	return nil
}

// Of VMDK (VMware's Virtual Disk Format 5.0).
const (
	vmdkDescriptor     = "# Disk DescriptorFile"
	maxVMDKDescriptor  = 1 << 20
	vmdkNoParent       = "ffffffff"
	vmdkDescriptorAt   = 28
	vmdkDescriptorSize = 36
)

// findVMDK reads the header and the descriptor of a sparse extent. A descriptor
// by itself names the files of the disk.
func findVMDK(r io.ReaderAt, head []byte, size int64) (*container, error) {
	switch {
	case has(head, 0, vmdkDescriptor):
		return &container{container: VMDK, what: "a VMDK descriptor", missing: MissingParts}, nil
	case has(head, 0, "COWD"):
		return &container{container: VMDK, what: "a VMDK extent of ESX", missing: "its descriptor"}, nil
	case !has(head, 0, "KDMV") || len(head) < sectorSize:
		return nil, nil
	}
	c := &container{container: VMDK, what: "a VMDK header"}
	at, sectors := binary.LittleEndian.Uint64(head[vmdkDescriptorAt:]), binary.LittleEndian.Uint64(head[vmdkDescriptorSize:])
	if at == 0 || sectors == 0 || sectors > maxVMDKDescriptor/sectorSize || at > uint64(size)/sectorSize || sectors > uint64(size)/sectorSize-at {
		c.missing = "its descriptor"
		return c, nil
	}
	descriptor, err := readAt(r, int64(at)*sectorSize, int64(sectors)*sectorSize)
	if err != nil {
		return nil, fmt.Errorf("read the descriptor of a VMDK: %w", err)
	}
	c.missing = vmdkMissing(descriptor)
	return c, nil
}

// vmdkMissing says what a disk with a descriptor needs besides its file.
func vmdkMissing(descriptor []byte) string {
	text, _, _ := bytes.Cut(descriptor, []byte{0})
	fields := make(map[string]string)
	extents := 0
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, "="); ok {
			fields[strings.ToLower(strings.TrimSpace(key))] = strings.ToLower(strings.Trim(strings.TrimSpace(value), `"`))
		}
		if word, _, _ := strings.Cut(line, " "); slices.Contains([]string{"RW", "RDONLY", "NOACCESS"}, word) {
			extents++
		}
	}
	switch {
	case fields["parentcid"] != "" && fields["parentcid"] != vmdkNoParent:
		return "a parent"
	case !slices.Contains([]string{"monolithicsparse", "streamoptimized"}, fields["createtype"]) || extents != 1:
		return "the files that its descriptor names"
	}
	return ""
}
