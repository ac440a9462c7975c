package client

import (
	"fmt"
	"slices"
	"testing"

	"github.com/cloudlets/cloudlets/client/lazy"
	"github.com/cloudlets/cloudlets/converter"
	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
)

func TestFilesThatAreReadAtBootAreKnownByTheirNames(t *testing.T) {
	const kernel = "6.1.0-9-amd64"
	for name, c := range map[string]struct {
		size int64
		want bool
	}{
		"boot/vmlinuz-6.1.0-9-amd64":                    {14 << 20, true},
		"boot/vmlinuz-5.10.0-1-amd64":                   {14 << 20, false},
		"boot/initrd.img-6.1.0-9-amd64":                 {30 << 20, true},
		"boot/initramfs-6.1.0-9-amd64.img":              {30 << 20, true},
		"usr/lib/x86_64-linux-gnu/libc.so.6":            {2 << 20, true},
		"usr/lib64/libc.so.6":                           {2 << 20, true},
		"usr/lib/x86_64-linux-gnu/libLLVM.so.15":        {100 << 20, false},
		"usr/lib/x86_64-linux-gnu/libtiny.so.1":         {10 << 10, true},
		"usr/lib/x86_64-linux-gnu/perl/5.36/libtiny.so": {10 << 10, false},
		"etc/fstab":                    {100, true},
		"etc/ssh/sshd_config.d/x.conf": {100, true},
		"etc/large":                    {1 << 20, false},
		"usr/lib/modules/6.1.0-9-amd64/modules.dep.bin":        {100, true},
		"usr/lib/modules/6.1.0-9-amd64/kernel/fs/fuse/fuse.ko": {100, true},
		"usr/lib/modules/6.1.0-9-amd64/kernel/fs/nfs/nfs.ko":   {100, false},
		"usr/lib/systemd/system/a.service.d/b.conf":            {100, true},
		"usr/lib/tmpfiles.d/a.conf":                            {100, true},
		"usr/bin/bash":                                         {1 << 20, true},
		"bin/bash":                                             {1 << 20, true},
		"usr/bin/python3":                                      {6 << 20, false},
		"home/etc/fstab":                                       {100, false},
	} {
		if got := rowAtBoot(name, kernel, c.size) >= 0; got != c.want {
			t.Errorf("%s of %d bytes: %v", name, c.size, got)
		}
	}
	if rowAtBoot("boot/vmlinuz-$kernel", "", 1) != 0 || rowAtBoot("boot/vmlinuz-", "", 1) != -1 {
		t.Error("without a kernel")
	}
}

// guessTree is a rootfs of n files in /etc, of 100 bytes, a kernel, and a file of
// other bytes.
func guessTree(t *testing.T, n int, other int64) *image.Tree {
	t.Helper()
	tree := &image.Tree{Root: &image.Inode{Mode: image.TypeDir}}
	off := int64(0)
	add := func(dir *image.Inode, name string, size int64) {
		dir.Link(name, &image.Inode{Mode: image.TypeRegular, Order: off,
			Content: []extent.Extent{{Kind: extent.Source, Digest: "sha256:l", Offset: off, Length: size}}})
		off += size
	}
	etc, boot := &image.Inode{Mode: image.TypeDir}, &image.Inode{Mode: image.TypeDir}
	tree.Root.Link("etc", etc)
	tree.Root.Link("boot", boot)
	for i := range n {
		add(etc, fmt.Sprintf("file%02d", n-i), 100)
	}
	add(boot, "vmlinuz-6.1", 5000)
	add(tree.Root, "other", other)
	return tree
}

func TestAGuessListsTheKernelFirstAndThenAShareOfTheImage(t *testing.T) {
	r := Rendered{images: []*Image{{Tree: guessTree(t, 10, 100000)}}, Output: converter.Output{}}
	r.Report.Kernels = []string{"6.1"}
	got := r.GuessTrace()
	if want := []lazy.Range{{0, 1000, 5000}, {0, 0, 1000}}; !slices.Equal(got.Ranges, want) {
		t.Errorf("listed %v, want %v: the kernel, and then the files in the order of their layer", got.Ranges, want)
	}
	r.images[0].Tree = guessTree(t, 10, 0)
	share := int64(6000 / guessShare)
	if got := r.GuessTrace(); len(got.Ranges) != 2 || got.Ranges[1][2] > share || got.Ranges[1][2] < share-100 {
		t.Errorf("listed %v, want no more than %d bytes of the files", got.Ranges, share)
	}
	if got := (Rendered{images: []*Image{{}}}).GuessTrace(); len(got.Ranges) != 0 {
		t.Errorf("listed %v of a disk", got.Ranges)
	}
}
