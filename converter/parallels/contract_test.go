package parallels

import (
	"testing"

	"github.com/cloudlets/cloudlets/converter/formattest"
)

var format = formattest.Format{
	QEMU:     "parallels",
	Checked:  true,
	Write:    Write,
	Open:     Open,
	Variants: [][]string{{}, {"-o", "cluster_size=64k"}},
}

func TestContract(t *testing.T) { formattest.Run(t, format) }
