package ext4

import (
	"encoding/binary"
	"fmt"
	"sort"

	"github.com/cloudlets/cloudlets/converter/container"
)

// A journal that was not played back (ext4 doc, "Journal (jbd2)"): transactions,
// each of descriptor blocks that say where the blocks behind them belong, blocks
// that revoke what earlier transactions wrote, and a commit block.
const (
	journalHeaderSize   = 12 // magic number, type, sequence; in front of all but copies
	journalDescriptor   = 1
	journalCommit       = 2
	journalSuperblockV1 = 3
	journalRevoke       = 5
	journalSumAt        = 0xFC // in the superblock
	journalCommitSumAt  = 16
	journalTailSize     = 4 // the checksum that ends descriptors and revocations
	journalRevokeHeader = 16
	journalUUIDSize     = 16
	journalMagicBytes   = "\xc0\x3b\x39\x98" // what the copy of a block that begins so lacks

	journalHasRevoke  = 0x1
	journalHas64Bit   = 0x2
	journalHasAsync   = 0x4 // commits that were not waited for: their checksums tell
	journalHasSumsV2  = 0x8
	journalHasSumsV3  = 0x10
	journalHasFast    = 0x20
	journalReadsThese = journalHasRevoke | journalHas64Bit | journalHasAsync | journalHasSumsV2 | journalHasSumsV3

	tagEscaped  = 1
	tagSameUUID = 2
	tagLast     = 8
)

// replayedBlock is where the newest version of a block stands in the journal.
// An escaped one lacks its first bytes, journalMagicBytes.
type replayedBlock struct {
	at      uint64
	escaped bool
}

// transaction is what was committed together.
type transaction struct {
	sequence uint32
	blocks   []loggedBlock
	revoked  []uint64
}

// loggedBlock is a block of a transaction and where it belongs.
type loggedBlock struct {
	target uint64
	replayedBlock
}

// replayJournal finds the newest committed versions of blocks, where the journal
// was not played back. Then the superblock is read again.
func (r *reader) replayJournal() error {
	if r.Compat&compatHasJournal == 0 || r.Incompat&incompatRecover == 0 {
		return nil
	}
	if r.JournalInode == 0 {
		return fmt.Errorf("%w: it is on another device and was not played back; run e2fsck on the filesystem where both are", container.ErrUnsupported)
	}
	log, err := r.openJournal()
	if err != nil {
		return err
	}
	transactions, err := log.scan()
	if err != nil {
		return err
	}
	r.replay(transactions)
	r.cache = [cachedBlocks]cachedBlock{}
	clear(r.tables)
	home := superblockOffset / r.blockSize
	if _, moved := r.replayed[uint64(home)]; !moved {
		return nil
	}
	b, err := r.block(uint64(home))
	if err != nil {
		return err
	}
	return r.decodeSuperblock(b[superblockOffset%r.blockSize:][:superblockSize])
}

// replay notes the newest version of each block, unless it was revoked later.
func (r *reader) replay(transactions []transaction) {
	revoked := make(map[uint64]int)
	for i, t := range transactions {
		for _, number := range t.revoked {
			revoked[number] = i
		}
	}
	r.replayed = make(map[uint64]replayedBlock)
	for i, t := range transactions {
		for _, b := range t.blocks {
			if last, ok := revoked[b.target]; !ok || last < i {
				r.replayed[b.target] = b.replayedBlock
			}
		}
	}
}

// journalReader reads a journal.
type journalReader struct {
	*reader
	runs     []blockRun
	first    uint64 // the first block of the log, which wraps
	length   uint64 // of the journal, in blocks
	start    uint64 // where the log begins; 0 is an empty log
	sequence uint32 // of the first transaction
	incompat uint32
	sums     checksummer
}

func (r *reader) openJournal() (*journalReader, error) {
	n, err := r.inode(r.JournalInode)
	if err != nil {
		return nil, fmt.Errorf("inode %d: %w", r.JournalInode, err)
	}
	runs, err := r.contentRuns(n)
	if err != nil {
		return nil, fmt.Errorf("inode %d: %w", r.JournalInode, err)
	}
	j := &journalReader{reader: r, runs: runs, length: 1}
	b, _, err := j.logged(0)
	if err != nil {
		return nil, err
	}
	if err := j.superblock(b, n.size/uint64(r.blockSize)); err != nil {
		return nil, fmt.Errorf("superblock: %w", err)
	}
	return j, nil
}

