package formattest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/extent"
)

// CheckGuestWrites has QEMU write to a disk of size bytes, as a guest does: that
// adds grains and tables to its file, which must be sound and the right disk
// afterwards. The file has little content, however large the disk.
func (f Format) CheckGuestWrites(t *testing.T, size int64) {
	t.Helper()
	convertertest.Need(t, "qemu-io", "qemu-utils")
	disk := convertertest.Build(t, func(b *extent.Builder) { b.Inline([]byte("boot")); b.ZeroTo(size) })
	path := filepath.Join(t.TempDir(), "disk")
	convertertest.WriteFile(t, f.write(t, disk, nil), nil, path)
	middle := size / 2
	convertertest.Run(t, "qemu-io", "-f", f.QEMU, path, "-c", "write -P 7 1M 1M", "-c", fmt.Sprintf("write -P 8 %d 3M", middle))
	if f.Checked {
		convertertest.Run(t, "qemu-img", "check", "-f", f.QEMU, path)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	opened, err := f.Open(bytes.NewReader(file), int64(len(file)), Source)
	if err != nil {
		t.Fatal(err)
	}
	r := opened.NewReader(t.Context(), Source, convertertest.Blob(file))
	defer func() { _ = r.Close() }()
	if r.Size() != size {
		t.Errorf("the disk has %d bytes, want %d", r.Size(), size)
	}
	for at, want := range map[int64]string{0: "boot\x00", mib - 1: "\x00\x07", 2*mib - 1: "\x07\x00", middle - 1: "\x00\x08", middle + 3*mib - 1: "\x08\x00"} {
		got := make([]byte, len(want))
		if err := container.ReadFull(r, got, at); err != nil || string(got) != want {
			t.Errorf("at %d of the disk: %q, %v; want %q", at, got, err, want)
		}
	}
}
