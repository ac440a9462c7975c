package disk

import (
	"fmt"

	"github.com/cloudlets/cloudlets/converter/boot"
	"github.com/cloudlets/cloudlets/converter/ext4"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

// DataOptions are the parameters of a disk that holds files and does not boot.
type DataOptions struct {
	// Size in bytes, a multiple of [Alignment]. 0 means what the files need.
	Size  int64
	Seed  string // as in Options
	Label string // of the filesystem, at most 16 bytes
}

// PlanData returns a disk that holds a tree: an ext4 filesystem without a
// partition table, which grows with the disk.
func PlanData(tree *image.Tree, o DataOptions) (*extent.Map, error) {
	if err := (Options{Size: o.Size, Seed: o.Seed}).check(); err != nil {
		return nil, err
	}
	e := ext4.Options{
		Size: o.Size, ReservedPercent: 1, Label: o.Label, Time: tree.Root.ModTime,
		UUID: boot.DeriveUUID(o.Seed, o.Label+" filesystem"), HashSeed: boot.DeriveUUID(o.Seed, o.Label+" filesystem hash seed"),
	}
	m, err := ext4.Plan(tree, e)
	if err != nil {
		return nil, fmt.Errorf("plan the disk for %s files: %w", o.Label, err)
	}
	return m, nil
}