// superblock reads the journal's superblock. The journal has blocks at most.
func (j *journalReader) superblock(b []byte, blocks uint64) error {
	be := binary.BigEndian
	kind := be.Uint32(b[4:])
	if be.Uint32(b) != journalMagic || kind != journalSuperblockV1 && kind != journalSuperblockV2 {
		return fmt.Errorf("%w: it has the magic number %#08x and the type %d, want %#08x and %d", container.ErrFormat, be.Uint32(b), kind, uint32(journalMagic), journalSuperblockV2)
	}
	if got := int64(be.Uint32(b[0x0C:])); got != j.blockSize {
		return fmt.Errorf("%w: blocks of %d bytes, want those of the filesystem, %d", container.ErrFormat, got, j.blockSize)
	}
	j.length, j.first = uint64(be.Uint32(b[0x10:])), uint64(be.Uint32(b[0x14:]))
	j.sequence, j.start = be.Uint32(b[0x18:]), uint64(be.Uint32(b[0x1C:]))
	if j.length > blocks || j.first == 0 || j.first >= j.length || j.start >= j.length || j.start != 0 && j.start < j.first {
		return fmt.Errorf("%w: the log is in blocks %d to %d and begins at %d, in a journal of %d", container.ErrFormat, j.first, j.length, j.start, blocks)
	}
	if kind == journalSuperblockV2 {
		j.incompat = be.Uint32(b[0x28:])
	}
	if unknown := j.incompat &^ journalReadsThese; unknown != 0 {
		return fmt.Errorf("%w: the journal has the features %#x and was not played back (%#x is fast_commit); mount the filesystem once, or run e2fsck on it", container.ErrUnsupported, unknown, journalHasFast)
	}
	j.sums = newChecksummer([16]byte(b[journalUUIDOffset:]), j.incompat&(journalHasSumsV2|journalHasSumsV3) == 0)
	if got, want := j.sums.without(^uint32(0), b[:superblockSize], journalSumAt), be.Uint32(b[journalSumAt:]); !j.sums.off && got != want {
		return sumError("it", got, want)
	}
	return nil
}

// logged returns a block of the journal, and where in the filesystem it stands.
func (j *journalReader) logged(index uint64) ([]byte, uint64, error) {
	i := sort.Search(len(j.runs), func(i int) bool { return j.runs[i].logical+j.runs[i].count > index })
	if i == len(j.runs) || index < j.runs[i].logical {
		return nil, 0, fmt.Errorf("%w: block %d of the journal is a hole", container.ErrFormat, index)
	}
	number := j.runs[i].physical + index - j.runs[i].logical
	b, err := j.block(number)
	return b, number, err
}

// next returns the block of the log after another.
func (j *journalReader) next(index uint64) uint64 {
	if index++; index < j.length {
		return index
	}
	return j.first
}

// scan returns the transactions that were committed. The log ends where a block
// is not of the transaction that is expected.
func (j *journalReader) scan() ([]transaction, error) {
	if j.start == 0 {
		return nil, nil
	}
	var done []transaction
	t := transaction{sequence: j.sequence}
	be := binary.BigEndian
	at := j.start
	for read := uint64(0); read < j.length; {
		b, _, err := j.logged(at)
		if err != nil {
			return nil, err
		}
		if be.Uint32(b) != journalMagic || be.Uint32(b[8:]) != t.sequence {
			break
		}
		here := at
		at = j.next(at)
		read++
		switch kind := be.Uint32(b[4:]); kind {
		case journalDescriptor:
			before := len(t.blocks)
			if at, err = j.descriptor(&t, b, at); err == nil && uint64(len(t.blocks)-before) > j.length-read {
				err = fmt.Errorf("%w: it has more blocks than the journal", container.ErrFormat)
			}
			read += uint64(len(t.blocks) - before)
		case journalRevoke:
			err = j.revocation(&t, b)
		case journalCommit:
			if !j.sums.off && j.sums.without(j.sums.seed, b, journalCommitSumAt) != be.Uint32(b[journalCommitSumAt:]) {
				return done, nil // it was being written when the machine stopped
			}
			done = append(done, t)
			t = transaction{sequence: t.sequence + 1}
		default:
			err = fmt.Errorf("%w: it has the unknown type %d", container.ErrFormat, kind)
		}
		if err != nil {
			return nil, fmt.Errorf("block %d of the journal: %w", here, err)
		}
	}
	return done, nil
}

