package iso9660

import (
	"encoding/binary"

	"github.com/cloudlets/cloudlets/converter/container"
)

// byteOrder is that of a path table: there is one in each.
type byteOrder interface {
	binary.ByteOrder
	binary.AppendByteOrder
}

// pathRecordLength returns the bytes that a directory takes in a path table.
func pathRecordLength(id []byte) int64 { return container.AlignUp(pathRecordSize+int64(len(id)), 2) }

// appendPathRecord appends the record of a directory (ECMA-119, 9.4).
func appendPathRecord(table []byte, order byteOrder, dir *directory) []byte {
	table = append(table, byte(len(dir.id)), 0)
	table = order.AppendUint32(table, uint32(dir.first))
	table = order.AppendUint16(table, uint16(dir.parent.number))
	table = append(table, dir.id...)
	return append(table, make([]byte, len(dir.id)%2)...)
}
