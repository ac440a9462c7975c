package qed

import (
	"path/filepath"
	"testing"

	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/extent"
)

func TestWriteRefusesALargerDisk(t *testing.T) { format.CheckLargest(t, maxDisk, ErrTooLarge) }

// A guest must be able to write to the disk: that adds tables and clusters.
func TestQEMUWritesToWhatIsWritten(t *testing.T) {
	convertertest.Need(t, "qemu-io", "qemu-utils")
	var b extent.Builder
	b.Inline([]byte("boot"))
	b.ZeroTo(10 << 30)
	disk, err := b.Build()
	if err != nil {
		t.Fatal(err)
	}
	file, err := Write(disk)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "qed")
	convertertest.WriteFile(t, file, nil, path)
	convertertest.Run(t, "qemu-io", "-f", "qed", path, "-c", "write -P 7 0 1M", "-c", "write -P 8 5G 3M")
	convertertest.Run(t, "qemu-img", "check", "-f", "qed", path)
}
