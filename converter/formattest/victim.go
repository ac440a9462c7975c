package formattest

import "bytes"

// Victim is a sound file of which a fuzzer changes bytes. It knows the places near
// which there is anything: a file is mostly air.
type Victim struct {
	content []byte
	places  []int
}

// NewVictim returns a file to be changed.
func NewVictim(content []byte) Victim {
	const near = 16 // bytes
	v := Victim{content: content}
	for at := 0; at < len(content); at += near {
		part := content[at:min(at+near, len(content))]
		if len(bytes.Trim(part, "\x00")) == 0 {
			continue
		}
		for i := range part {
			v.places = append(v.places, at+i)
		}
	}
	return v
}

// Changed returns a copy of the file with changes: three bytes of each choose the
// place, the fourth is put there.
func (v Victim) Changed(changes []byte) []byte {
	b := bytes.Clone(v.content)
	for ; len(changes) >= 4; changes = changes[4:] {
		at := int(changes[0])<<16 | int(changes[1])<<8 | int(changes[2])
		b[v.places[at%len(v.places)]] = changes[3]
	}
	return b
}
