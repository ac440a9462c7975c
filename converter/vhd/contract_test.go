package vhd

import (
	"testing"

	"github.com/cloudlets/cloudlets/converter/formattest"
	"github.com/cloudlets/cloudlets/extent"
)

func format(opts Options, variants ...[]string) formattest.Format {
	return formattest.Format{
		QEMU:     "vpc",
		Write:    func(disk *extent.Map) (*extent.Map, error) { return Write(disk, opts) },
		Open:     Open,
		Unit:     max(opts.Align, sectorSize),
		Variants: variants,
	}
}

func TestContract(t *testing.T) {
	t.Run("dynamic", func(t *testing.T) {
		formattest.Run(t, format(Options{}, []string{"-o", "subformat=dynamic"}, []string{"-o", "subformat=dynamic,force_size=on"}))
	})
	t.Run("fixed", func(t *testing.T) {
		formattest.Run(t, format(Options{Fixed: true}, []string{"-o", "subformat=fixed"}, []string{"-o", "subformat=fixed,force_size=on"}))
	})
	t.Run("Azure", func(t *testing.T) { formattest.Run(t, format(Options{Fixed: true, Align: AzureAlign})) })
}

func FuzzOpen(f *testing.F) { format(Options{}).Fuzz(f) }
