package grub

import (
	"bytes"
	"testing"
)

func TestPackerGivesWhatCompressingGives(t *testing.T) {
	p := new(Packer)
	for round := range 3 {
		for i := range byte(maxPacked + 3) {
			payload := bytes.Repeat([]byte{i, 'x'}, 1000)
			want, err := compress(payload)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := p.compress(payload); err != nil || !bytes.Equal(got, want) {
				t.Errorf("round %d, payload %d: %v, and not what compressing gives", round, i, err)
			}
		}
	}
	if len(p.packed) != maxPacked {
		t.Errorf("it remembers %d payloads, want %d", len(p.packed), maxPacked)
	}
}
