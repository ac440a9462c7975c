package qcow2

import (
	"bytes"
	"encoding/binary"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/cloudlets/cloudlets/converter/container"
	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/converter/formattest"
	"github.com/cloudlets/cloudlets/extent"
)

// over returns the format with files over parents.
func over(opts Options) formattest.Format {
	f := format
	f.WriteOver = func(disk *extent.Map, parent *container.Base) (*extent.Map, error) {
		opts := opts
		opts.Parent = parent
		return Write(disk, opts)
	}
	return f
}

func TestFilesOverParentsKeepTheContract(t *testing.T) {
	for name, opts := range map[string]Options{
		"512 bytes": {ClusterSize: 512}, "1 MiB": {ClusterSize: 1 << 20},
	} {
		t.Run(name, func(t *testing.T) { over(opts).CheckParent(t) })
	}
}

// drawOver draws a disk and a parent, and writes the parent to a file.
func drawOver(t *rapid.T, dir string) (disk, parent *extent.Map, blobs convertertest.Blobs) {
	blobs = convertertest.Blobs{}
	parent = convertertest.DrawMap(t, blobs, 4*mib)
	off := rapid.Int64Range(0, parent.Size()).Draw(t, "change at")
	disk, err := extent.Overlay(parent, off, convertertest.DrawMap(t, blobs, 1<<18))
	if err != nil {
		t.Fatal(err)
	}
	shorter := rapid.Int64Range(0, min(disk.Size(), 1<<16)).Draw(t, "shorter by")
	disk, err = extent.Slice(disk, 0, disk.Size()-shorter)
	if err != nil {
		t.Fatal(err)
	}
	parent = convertertest.Build(t, func(b *extent.Builder) { // QEMU rounds files down to sectors
		b.Map(parent)
		b.ZeroTo(container.AlignUp(parent.Size(), sectorSize))
	})
	convertertest.WriteFile(t, parent, blobs, filepath.Join(dir, "parent"))
	convertertest.WriteFile(t, disk, blobs, filepath.Join(dir, "disk"))
	return disk, parent, blobs
}

// What an operator does: name the file of the parent, then use the overlay.
func TestQEMUReadsFilesOverTheirParents(t *testing.T) {
	convertertest.Need(t, "qemu-img", "qemu-utils")
	dir := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		disk, parent, blobs := drawOver(t, dir)
		version := rapid.IntRange(2, 3).Draw(t, "version")
		file, err := over(Options{Version: version}).WriteOver(disk, formattest.Base(t, disk, parent, blobs))
		if err != nil {
			t.Fatal(err)
		}
		path, base := filepath.Join(dir, "over.qcow2"), filepath.Join(dir, "parent")
		convertertest.WriteFile(t, file, blobs, path)
		format := "raw"
		if rapid.Bool().Draw(t, "the parent is a qcow2") {
			format, base = "qcow2", filepath.Join(dir, "parent.qcow2")
			convertertest.Run(t, "qemu-img", "convert", "-f", "raw", "-O", "qcow2", filepath.Join(dir, "parent"), base)
		}
		convertertest.Run(t, "qemu-img", "rebase", "-u", "-f", "qcow2", "-F", format, "-b", base, path)
		convertertest.Run(t, "qemu-img", "check", "-f", "qcow2", path)
		convertertest.Run(t, "qemu-img", "compare", "-f", "raw", "-F", "qcow2", filepath.Join(dir, "disk"), path)
	})
}

// QEMU opens nothing by the name that stands in a file.
func TestQEMUKnowsTheParentByItsDigestAlone(t *testing.T) {
	convertertest.Need(t, "qemu-img", "qemu-utils")
	blobs := convertertest.Blobs{}
	parent := pieces(t, blobs.Add(bytes.Repeat([]byte("content "), 1<<15)), 20)
	disk, err := extent.Overlay(parent, mib, convertertest.Build(t, func(b *extent.Builder) { b.Zero(mib) }))
	if err != nil {
		t.Fatal(err)
	}
	base := formattest.Base(t, disk, parent, blobs)
	path := filepath.Join(t.TempDir(), "over.qcow2")
	file := write(t, disk, Options{Parent: base})
	convertertest.WriteFile(t, file, blobs, path)
	info := convertertest.Run(t, "qemu-img", "info", "-f", "qcow2", path)
	for _, want := range []string{"backing file: " + string(base.Digest), "backing file format: raw"} {
		if !strings.Contains(info, want) {
			t.Errorf("qemu-img info does not say %q:\n%s", want, info)
		}
	}
	if _, err := convertertest.Try("qemu-img", "convert", "-f", "qcow2", "-O", "raw", path, path+".raw"); err == nil || !strings.Contains(err.Error(), "Unknown protocol 'sha256'") {
		t.Errorf("qemu-img read it without its parent: %v", err)
	}
	if data := file.DataSize(); data > mib {
		t.Errorf("a mebibyte of zeros makes %d bytes of data", data)
	}
}

