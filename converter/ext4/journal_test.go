package ext4

import (
	"bytes"
	"encoding/binary"
	"os"
	"testing"

	"github.com/cloudlets/cloudlets/image"
)

func TestJournalIsThatOfMke2fs(t *testing.T) {
	o := testOptions()
	o.Size = 300 << 20
	var heads [2][]byte
	for i, path := range []string{planImage(t, image.NewTree(), o), mke2fs(t, o)} {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		journal := parseStat(t, debugfs(t, path, []string{"stat <8>"})[0])
		heads[i] = readAt(t, f, journal.blocks[0].physical*blockSize, 2*blockSize)
	}
	if !bytes.Equal(heads[0], heads[1]) {
		t.Errorf("the journal starts with\n%x, mke2fs writes\n%x", bytes.TrimRight(heads[0], "\x00"), bytes.TrimRight(heads[1], "\x00"))
	}
}

func TestJournalSizesAreThoseOfMke2fs(t *testing.T) {
	for _, size := range []int64{9 << 20, 127 << 20, 128 << 20, 1 << 30, 2<<30 - blockSize, 2 << 30, 17 << 30} {
		o := testOptions()
		o.Size = size
		got, want := summary(t, planImage(t, image.NewTree(), o)), summary(t, mke2fs(t, o))
		if key := "Total journal blocks"; got[key] != want[key] {
			t.Errorf("%d bytes: %s journal blocks, mke2fs makes %s", size, got[key], want[key])
		}
	}
}

func TestSuperblockKeepsACopyOfTheJournalsInode(t *testing.T) {
	o := testOptions()
	o.Size = 300 << 20
	img := planImage(t, everyKind(), o)
	f, err := os.Open(img)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	at := inodeOffset(t, everyKind(), o, journalIno)
	inode := readAt(t, f, at, inodeSize)
	backup := readAt(t, f, superblockOffset+0x10C, 17*4)
	if !bytes.Equal(backup[:inodeBlockSize], inode[inodeBlock:][:inodeBlockSize]) {
		t.Errorf("the backup of i_block is %x, want %x", backup[:inodeBlockSize], inode[inodeBlock:][:inodeBlockSize])
	}
	le := binary.LittleEndian
	if high, low := le.Uint32(backup[60:]), le.Uint32(backup[64:]); high != le.Uint32(inode[inodeSizeHi:]) || low != le.Uint32(inode[inodeSizeLo:]) {
		t.Errorf("the backup of the size is %#x, %#x, want that of the inode", high, low)
	}
}

// inodeOffset returns where an inode of the first group stands.
func inodeOffset(t *testing.T, tree *image.Tree, o Options, ino int64) int64 {
	t.Helper()
	p, err := newPlan(tree, o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.build(); err != nil {
		t.Fatal(err)
	}
	for _, r := range p.regions {
		if r.kind == inodeTableRegion && r.group == 0 {
			return int64(r.start)*blockSize + (ino-1)*inodeSize
		}
	}
	t.Fatal("there is no inode table")
	return 0
}