// checkTail checks the checksum that ends a descriptor or a revocation, and
// returns what is in front of it.
func (j *journalReader) checkTail(b []byte) ([]byte, error) {
	if j.sums.off {
		return b, nil
	}
	end := len(b) - journalTailSize
	if got, want := j.sums.without(j.sums.seed, b, end), binary.BigEndian.Uint32(b[end:]); got != want {
		return nil, sumError("it", got, want)
	}
	return b[:end], nil
}

// descriptor adds the blocks that follow a descriptor, from at on, to a
// transaction, and returns where they end.
func (j *journalReader) descriptor(t *transaction, b []byte, at uint64) (end uint64, err error) {
	if b, err = j.checkTail(b); err != nil {
		return 0, err
	}
	size := j.tagSize()
	for b = b[journalHeaderSize:]; len(b) >= size; {
		tag := j.decodeTag(b)
		copied, number, err := j.logged(at)
		if err != nil {
			return 0, err
		}
		if tag.target >= j.blocks {
			return 0, fmt.Errorf("%w: it is for block %d of %d", container.ErrFormat, tag.target, j.blocks)
		}
		if err := j.checkCopy(tag, copied, t.sequence); err != nil {
			return 0, fmt.Errorf("copy of block %d: %w", tag.target, err)
		}
		t.blocks = append(t.blocks, loggedBlock{tag.target, replayedBlock{number, tag.flags&tagEscaped != 0}})
		at = j.next(at)
		if tag.flags&tagLast != 0 {
			break
		}
		b = b[size:]
		if tag.flags&tagSameUUID == 0 {
			b = b[min(len(b), journalUUIDSize):]
		}
	}
	return at, nil
}

// journalTag says where a copy belongs.
type journalTag struct {
	target uint64
	flags  uint32
	sum    uint32
}

// tagSize returns how many bytes a tag has, without a UUID.
func (j *journalReader) tagSize() int {
	if j.incompat&journalHasSumsV3 != 0 {
		return 16
	}
	size := 8
	if j.incompat&journalHas64Bit != 0 {
		size += 4
	}
	if j.incompat&journalHasSumsV2 != 0 {
		size += 2
	}
	return size
}

func (j *journalReader) decodeTag(b []byte) journalTag {
	be := binary.BigEndian
	tag := journalTag{target: uint64(be.Uint32(b))}
	if j.incompat&journalHasSumsV3 != 0 {
		tag.flags, tag.sum = be.Uint32(b[4:]), be.Uint32(b[12:])
	} else {
		tag.flags, tag.sum = uint32(be.Uint16(b[6:])), uint32(be.Uint16(b[4:]))
	}
	if j.incompat&journalHas64Bit != 0 {
		tag.target |= uint64(be.Uint32(b[8:])) << 32
	}
	return tag
}

// checkCopy checks the checksum of a copy, of which version 2 keeps half.
func (j *journalReader) checkCopy(tag journalTag, copied []byte, sequence uint32) error {
	if j.sums.off {
		return nil
	}
	sum := j.sums.update(j.sums.seed, binary.BigEndian.AppendUint32(nil, sequence))
	sum = j.sums.update(sum, copied)
	if j.incompat&journalHasSumsV3 == 0 {
		sum &= 0xFFFF
	}
	if sum != tag.sum {
		return sumError("it", sum, tag.sum)
	}
	return nil
}

// revocation adds the blocks of a revocation to a transaction.
func (j *journalReader) revocation(t *transaction, b []byte) error {
	b, err := j.checkTail(b)
	if err != nil {
		return err
	}
	be := binary.BigEndian
	used := int64(be.Uint32(b[journalHeaderSize:]))
	if used < journalRevokeHeader || used > int64(len(b)) {
		return fmt.Errorf("%w: a revocation of %d bytes, want %d to %d", container.ErrFormat, used, journalRevokeHeader, len(b))
	}
	for b = b[journalRevokeHeader:used]; ; {
		switch {
		case j.incompat&journalHas64Bit != 0 && len(b) >= 8:
			t.revoked = append(t.revoked, be.Uint64(b))
			b = b[8:]
		case j.incompat&journalHas64Bit == 0 && len(b) >= 4:
			t.revoked = append(t.revoked, uint64(be.Uint32(b)))
			b = b[4:]
		default:
			return nil
		}
	}
}
