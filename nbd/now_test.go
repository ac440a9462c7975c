package nbd

import (
	"bytes"
	"context"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/extent"
)

// near opens blobs of which every other page is at hand.
type near struct{ extent.Opener }

func (o near) OpenBlob(ctx context.Context, d extent.Digest) (extent.Blob, error) {
	b, err := o.Opener.OpenBlob(ctx, d)
	return halfNear{b}, err
}

type halfNear struct{ extent.Blob }

func (b halfNear) ReadNow(p []byte, off int64) bool {
	if off>>12&1 == 0 {
		return false
	}
	n, err := b.ReadAt(p, off)
	return err == nil && n == len(p)
}

func TestReadsAreAnsweredWhetherTheirContentIsAtHandOrNot(t *testing.T) {
	disk, blobs := testDisk(t)
	disk.Content = extent.NewReader(context.Background(), disk.Map, near{blobs})
	want := convertertest.Bytes(t, disk.Map, blobs)
	addr := serve(t, "unix", Config{Exports: disks{diskName: disk}})
	const reads = 2000
	dice := rand.New(rand.NewPCG(3, 4))
	var offs, lengths [reads]int
	var asked []byte
	for i := range reads {
		lengths[i] = 1 + dice.IntN(3*smallRead/2)
		offs[i] = dice.IntN(18<<20 - lengths[i])
		asked = append(asked, encodeRequest(cmdRead, 0, uint64(i), uint64(offs[i]), uint32(lengths[i]))...)
	}
	// All is answered that was asked before the end.
	asked = append(asked, encodeRequest(cmdDisconnect, 0, 0, 0, 0)...)
	for _, structured := range []bool{false, true} {
		k := attach(t, addr, structured)
		go k.conn.Write(asked)
		read := k.simple
		if structured {
			read = k.structured
		}
		for range reads {
			i, got := read(func(cookie uint64) (off, n int) { return offs[cookie], lengths[cookie] })
			if !bytes.Equal(got, want[offs[i]:offs[i]+lengths[i]]) {
				t.Fatalf("structured %t: the read of %d at %d differs", structured, lengths[i], offs[i])
			}
		}
	}
}

func TestWhatWasAskedBeforeADisconnectIsAnswered(t *testing.T) {
	disk, _ := testDisk(t)
	k := attach(t, serve(t, "unix", Config{Exports: disks{diskName: disk}}), false)
	hole := encodeRequest(cmdRead, 0, 1, 4<<20, 4096)
	k.send(append(bytes.Repeat(hole, 3), encodeRequest(cmdDisconnect, 0, 0, 0, 0)...))
	for range 3 {
		k.simple(func(uint64) (off, n int) { return 4 << 20, 4096 })
	}
}

// simple receives a simple reply to one of the reads that of knows.
func (c *client) simple(of func(cookie uint64) (off, n int)) (cookie uint64, content []byte) {
	c.t.Helper()
	header := c.receive(simpleReplySize)
	if binary.BigEndian.Uint32(header) != magicSimpleReply || binary.BigEndian.Uint32(header[4:]) != 0 {
		c.t.Fatalf("a reply begins with % x", header)
	}
	cookie = binary.BigEndian.Uint64(header[8:])
	_, n := of(cookie)
	return cookie, c.receive(n)
}

// structured receives what answers one of the reads, and keeps the chunks of
// others until then.
func (c *client) structured(of func(cookie uint64) (off, n int)) (cookie uint64, content []byte) {
	c.t.Helper()
	for {
		chunk := c.chunk()
		off, n := of(chunk.cookie)
		if c.parts == nil {
			c.parts = make(map[uint64][]byte)
		}
		if c.parts[chunk.cookie] == nil {
			c.parts[chunk.cookie] = make([]byte, n)
		}
		at := int(binary.BigEndian.Uint64(chunk.data)) - off
		if chunk.kind == chunkOffsetData {
			copy(c.parts[chunk.cookie][at:], chunk.data[8:])
		}
		if chunk.flags == chunkDone {
			return chunk.cookie, c.parts[chunk.cookie]
		}
	}
}
