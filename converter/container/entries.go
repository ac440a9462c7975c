package container

import "fmt"

// entriesPiece is how much of a table is read at a time, in bytes.
const entriesPiece = 64 << 10

// Entries calls each with the number and the bytes of every entry of a table: n
// entries of size bytes at off. It holds a piece of the table at a time.
func (f File) Entries(what string, off uint64, n int64, size int, each func(i int64, entry []byte) error) error {
	if err := f.Contains(what, off, n*int64(size)); err != nil {
		return err
	}
	perPiece := int64(entriesPiece / size)
	for first := int64(0); first < n; first += perPiece {
		count := min(perPiece, n-first)
		piece, err := f.Bytes(what, off+uint64(first)*uint64(size), count*int64(size))
		if err != nil {
			return err
		}
		for i := range count {
			if err := each(first+i, piece[i*int64(size):][:size]); err != nil {
				return fmt.Errorf("entry %d of the %s: %w", first+i, what, err)
			}
		}
	}
	return nil
}
