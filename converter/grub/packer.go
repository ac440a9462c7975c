package grub

import (
	"crypto/sha256"
	"slices"
	"sync"
)

// maxPacked is how many compressed payloads a [Packer] remembers: of 100 KiB
// each, at most.
const maxPacked = 16

// Packer remembers what core images are when they are compressed, which takes
// longer than all else of a disk. All disks with the same GRUB share it. The zero
// Packer is ready, and a nil one remembers nothing; both can be used by several
// goroutines.
type Packer struct {
	mu     sync.Mutex
	packed []packed // the oldest first
}

type packed struct {
	of   [sha256.Size]byte // the payload
	data []byte
}

// compress does what [compress] does.
func (p *Packer) compress(payload []byte) ([]byte, error) {
	if p == nil {
		return compress(payload)
	}
	sum := sha256.Sum256(payload)
	if data := p.find(sum); data != nil {
		return data, nil
	}
	data, err := compress(payload)
	if err == nil {
		p.keep(packed{sum, data})
	}
	return data, err
}

func (p *Packer) find(sum [sha256.Size]byte) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, one := range p.packed {
		if one.of == sum {
			return one.data
		}
	}
	return nil
}

func (p *Packer) keep(one packed) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.packed) == maxPacked {
		p.packed = slices.Delete(p.packed, 0, 1)
	}
	p.packed = append(p.packed, one)
}
