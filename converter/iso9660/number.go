package iso9660

import "encoding/binary"

var (
	little = binary.LittleEndian
	big    = binary.BigEndian
)

// putBoth16 writes a number in both byte orders (ECMA-119, 7.2.3).
func putBoth16(p []byte, n uint16) {
	little.PutUint16(p, n)
	big.PutUint16(p[2:], n)
}

// putBoth32 writes a number in both byte orders (ECMA-119, 7.3.3).
func putBoth32(p []byte, n uint32) {
	little.PutUint32(p, n)
	big.PutUint32(p[4:], n)
}

func appendBoth32(p []byte, n uint32) []byte {
	return big.AppendUint32(little.AppendUint32(p, n), n)
}

func divideUp(n, by int64) int64       { return (n + by - 1) / by }
func alignUp(n, alignment int64) int64 { return divideUp(n, alignment) * alignment }

// blocksOf returns how many blocks so many bytes take.
func blocksOf(n int64) int64 { return divideUp(n, blockSize) }
