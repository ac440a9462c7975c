package erofs

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/converter/formattest"
	"github.com/cloudlets/cloudlets/image"
)

// An index can have more extents than there is memory for.
func TestIndexesAreBounded(t *testing.T) {
	const entries = 5 << 20
	const owner = 1 << 20 // too large for a compact inode
	le := binary.LittleEndian
	tree := image.NewTree()
	tree.Root.Link("file", &image.Inode{Mode: image.TypeRegular | 0o644, UID: owner})
	file := convertertest.Bytes(t, mustPlan(t, tree), nil)
	at := blockSize
	for le.Uint32(file[at+extendedUID:]) != owner {
		at += slotSize
	}
	le.PutUint16(file[at+inodeFormat:], layoutCompressed<<formatLayoutShift|formatExtended)
	le.PutUint64(file[at+inodeSize:], entries*blockSize)
	index := at + extendedSize + compressionHeaderSize + fullPadding
	file = append(file[:index], bytes.Repeat([]byte{clusterFirst, 0, 0, 0, 0, 0, 0, 0}, entries)...)
	formattest.CheckMemory(t, formattest.MaxMemory, func() {
		if _, err := openBytes(file); !errors.Is(err, container.ErrUnsupported) {
			t.Errorf("error %v", err)
		}
	})
}
