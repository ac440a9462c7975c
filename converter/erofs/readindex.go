package erofs

import (
	"encoding/binary"
	"fmt"

	"github.com/cloudlets/cloudlets/converter/container"
)

// lcluster is what an index says of a logical cluster.
type lcluster struct {
	kind   uint8
	offset int64  // of a head: where its extent begins in the cluster
	block  uint32 // of a head: the first it is stored in
	blocks int64  // of an inner cluster: how many its extent is stored in; 0 is nothing said
}

// readFull takes the clusters of a full index.
func (m *mapper) readFull(count int64) error {
	at := m.at + fullPadding
	m.indexEnd = at + count*fullEntrySize
	return m.file.Entries("index of a compressed file", uint64(at), count, fullEntrySize, func(i int64, entry []byte) error {
		return m.add(i, decodeFull(entry))
	})
}

// decodeFull decodes an entry of a full index.
func decodeFull(entry []byte) lcluster {
	le := binary.LittleEndian
	c := lcluster{kind: entry[fullKind] & clusterKinds}
	if c.kind == clusterInner {
		c.blocks = blocksOf(uint32(le.Uint16(entry[fullBlock:])))
		return c
	}
	c.offset, c.block = int64(le.Uint16(entry[fullOffset:])), le.Uint32(entry[fullBlock:])
	return c
}

// blocksOf returns how many blocks the number of an inner cluster says its extent
// is stored in: 0 where it says something else.
func blocksOf(number uint32) int64 {
	if number&clusterBlocks == 0 {
		return 0
	}
	return int64(number &^ clusterBlocks)
}

// readCompact takes the clusters of a compact index. Its first clusters are in
// pairs, up to where packs of 16 can be aligned, and the last ones, too few for a
// pack, are too.
func (m *mapper) readCompact(count int64) error {
	if m.blockBits > maxPairBits {
		return fmt.Errorf("%w: a compact index in a filesystem with blocks of %d bytes, expected at most %d", container.ErrUnsupported, m.blockSize(), 1<<maxPairBits)
	}
	if m.has(adviceLargeFirst) != m.has(adviceLargeSecond) {
		return fmt.Errorf("%w: extents of one of two kinds can take several blocks in a compact index, which does not tell them apart", container.ErrFormat)
	}
	first, packed := count, int64(0)
	if head := -m.at & (packSize - 1) / pairSize * pairClusters; m.has(advicePairs) && head < count {
		first, packed = head, (count-head)/packClusters*packClusters
	}
	if packed > 0 && m.blockBits > maxPackBits {
		return fmt.Errorf("%w: packs of %d clusters in a filesystem with blocks of %d bytes, expected at most %d", container.ErrUnsupported, packClusters, m.blockSize(), 1<<maxPackBits)
	}
	m.indexEnd = m.at
	for _, part := range []struct{ clusters, each, size int64 }{
		{first, pairClusters, pairSize}, {packed, packClusters, packSize}, {count - first - packed, pairClusters, pairSize},
	} {
		if err := m.readPacks(part.clusters, part.each, part.size); err != nil {
			return err
		}
	}
	return nil
}

// readPacks takes the next clusters of a compact index, so many in each pack of
// size bytes.
func (m *mapper) readPacks(clusters, each, size int64) error {
	packs := container.DivideUp(clusters, each)
	at := m.indexEnd
	m.indexEnd += packs * size
	return m.file.Entries("index of a compressed file", uint64(at), packs, int(size), func(_ int64, pack []byte) error {
		n := min(each, clusters)
		clusters -= n
		return m.unpack(pack, int(each), int(n))
	})
}

// unpack takes the first n clusters of a pack that has room for some. Heads have
// no number of their block: it follows from what is stored before.
func (m *mapper) unpack(pack []byte, room, n int) error {
	le := binary.LittleEndian
	width := (len(pack) - 4) * 8 / room
	low := max(int(m.blockBits), clusterBlocksBits)
	block := le.Uint32(pack[len(pack)-4:])
	if !m.has(adviceLargeFirst) {
		block++
	}
	afterHead := false
	for i := range n {
		v := le.Uint32(pack[i*width/8:]) >> (i * width % 8)
		number := v & (1<<low - 1)
		c := lcluster{kind: uint8(v >> low & clusterKinds)}
		if c.kind == clusterInner {
			if c.blocks = blocksOf(number); c.blocks > 0 {
				block += uint32(c.blocks)
				if afterHead { // which was taken to have one block
					block--
				}
			}
			afterHead = false
		} else {
			c.offset, c.block = int64(number), block
			block++
			afterHead = true
		}
		if err := m.add(m.next, c); err != nil {
			return err
		}
		m.next++
	}
	return nil
}
