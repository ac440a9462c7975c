package nbd

import "github.com/cloudlets/cloudlets/extent"

// smallRead is the longest read, in bytes, that is answered before the next
// request is looked at.
const smallRead = 16 << 10

// readNow answers a short read of content that is at hand, and reports whether
// it did. Nothing is waited for, so no goroutine is made that others would have
// to make room for, and what answers the requests that came together leaves
// together.
func (t *transmission) readNow(q request) bool {
	content, ok := t.export.Content.(extent.NowReader)
	if !ok || q.kind != cmdRead || q.n == 0 || q.n > smallRead || t.checkRead(q) != errnoOK {
		return false
	}
	b := t.scratch[:0]
	switch {
	case !t.structured:
		b = appendSimple(b, q, errnoOK)
	case q.flags&cmdFlagDF != 0 || isData(t.export.Map, q.off, q.n):
		b = appendData(b, q, chunkDone, q.off, q.n)
	default:
		return false
	}
	head := len(b)
	b = b[:head+int(q.n)]
	if !content.ReadNow(b[head:], q.off) {
		return false
	}
	t.fail(t.out.post(b))
	return true
}
