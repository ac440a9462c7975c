package qcow2

import (
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/converter/formattest"
)

// extendedSample returns a small file with extended L2 entries of clusters of 16
// KiB, and where the entry of its first cluster is, of which the file has the first
// subcluster.
func extendedSample(t testing.TB) (file []byte, entry int) {
	t.Helper()
	convertertest.Need(t, "qemu-io", "qemu-utils")
	path := filepath.Join(t.TempDir(), "qcow2")
	convertertest.Run(t, "qemu-img", "create", "-f", "qcow2", "-o", "extended_l2=on,cluster_size=16k", path, "64k")
	convertertest.Run(t, "qemu-io", "-f", "qcow2", path, "-c", "write -P 1 0 512")
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	l1 := binary.BigEndian.Uint64(file[40:])
	return file, int(binary.BigEndian.Uint64(file[l1:]) & offsetMask)
}

func TestOpenRefusesUnsoundSubclusters(t *testing.T) {
	sound, entry := extendedSample(t)
	descriptor := binary.BigEndian.Uint64(sound[entry:])
	put := formattest.Patch{Order: binary.BigEndian}.Uint64
	for _, test := range []struct {
		name   string
		change func([]byte)
		want   error // nil: it must open
	}{
		{"nothing", func([]byte) {}, nil},
		{"all allocated", put(entry+8, 1<<32-1), nil},
		{"all zero", put(entry+8, (1<<32-1)<<32), nil},
		{"none", put(entry+8, 0), nil},
		{"data and zeros at once", put(entry+8, 1<<32|1), container.ErrFormat},
		{"data nowhere", put(entry, 0), container.ErrFormat},
		{"a zero cluster of the other kind", put(entry, descriptor|flagZero), container.ErrFormat},
		{"a reserved bit", put(entry, descriptor|2), container.ErrFormat},
		{"compressed, with a bitmap", put(entry, flagCompressed|uint64(entry)), container.ErrFormat},
		{"compressed over a table", func(p []byte) { put(entry, flagCompressed|uint64(entry))(p); put(entry+8, 0)(p) }, container.ErrFormat},
		{"data is the L2 table", put(entry, flagCopied|uint64(entry)), container.ErrFormat},
		{"data outside", put(entry, flagCopied|1<<40), container.ErrFormat},
	} {
		t.Run(test.name, func(t *testing.T) {
			file := slices.Clone(sound)
			test.change(file)
			format.CheckOpen(t, file, test.want)
		})
	}
}
