package vmdk

import (
	"context"
	"testing"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/converter/formattest"
	"github.com/cloudlets/cloudlets/extent"
)

var sparse = formattest.Format{
	QEMU:    "vmdk",
	Checked: true,
	Write:   func(disk *extent.Map) (*extent.Map, error) { return Write(disk, Options{}) },
	Open:    Open,
	Variants: [][]string{
		{"-o", "subformat=monolithicSparse"},
		{"-o", "subformat=monolithicSparse,zeroed_grain=on"},
		{"-o", "subformat=monolithicSparse,compat6=on,adapter_type=lsilogic"},
		{"-o", "subformat=streamOptimized"},
	},
}

func TestContract(t *testing.T) { formattest.Run(t, sparse) }

func TestStreamOptimizedKeepsTheContract(t *testing.T) {
	tests := map[string]func(context.Context, *extent.Map, extent.Opener, container.Spool) (*extent.Map, error){
		"stored": func(ctx context.Context, disk *extent.Map, open extent.Opener, _ container.Spool) (*extent.Map, error) {
			return WriteStored(ctx, disk, open, Options{})
		},
		"compressed": func(ctx context.Context, disk *extent.Map, open extent.Opener, spool container.Spool) (*extent.Map, error) {
			return WriteCompressed(ctx, disk, open, spool, Options{})
		},
	}
	for name, write := range tests {
		t.Run(name, func(t *testing.T) {
			f := sparse
			f.Variants, f.Write, f.MaxSize = nil, nil, 2*mib
			f.WriteWith = write
			formattest.Run(t, f)
		})
	}
}
