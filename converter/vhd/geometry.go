package vhd

// geometry is a disk in the terms of the ATA of old.
type geometry struct {
	cylinders      uint16
	heads, sectors uint8
}

// maxGeometry is the number of sectors of the largest geometry. A disk that has
// it may be larger.
const maxGeometry = 65535 * 16 * 255

// size returns the bytes that the geometry addresses.
func (g geometry) size() int64 {
	return int64(g.cylinders) * int64(g.heads) * int64(g.sectors) * sectorSize
}

// chs returns the geometry of a disk of so many bytes (Appendix: CHS
// Calculation). It addresses no more than the disk has, and may address less.
func chs(size int64) geometry {
	total := min(size/sectorSize, maxGeometry)
	heads, sectors := int64(16), int64(255)
	if total < 65535*16*63 {
		heads, sectors = smallGeometry(total)
	}
	return geometry{cylinders: uint16(total / sectors / heads), heads: uint8(heads), sectors: uint8(sectors)}
}

// smallGeometry returns the heads and the sectors of a track of a disk that does
// without tracks of 255 sectors.
func smallGeometry(total int64) (heads, sectors int64) {
	sectors = 17
	heads = max(4, (total/sectors+1023)/1024)
	if heads <= 16 && total/sectors < heads*1024 {
		return heads, sectors
	}
	if total/31 < 16*1024 {
		return 16, 31
	}
	return 16, 63
}