// A disk over a backing file as a guest leaves it: written, zeroed, discarded,
// enlarged, with snapshots and compressed clusters.
func TestOpenOverReadsWhatQEMUWrites(t *testing.T) {
	convertertest.Need(t, "qemu-io", "qemu-utils")
	for _, compat := range []string{"compat=0.10", "compat=1.1", "compat=1.1,cluster_size=512", "compat=1.1,cluster_size=2M,compression_type=zstd",
		"extended_l2=on", "extended_l2=on,cluster_size=2M"} {
		for _, size := range []string{"10M", "30M"} {
			t.Run(compat+", "+size, func(t *testing.T) {
				dir := t.TempDir()
				base, path, raw := filepath.Join(dir, "base"), filepath.Join(dir, "qcow2"), filepath.Join(dir, "raw")
				rawDisk(t, base)
				parent := readFile(t, base)
				convertertest.Run(t, "qemu-img", "create", "-f", "qcow2", "-o", compat, "-b", base, "-F", "raw", path, size)
				args := []string{"-f", "qcow2", "-d", "unmap", path}
				for _, c := range []string{"write -P 1 1M 300k", "write -z 3M 1M", "write -c -P 7 6M 2M", "write -P 2 4000000 512", "discard 1M 64k", "write -z -u 9M 512k", "write -P 3 8M 3k", "write -z 8390656 4k"} {
					args = append(args, "-c", c)
				}
				convertertest.Run(t, "qemu-io", args...)
				convertertest.Run(t, "qemu-img", "convert", "-f", "qcow2", "-O", "raw", path, raw)
				p := container.Parent{Digest: "sha256:parent", Size: int64(len(parent))}
				file := readFile(t, path)
				disk, err := OpenOver(bytes.NewReader(file), int64(len(file)), fileDigest, container.GivenParent(p))
				if err != nil {
					t.Fatal(err)
				}
				blobs := disk.Blobs(fileDigest, convertertest.Blob(file))
				blobs[p.Digest] = convertertest.Blob(parent)
				if !bytes.Equal(convertertest.Bytes(t, disk.Map, blobs), readFile(t, raw)) {
					t.Error("the disk differs from what QEMU reads")
				}
			})
		}
	}
}

func TestOpenOverRefusesHostileNames(t *testing.T) {
	blobs := convertertest.Blobs{}
	disk := convertertest.Build(t, func(b *extent.Builder) { b.Inline(bytes.Repeat([]byte("a"), 4096)) })
	base := formattest.Base(t, disk, &extent.Map{}, blobs)
	sound := convertertest.Bytes(t, write(t, disk, Options{Parent: base, ClusterSize: 512}), blobs)
	at := int(binary.BigEndian.Uint64(sound[backingOffset:]))
	named := func(name string) func([]byte) {
		return func(p []byte) {
			copy(p[at:512], make([]byte, 512))
			copy(p[at:512], name)
			binary.BigEndian.PutUint32(p[backingLength:], uint32(len(name)))
		}
	}
	put32, put64 := formattest.Patch{Order: binary.BigEndian}.Uint32, formattest.Patch{Order: binary.BigEndian}.Uint64
	tests := []struct {
		name   string
		change func([]byte)
		want   error
	}{
		{"a file", named("base.qcow2"), nil},
		{"a path", named("/etc/shadow"), nil},
		{"json", named(`json:{"driver":"raw","file.filename":"/etc/shadow"}`), container.ErrUnsupported},
		{"a server", named("nbd://127.0.0.1/disk"), container.ErrUnsupported},
		{"another disk", named("sha256:" + strings.Repeat("0", 64)), container.ErrUnsupported},
		{"control characters", named("base\n.qcow2"), container.ErrUnsupported},
		{"no name", put32(backingLength, 0), container.ErrFormat},
		{"a long name", put32(backingLength, 1024), container.ErrFormat},
		{"a name of 4 GiB", put32(backingLength, 1<<32-1), container.ErrFormat},
		{"a name beyond the first cluster", put64(backingOffset, 512), container.ErrFormat},
		{"a name at the end of the first cluster", put64(backingOffset, 450), container.ErrFormat},
		{"a name beyond everything", put64(backingOffset, 1<<63), container.ErrFormat},
		{"a name in the header", put64(backingOffset, 72), container.ErrUnsupported},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			file := slices.Clone(sound)
			test.change(file)
			find := container.GivenParent(container.Parent{Digest: base.Digest})
			_, err := OpenOver(bytes.NewReader(file), int64(len(file)), fileDigest, find)
			if !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
				t.Errorf("error %v, want %v", err, test.want)
			}
		})
	}
}

func TestFilesOverParentsAreNotCompressed(t *testing.T) {
	disk := convertertest.Build(t, func(b *extent.Builder) { b.Zero(mib) })
	blobs := convertertest.Blobs{}
	_, err := WriteCompressed(t.Context(), disk, blobs, blobs, Zlib, Options{Parent: formattest.Base(t, disk, disk, blobs)})
	if err == nil || !strings.Contains(err.Error(), "not compressed") {
		t.Errorf("got %v", err)
	}
}

// FuzzOpenOver reads a file of small clusters, some of which are the parent's.
func FuzzOpenOver(f *testing.F) {
	disk := convertertest.Build(f, func(b *extent.Builder) {
		b.Inline(bytes.Repeat([]byte("parent!\n"), 64))
		b.Inline(bytes.Repeat([]byte("changed\n"), 64))
		b.Zero(512)
		b.Inline(bytes.Repeat([]byte("parent!\n"), 192))
	})
	over(Options{ClusterSize: 512}).FuzzOver(f, disk, nil)
}
