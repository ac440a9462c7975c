package vmdk

import (
	"testing"

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
