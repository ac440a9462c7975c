package container

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"

	"github.com/cloudlets/cloudlets/extent"
)

// Identity returns what a container can name its disk by where the format wants
// a UUID or a random number: a hash of the disk's map and of purpose. The same
// map gives the same identity; nothing random or of the machine is in it.
func Identity(disk *extent.Map, purpose string) [16]byte {
	sum := sha256.New()
	w := bufio.NewWriter(sum) // a hash's Write returns no error
	number := func(n int64) { _, _ = w.Write(binary.LittleEndian.AppendUint64(w.AvailableBuffer(), uint64(n))) }
	text := func(s string) {
		number(int64(len(s)))
		_, _ = w.WriteString(s)
	}
	text("cloudlets identity of a disk")
	text(purpose)
	for _, e := range disk.All() {
		number(int64(e.Kind))
		number(e.Length)
		switch e.Kind {
		case extent.Zero: // the length says all
		case extent.Inline:
			_, _ = w.Write(e.Data)
		case extent.Source:
			text(string(e.Digest))
			number(e.Offset)
		}
	}
	_ = w.Flush()
	return [16]byte(sum.Sum(nil))
}
