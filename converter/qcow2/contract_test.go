package qcow2

import (
	"testing"

	"github.com/cloudlets/cloudlets/converter/formattest"
	"github.com/cloudlets/cloudlets/extent"
)

var format = formattest.Format{
	QEMU:    "qcow2",
	Checked: true,
	Write:   func(disk *extent.Map) (*extent.Map, error) { return Write(disk, Options{}) },
	Open:    Open,
	Variants: [][]string{
		{"-o", "compat=0.10"},
		{"-o", "compat=1.1,lazy_refcounts=on"},
	},
}

func TestContract(t *testing.T) { formattest.Run(t, format) }
