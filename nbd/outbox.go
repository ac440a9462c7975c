package nbd

import "sync"

const (
	// gathered is how many bytes of small messages wait to be written at most.
	gathered = 64 << 10
	// small is the size in bytes up to which a copy of a message costs less than a
	// write of its own.
	small = smallRead + chunkHeaderSize + offsetSize
)

// outbox writes messages, each whole, in the order in which one goroutine sends
// them. Small ones that come while another is being written are written together
// after it: with many short reads under way, writing is what they wait for.
type outbox struct {
	write   func([]byte) error
	buffers *buffers

	writing sync.Mutex // one write at a time

	mu      sync.Mutex
	pending *[]byte // messages that wait; nil where there are none
}

// send writes p, or leaves it to the goroutine that is writing. The error is one
// of writing, of p or of another message.
func (o *outbox) send(p []byte) error {
	if err := o.post(p); err != nil {
		return err
	}
	return o.flush()
}

// post is send for who will flush: p may wait until then.
func (o *outbox) post(p []byte) error {
	if o.gather(p) {
		return nil
	}
	return o.sendNow(p)
}

// gather adds p to what waits, if it is small and there is room.
func (o *outbox) gather(p []byte) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(p) > small || o.pending != nil && len(*o.pending)+len(p) > gathered {
		return false
	}
	if o.pending == nil {
		o.pending = o.buffers.get(gathered)
	}
	*o.pending = append(*o.pending, p...)
	return true
}

// sendNow writes p after what waits.
func (o *outbox) sendNow(p []byte) error {
	o.writing.Lock()
	defer o.writing.Unlock()
	if err := o.writePending(); err != nil {
		return err
	}
	return o.write(p)
}

// flush writes what waits, unless somebody is writing: who ends a write looks
// for more.
func (o *outbox) flush() error {
	for o.waits() && o.writing.TryLock() {
		err := o.writePending()
		o.writing.Unlock()
		if err != nil {
			return err
		}
	}
	return nil
}

// waits reports whether messages wait to be written.
func (o *outbox) waits() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.pending != nil
}

// writePending writes what waits. Its caller holds o.writing.
func (o *outbox) writePending() error {
	o.mu.Lock()
	p := o.pending
	o.pending = nil
	o.mu.Unlock()
	if p == nil {
		return nil
	}
	err := o.write(*p)
	*p = (*p)[:0]
	o.buffers.put(p)
	return err
}
