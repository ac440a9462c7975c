package squashfs

import (
	"encoding/binary"
	"fmt"

	"github.com/cloudlets/cloudlets/converter/inventory"
)

// idTable is the user and group numbers that inodes refer to.
type idTable struct {
	table metadata
	index map[uint32]uint16
}

// collect lists the numbers of all files, in the order of the files.
func (t *idTable) collect(list *inventory.List) error {
	t.index = make(map[uint32]uint16)
	for _, f := range list.Files {
		for _, id := range [...]uint32{f.UID, f.GID} {
			if _, ok := t.index[id]; ok {
				continue
			}
			if len(t.index) == maxIDs {
				return fmt.Errorf("%s: there are more than %d different user and group numbers: %w", f.Path(), maxIDs, inventory.ErrTree)
			}
			t.index[id] = uint16(len(t.index))
			t.table.write(binary.LittleEndian.AppendUint32(nil, id))
		}
	}
	return nil
}
