package iso9660

import (
	"encoding/binary"

	"github.com/cloudlets/cloudlets/converter/container"
)

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

// blocksOf returns how many blocks so many bytes take.
func blocksOf(n int64) int64 { return container.DivideUp(n, blockSize) }
