package qed

import (
	"testing"

	"github.com/cloudlets/cloudlets/converter/formattest"
)

var format = formattest.Format{
	QEMU:    "qed",
	Checked: true,
	Write:   Write,
	Open:    Open,
	Variants: [][]string{
		{"-o", "cluster_size=4096,table_size=4"},
		{"-o", "cluster_size=65536,table_size=16"},
		{"-o", "cluster_size=1M"},
	},
}

func TestContract(t *testing.T) { formattest.Run(t, format) }
