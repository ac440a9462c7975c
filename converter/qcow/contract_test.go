package qcow

import (
	"testing"

	"github.com/cloudlets/cloudlets/converter/formattest"
)

var format = formattest.Format{
	QEMU:     "qcow",
	Write:    Write,
	Open:     Open,
	Variants: [][]string{{}},
	MaxSize:  2 << 20, // of clusters of 4 KiB
}

func TestContract(t *testing.T) { formattest.Run(t, format) }
