package ext4

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/cloudlets/cloudlets/image"
)

func TestPlanHoldsExtendedAttributes(t *testing.T) {
	capability := []byte("\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00")
	var many []image.Xattr
	for i := range 60 {
		many = append(many, image.Xattr{Name: fmt.Sprintf("user.%02d", i), Value: []byte(strings.Repeat("v", i))})
	}
	dir := directoryInode()
	dir.Xattrs = []image.Xattr{
		{Name: "system.posix_acl_access", Value: fullACL()},
		{Name: "system.posix_acl_default", Value: fullACL()},
	}
	tree := treeOf(map[string]*image.Inode{
		"capability":  withXattrs(regular(), image.Xattr{Name: "security.capability", Value: capability}),
		"selinux":     withXattrs(regular(), image.Xattr{Name: "security.selinux", Value: []byte("system_u:object_r:bin_t:s0\x00")}),
		"fills inode": withXattrs(regular(), image.Xattr{Name: "user.abcd", Value: bytes.Repeat([]byte("i"), xattrInodeRoom-xattrEntrySize-4)}),
		"just over":   withXattrs(regular(), image.Xattr{Name: "user.abcd", Value: bytes.Repeat([]byte("o"), xattrInodeRoom-xattrEntrySize-3)}),
		"fills block": withXattrs(regular(), image.Xattr{Name: "user.abcd", Value: bytes.Repeat([]byte("b"), xattrBlockRoom-xattrEntrySize-4)}),
		"fills both": withXattrs(regular(),
			image.Xattr{Name: "trusted.t", Value: bytes.Repeat([]byte("i"), xattrInodeRoom-xattrEntrySize-4)},
			image.Xattr{Name: "user.abcd", Value: bytes.Repeat([]byte("b"), xattrBlockRoom-xattrEntrySize-4)}),
		"many":       withXattrs(regular(), many...),
		"empty":      withXattrs(regular(), image.Xattr{Name: "user.empty"}, image.Xattr{Name: "user.full", Value: []byte{0}}),
		"long name":  withXattrs(regular(), image.Xattr{Name: "user." + strings.Repeat("n", 250), Value: []byte("v")}),
		"high name":  withXattrs(regular(), image.Xattr{Name: "user.\xc3\xa9t\xc3\xa9", Value: bytes.Repeat([]byte("\xff"), 200)}),
		"acl":        withXattrs(regular(), image.Xattr{Name: "system.posix_acl_access", Value: fullACL()}),
		"acl dir":    dir,
		"link":       withXattrs(symlink("target"), image.Xattr{Name: "trusted.link", Value: []byte("x")}),
		"slow link":  withXattrs(symlink(strings.Repeat("t", 100)), image.Xattr{Name: "trusted.link", Value: bytes.Repeat([]byte("x"), 1000)}),
		"device":     withXattrs(device(image.TypeChar, 1, 3), image.Xattr{Name: "trusted.dev", Value: bytes.Repeat([]byte("x"), 1000)}),
		"fifo":       withXattrs(&image.Inode{Mode: image.TypeFIFO}, image.Xattr{Name: "security.x", Value: bytes.Repeat([]byte("x"), 90)}),
		"with data":  withXattrs(regular(sourceExtent(0, 100_000)), image.Xattr{Name: "user.x", Value: bytes.Repeat([]byte("x"), 90)}),
		"fast block": withXattrs(symlink(strings.Repeat("f", 59)), image.Xattr{Name: "security.x", Value: bytes.Repeat([]byte("x"), 900)}),
	})
	for name, without := range map[string]Feature{"with checksums": 0, "without": MetadataChecksum} {
		t.Run(name, func(t *testing.T) {
			o := testOptions()
			o.Without = without
			img := planImage(t, tree, o)
			mustCheck(t, img)
			mustHold(t, img, tree)
		})
	}
}

func TestACLIsTranslatedToTheFormOnDisk(t *testing.T) {
	got, err := diskACL(fullACL())
	if err != nil {
		t.Fatal(err)
	}
	want := "01000000" + "01000600" + "02000400e8030000" + "04000400" + "0800060070110100" + "10000600" + "20000400"
	if hex.EncodeToString(got) != want {
		t.Errorf("ACL on disk is %x, want %s", got, want)
	}
}

// The kernel shares attribute blocks whose hashes are equal. These are the ones
// that Linux 6.18 wrote for the same attributes.
func TestXattrHashesAreThoseOfTheKernel(t *testing.T) {
	enc, err := encodeXattrs([]image.Xattr{
		{Name: "user.a", Value: bytes.Repeat([]byte("a"), 101)},
		{Name: "user.b", Value: bytes.Repeat([]byte("b"), 202)},
	})
	if err != nil {
		t.Fatal(err)
	}
	le := binary.LittleEndian
	for name, c := range map[string]struct {
		at   int
		want uint32
	}{
		"block":        {xattrHashOffset, 0x61030303},
		"first entry":  {xattrHeaderBlock + 12, 0x61616161},
		"second entry": {xattrHeaderBlock + xattrEntrySize + 4 + 12, 0x00626262},
	} {
		if got := le.Uint32(enc.block[c.at:]); got != c.want {
			t.Errorf("hash of the %s: %#x, want %#x", name, got, c.want)
		}
	}
}

func TestXattrsAreSortedForTheKernel(t *testing.T) {
	attrs := []image.Xattr{
		{Name: "security.z", Value: make([]byte, 100)},
		{Name: "trusted.a", Value: make([]byte, 100)},
		{Name: "user.aaa", Value: make([]byte, 100)},
		{Name: "user.b", Value: make([]byte, 100)},
	}
	enc, err := encodeXattrs(attrs)
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for at := xattrHeaderBlock; enc.block[at] != 0; {
		n := int(enc.block[at])
		order = append(order, fmt.Sprintf("%d.%s", enc.block[at+1], enc.block[at+xattrEntrySize:][:n]))
		at += xattrEntrySize + (n+3)&^3
	}
	if got, want := strings.Join(order, " "), "1.b 1.aaa 4.a 6.z"; got != want {
		t.Errorf("order %s, want %s", got, want)
	}
}
