package iso9660

import "bytes"

// descriptors returns the volume descriptors, a block each.
func (v *volume) descriptors() [][]byte {
	all := [][]byte{v.primary()}
	if v.opts.Boot != nil {
		all = append(all, bootRecord())
	}
	if v.joliet != nil {
		all = append(all, v.supplementary())
	}
	return append(all, newDescriptor(descriptorEnd))
}

func newDescriptor(kind byte) []byte {
	p := make([]byte, blockSize)
	p[0] = kind
	copy(p[1:], standardIdentifier)
	p[descriptorVersionAt] = descriptorVersion
	return p
}

// bootRecord returns the descriptor that El Torito starts from (section 2.0).
func bootRecord() []byte {
	p := newDescriptor(descriptorBoot)
	copy(p[7:], bootSystemIdentifier)
	little.PutUint32(p[bootCatalogAt:], catalogBlock)
	return p
}

// primary returns the primary volume descriptor (ECMA-119, 8.4).
func (v *volume) primary() []byte {
	return v.describe(newDescriptor(descriptorPrimary), v.plain, func(s string) []byte { return []byte(s) })
}

// supplementary returns the descriptor of the Joliet directories (ECMA-119, 8.5).
func (v *volume) supplementary() []byte {
	p := v.describe(newDescriptor(descriptorSupplementary), v.joliet, encodeUnits)
	copy(p[escapeSequencesAt:], jolietEscape)
	return p
}

// describe fills in what both descriptors of directories say. encode gives the
// bytes of texts.
func (v *volume) describe(p []byte, h *hierarchy, encode func(string) []byte) []byte {
	text := func(at, length int, s string) {
		space := encode(" ")
		copy(p[at:at+length], bytes.Repeat(space, length/len(space)))
		copy(p[at:at+length], encode(s))
	}
	text(systemIdentifierAt, systemIdentifierLength, systemIdentifier)
	text(volumeIdentifierAt, volumeIdentifierLength, v.opts.Label)
	text(volumeSetIdentifierAt, identifiersEnd-volumeSetIdentifierAt, "")
	putBoth32(p[volumeSpaceAt:], uint32(v.end))
	putBoth16(p[volumeSetSizeAt:], 1)
	putBoth16(p[volumeSequenceAt:], 1)
	putBoth16(p[logicalBlockSizeAt:], blockSize)
	putBoth32(p[pathTableSizeAt:], uint32(h.tableSize))
	little.PutUint32(p[pathTableLAt:], uint32(h.tableL))
	big.PutUint32(p[pathTableMAt:], uint32(h.tableM))
	copy(p[rootRecordAt:], h.dirs[0].record([]byte(selfName), nil).encode())
	copy(p[creationAt:], longDate(v.opts.Time))
	copy(p[modificationAt:], longDate(v.opts.Time))
	copy(p[expirationAt:], noDate())
	copy(p[effectiveAt:], noDate())
	p[structureVersionAt] = structureVersion
	return p
}
