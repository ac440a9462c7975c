package nbd

import (
	"encoding/binary"
	"errors"
	"io"
	"math"
)

// appendChunk appends the header of a chunk that carries n bytes.
func appendChunk(b []byte, q request, flags, kind uint16, n int) []byte {
	b = binary.BigEndian.AppendUint32(b, magicStructuredReply)
	b = binary.BigEndian.AppendUint16(b, flags)
	b = binary.BigEndian.AppendUint16(b, kind)
	b = binary.BigEndian.AppendUint64(b, q.cookie)
	return binary.BigEndian.AppendUint32(b, uint32(n))
}

// appendSimple appends the header of a simple reply.
func appendSimple(b []byte, q request, e errno) []byte {
	b = binary.BigEndian.AppendUint32(b, magicSimpleReply)
	b = binary.BigEndian.AppendUint32(b, uint32(e))
	return binary.BigEndian.AppendUint64(b, q.cookie)
}

// replyDone says that a request without content is done.
func (t *transmission) replyDone(q request) error {
	if t.structured {
		return t.out.send(appendChunk(nil, q, chunkDone, chunkNone, 0))
	}
	return t.out.send(appendSimple(nil, q, errnoOK))
}

// replyError says that a request has failed.
func (t *transmission) replyError(q request, e errno) error {
	if !t.structured {
		return t.out.send(appendSimple(nil, q, e))
	}
	message := e.message()
	b := appendChunk(nil, q, chunkDone, chunkError, 4+2+len(message))
	b = binary.BigEndian.AppendUint32(b, uint32(e))
	b = binary.BigEndian.AppendUint16(b, uint16(len(message)))
	return t.out.send(append(b, message...))
}

// read answers a read. Its content is fetched before there is a buffer for it.
func (t *transmission) read(q request) error {
	if err := t.fetch(q); err != nil {
		return t.unreadable(q, err)
	}
	switch {
	case !t.structured:
		return t.readWhole(q, simpleReplySize, func(b []byte) []byte { return appendSimple(b, q, errnoOK) })
	case q.n == 0:
		return t.replyDone(q)
	case q.flags&cmdFlagDF != 0:
		return t.readWhole(q, chunkHeaderSize+offsetSize, func(b []byte) []byte { return appendData(b, q, chunkDone, q.off, q.n) })
	}
	return t.readPieces(q)
}

// readWhole answers a read in one piece, behind a header.
func (t *transmission) readWhole(q request, size int64, header func([]byte) []byte) error {
	return t.buffered(size+q.n, func(b []byte) error {
		b = header(b)
		b, err := t.content(b, q.off, q.n)
		if err != nil {
			return t.unreadable(q, err)
		}
		return t.out.send(b)
	})
}

// buffered calls use with an empty buffer with room for n bytes, once so many
// are free.
func (t *transmission) buffered(n int64, use func([]byte) error) error {
	if !t.budget.take(n, t.ctx.Done()) {
		return t.ctx.Err()
	}
	defer t.budget.give(n)
	b := t.server.buffers.get(int(n))
	defer t.server.buffers.put(b)
	return use((*b)[:0])
}

// content appends the n bytes at off, for which b has room.
func (t *transmission) content(b []byte, off, n int64) ([]byte, error) {
	p := b[len(b) : int64(len(b))+n]
	got, err := t.export.Content.ReadAt(p, off)
	if int64(got) == n {
		return b[:len(b)+got], nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return b, err
}

// appendData appends the header of a chunk with the n bytes at off.
func appendData(b []byte, q request, flags uint16, off, n int64) []byte {
	b = appendChunk(b, q, flags, chunkOffsetData, int(offsetSize+n))
	return binary.BigEndian.AppendUint64(b, uint64(off))
}

// readPieces answers a read in chunks: holes are not sent.
func (t *transmission) readPieces(q request) error {
	end := q.off + q.n
	for s := range segments(t.export.Map, q.off, q.n) {
		if s.hole {
			b := appendChunk(nil, q, doneAt(s.off+s.n, end), chunkOffsetHole, holeSize)
			b = binary.BigEndian.AppendUint64(b, uint64(s.off))
			if err := t.out.send(binary.BigEndian.AppendUint32(b, uint32(s.n))); err != nil {
				return err
			}
			continue
		}
		for off := s.off; off < s.off+s.n; off += maxPiece {
			n := min(maxPiece, s.off+s.n-off)
			if failed, err := t.readPiece(q, off, n, doneAt(off+n, end)); failed || err != nil {
				return err
			}
		}
	}
	return nil
}

// doneAt returns the flags of a chunk that ends at off of a reply that ends at
// end.
func doneAt(off, end int64) uint16 {
	if off == end {
		return chunkDone
	}
	return 0
}

// readPiece sends one chunk of content. Where the content cannot be read, the
// request has failed and was answered so.
func (t *transmission) readPiece(q request, off, n int64, flags uint16) (failed bool, err error) {
	err = t.buffered(chunkHeaderSize+offsetSize+n, func(b []byte) error {
		b, err := t.content(appendData(b, q, flags, off, n), off, n)
		if err != nil {
			failed = true
			return t.unreadable(q, err)
		}
		return t.out.send(b)
	})
	return failed, err
}

// replyStatus answers a block status: what is a hole and what is not, section
// "NBD_CMD_BLOCK_STATUS".
func (t *transmission) replyStatus(q request) error {
	var b []byte
	for s := range segments(t.export.Map, q.off, q.n) {
		state := stateData
		if s.hole {
			state = stateHoleZero
		}
		b = binary.BigEndian.AppendUint32(b, uint32(min(s.n, math.MaxUint32)))
		b = binary.BigEndian.AppendUint32(b, state)
		if q.flags&cmdFlagReqOne != 0 || len(b) == maxStatus*statusSize {
			break
		}
	}
	head := appendChunk(make([]byte, 0, chunkHeaderSize+4+len(b)), q, chunkDone, chunkBlockStatus, 4+len(b))
	head = binary.BigEndian.AppendUint32(head, contextAllocationID)
	return t.out.send(append(head, b...))
}
