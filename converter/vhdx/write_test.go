package vhdx

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/extent"
)

const gib = int64(1) << 30

func write(t convertertest.TB, disk *extent.Map, opts Options) *extent.Map {
	t.Helper()
	file, err := Write(disk, opts)
	if err != nil {
		t.Fatalf("Write: %v", err)
	}
	return file
}

// Behind the first chunk, the bitmaps' entries move those of the blocks.
func TestQEMUReadsDisksOfManyChunks(t *testing.T) {
	convertertest.Need(t, "qemu-io", "qemu-utils")
	path := filepath.Join(t.TempDir(), "disk")
	for _, blockSize := range []int64{0, mib, 32 * mib, maxBlockSize} {
		for _, fixed := range []bool{false, true} {
			size := 70 * gib
			disk := convertertest.Build(t, func(b *extent.Builder) {
				for i := range size / (2 * gib) {
					b.Inline([]byte{byte(i + 1)})
					b.ZeroTo((i + 1) * 2 * gib)
				}
			})
			convertertest.WriteFile(t, write(t, disk, Options{BlockSize: blockSize, Fixed: fixed}), nil, path)
			convertertest.Run(t, "qemu-img", "check", "-f", "vhdx", path)
			args := []string{"-r", "-f", "vhdx", path}
			for i := range size / (2 * gib) {
				args = append(args, "-c", fmt.Sprintf("read -P %d %d 1", i+1, i*2*gib), "-c", fmt.Sprintf("read -P 0 %d 4k", (i+1)*2*gib-4096))
			}
			convertertest.Run(t, "qemu-io", args...)
		}
	}
}

func TestWriteSaysWhatItIs(t *testing.T) {
	convertertest.Need(t, "qemu-img", "qemu-utils")
	path := filepath.Join(t.TempDir(), "disk")
	for _, size := range []int64{512, gib, maxSize} {
		convertertest.WriteFile(t, write(t, convertertest.Build(t, func(b *extent.Builder) { b.Zero(size) }), Options{}), nil, path)
		var info struct {
			VirtualSize int64  `json:"virtual-size"`
			ClusterSize int64  `json:"cluster-size"`
			Format      string `json:"format"`
		}
		if err := json.Unmarshal([]byte(convertertest.Run(t, "qemu-img", "info", "--output=json", path)), &info); err != nil {
			t.Fatal(err)
		}
		got := fmt.Sprint(info.Format, info.VirtualSize, info.ClusterSize)
		if want := fmt.Sprint("vhdx", size, defaultBlockSize(size)); got != want {
			t.Errorf("qemu-img info says %s, want %s", got, want)
		}
	}
}

func TestDefaultBlockSizeKeepsTheTableSmall(t *testing.T) {
	for size, want := range map[int64]int64{0: mib, gib: mib, 1 << 40: mib, 1<<40 + 512: 2 * mib, maxSize: 64 * mib} {
		if got := defaultBlockSize(size); got != want {
			t.Errorf("%d bytes: blocks of %d, want %d", size, got, want)
		}
	}
}

func TestWriteOfASparseDiskIsSmall(t *testing.T) {
	disk := convertertest.Build(t, func(b *extent.Builder) {
		for i := range int64(1000) {
			b.ZeroTo(i * 60 * gib)
			b.Inline([]byte("x"))
		}
		b.ZeroTo(maxSize)
	})
	for _, opts := range []Options{{}, {BlockSize: mib}} {
		if file := write(t, disk, opts); file.Memory() > mib {
			t.Errorf("the map of a disk of 64 TiB takes %d bytes", file.Memory())
		}
	}
	if file := write(t, disk, Options{Fixed: true}); file.Memory() > 20*mib {
		t.Errorf("the fixed map takes %d bytes", file.Memory())
	}
}

func TestWriteRefuses(t *testing.T) {
	sparse := func(size int64) *extent.Map { return convertertest.Build(t, func(b *extent.Builder) { b.Zero(size) }) }
	tests := []struct {
		name     string
		size     int64
		opts     Options
		tooLarge bool
	}{
		{"over 64 TiB", maxSize + 1, Options{}, true},
		{"largest map there is", 1<<63 - 1, Options{}, true},
		{"blocks of 512 KiB", mib, Options{BlockSize: mib / 2}, false},
		{"blocks of 3 MiB", mib, Options{BlockSize: 3 * mib}, false},
		{"blocks of 512 MiB", mib, Options{BlockSize: 512 * mib}, false},
		{"negative blocks", mib, Options{BlockSize: -mib}, false},
		{"fixed with a parent", mib, Options{Fixed: true, Parent: &container.Base{Map: sparse(mib)}}, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := Write(sparse(test.size), test.opts)
			if err == nil || errors.Is(err, ErrTooLarge) != test.tooLarge {
				t.Errorf("error %v: ErrTooLarge is wanted: %v", err, test.tooLarge)
			}
		})
	}
}

// A guest must be able to write to the disk: that uses the log.
func TestGuestsWriteToTheDisk(t *testing.T) { format(Options{}).CheckGuestWrites(t, 200*mib) }

func BenchmarkWrite(b *testing.B) { format(Options{}).BenchmarkWrite(b) }
