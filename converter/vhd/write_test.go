package vhd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/extent"
)

const mib, gib = int64(1) << 20, int64(1) << 30

func mustWrite(t convertertest.TB, disk *extent.Map, opts Options) *extent.Map {
	t.Helper()
	file, err := Write(disk, opts)
	if err != nil {
		t.Fatalf("Write: %v", err)
	}
	return file
}

// The geometry is the one that QEMU computes, which is the specification's. QEMU
// makes disks larger until their geometry addresses all that was asked for.
func TestGeometryIsThatOfQEMU(t *testing.T) {
	convertertest.Need(t, "qemu-img", "qemu-utils")
	path := filepath.Join(t.TempDir(), "disk")
	for _, size := range []int64{512, 17 * 512 * 4, mib, 17 * 4 * 1024 * 512, 100 * mib, 17*16*1024*512 - 512, 17 * 16 * 1024 * 512,
		200 * mib, 31*16*1024*512 - 512, 31 * 16 * 1024 * 512, 504 * mib, gib, 20*gib + 512, 65535*16*63*512 - 512,
		65535 * 16 * 63 * 512, 65535*16*63*512 + 512, 100 * gib, 65535 * 16 * 255 * 512, 200 * gib, 2040 * gib} {
		convertertest.Run(t, "qemu-img", "create", "-f", "vpc", path, fmt.Sprint(size))
		p, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		want, err := decodeFooter(p[:footerSize])
		if err != nil {
			t.Fatal(err)
		}
		got := chs(size)
		for more := int64(0); got.size() < size && got.size() < maxGeometry*sectorSize; more += sectorSize {
			got = chs(size + more)
		}
		if got != want.geometry {
			t.Errorf("%d bytes: geometry %v, QEMU has %v", size, got, want.geometry)
		}
	}
}

func TestFooterSaysWhatTheDiskIs(t *testing.T) {
	disk := convertertest.Build(t, func(b *extent.Builder) { b.Inline([]byte("boot")); b.ZeroTo(gib + 512) })
	id := [16]byte{1, 2, 3}
	for _, test := range []struct {
		name     string
		opts     Options
		diskType uint32
		size     int64
		offset   uint64
	}{
		{"dynamic", Options{ID: id}, 3, gib + 512, 512},
		{"fixed", Options{ID: id, Fixed: true}, 2, gib + 512, noOffset},
		{"Azure", Options{ID: id, Fixed: true, Align: AzureAlign}, 2, gib + mib, noOffset},
	} {
		t.Run(test.name, func(t *testing.T) {
			file := mustWrite(t, disk, test.opts)
			tail, err := extent.Slice(file, file.Size()-footerSize, footerSize)
			if err != nil {
				t.Fatal(err)
			}
			got, err := decodeFooter(convertertest.Bytes(t, tail, nil))
			if err != nil {
				t.Fatal(err)
			}
			want := footer{test.diskType, test.offset, "win ", creatorRevision, chs(test.size), uint64(test.size), id}
			if got != want {
				t.Errorf("footer %v, want %v", got, want)
			}
			if test.opts.Fixed && file.Size() != test.size+footerSize {
				t.Errorf("the file has %d bytes", file.Size())
			}
		})
	}
}

func TestEveryDiskHasAnIDOfItsOwn(t *testing.T) {
	id := func(content string, opts Options) [16]byte {
		file := mustWrite(t, convertertest.Build(t, func(b *extent.Builder) { b.Inline([]byte(content)); b.ZeroTo(mib) }), opts)
		f, err := decodeFooter(convertertest.Bytes(t, file, nil)[file.Size()-footerSize:])
		if err != nil {
			t.Fatal(err)
		}
		return f.id
	}
	if id("a", Options{}) == id("b", Options{}) {
		t.Error("two disks have one ID")
	}
	if a := id("a", Options{}); a != id("a", Options{}) || a[6]>>4 != 8 || a[8]>>6 != 2 {
		t.Errorf("ID %x: want the same each time, a UUID of version 8", a)
	}
}

func TestWriteOfASparseDiskIsSmall(t *testing.T) {
	disk := convertertest.Build(t, func(b *extent.Builder) {
		for i := range int64(1000) {
			b.ZeroTo(i * 2 * gib)
			b.Inline([]byte("x"))
		}
		b.ZeroTo(maxSize)
	})
	file := mustWrite(t, disk, Options{})
	// 4 bytes for each of a million blocks, 512 for each of a thousand.
	if file.Memory() > 6*mib {
		t.Errorf("the map of a disk of 2040 GiB takes %d bytes", file.Memory())
	}
	if fixed := mustWrite(t, disk, Options{Fixed: true}); fixed.Memory() > mib {
		t.Errorf("the fixed map takes %d bytes", fixed.Memory())
	}
}

func TestQEMUOpensTheLargestDisk(t *testing.T) {
	convertertest.Need(t, "qemu-img", "qemu-utils")
	path := filepath.Join(t.TempDir(), "disk")
	for _, fixed := range []bool{false, true} {
		disk := convertertest.Build(t, func(b *extent.Builder) { b.ZeroTo(maxSize - 1); b.Inline([]byte("z")) })
		convertertest.WriteFile(t, mustWrite(t, disk, Options{Fixed: fixed}), nil, path)
		info := convertertest.Run(t, "qemu-img", "info", "-f", "vpc", "--output=json", path)
		if want := fmt.Sprintf(`"virtual-size": %d,`, int64(maxSize)); !strings.Contains(info, want) {
			t.Errorf("fixed %v: qemu-img info lacks %s:\n%s", fixed, want, info)
		}
		out := convertertest.Run(t, "qemu-io", "-r", "-f", "vpc", "-c", fmt.Sprintf("read -P 122 %d 1", int64(maxSize-1)), path)
		if strings.Contains(out, "failed") {
			t.Errorf("fixed %v: %s", fixed, out)
		}
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
		{"over 2040 GiB", maxSize + 1, Options{}, true},
		{"fixed over 2040 GiB", maxSize + 1, Options{Fixed: true}, true},
		{"over 2040 GiB once aligned", maxSize - 1, Options{Align: 2000 * gib}, true},
		{"largest map there is", 1<<63 - 1, Options{}, true},
		{"odd alignment", mib, Options{Align: 1000}, false},
		{"negative alignment", mib, Options{Align: -512}, false},
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

// A guest must be able to write to the disk: that moves the footer.
func TestGuestsWriteToTheDisk(t *testing.T) { format(Options{}).CheckGuestWrites(t, gib) }

func BenchmarkWrite(b *testing.B) { format(Options{}).BenchmarkWrite(b) }

// reseal corrects the checksums of a file after it was changed: of its header,
// and of the footers at its start and its end.
func reseal(file []byte) {
	be := binary.BigEndian
	for _, at := range []int{0, len(file) - footerSize} {
		if at >= 0 && len(file) >= footerSize && isFooter(file[at:]) {
			f := file[at : at+footerSize]
			be.PutUint32(f[footerChecksum:], checksum(f, footerChecksum))
		}
	}
	if len(file) >= footerSize+headerSize && string(file[footerSize:footerSize+8]) == headerCookie {
		h := file[footerSize : footerSize+headerSize]
		be.PutUint32(h[headerChecksum:], checksum(h, headerChecksum))
	}
}
