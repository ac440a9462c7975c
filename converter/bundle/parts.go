package bundle

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
)

// Parts opens the parts of a bundle by name. The names have been checked to be
// names of files, and not paths.
type Parts interface {
	OpenPart(ctx context.Context, name string) (io.ReadCloser, error)
}

// joiner reads the parts of a bundle one after another. The next part is opened
// when the one before it was verified.
type joiner struct {
	ctx      context.Context //nolint:containedctx // io.Reader has no place for it
	manifest *Manifest
	parts    Parts

	next    int // the part to open
	current io.ReadCloser
	sum     hash.Hash
	total   int64 // bytes read of all parts
}

func (j *joiner) Read(p []byte) (int, error) {
	for {
		if err := j.ctx.Err(); err != nil {
			return 0, err
		}
		if j.current == nil {
			if err := j.open(); err != nil {
				return 0, err
			}
		}
		n, err := j.current.Read(p)
		j.sum.Write(p[:n])
		j.total += int64(n)
		if j.total > j.manifest.BundledSize {
			return 0, fmt.Errorf("%w: the parts up to %s have more than the %d bytes that the manifest says all have", ErrPart, j.name(), j.manifest.BundledSize)
		}
		if err == io.EOF {
			err = j.verify()
		} else if err != nil {
			err = fmt.Errorf("read the part %s: %w", j.name(), err)
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

// name returns the name of the part that is being read.
func (j *joiner) name() string { return j.manifest.Parts[j.next-1].Name }

func (j *joiner) open() error {
	if j.next == len(j.manifest.Parts) {
		if j.total != j.manifest.BundledSize {
			return fmt.Errorf("%w: all parts together have %d bytes, and the manifest says %d", ErrPart, j.total, j.manifest.BundledSize)
		}
		return io.EOF
	}
	part := j.manifest.Parts[j.next]
	r, err := j.parts.OpenPart(j.ctx, part.Name)
	if err != nil {
		return fmt.Errorf("%w: %s, number %d of %d, cannot be opened: %w", ErrPart, part.Name, j.next+1, len(j.manifest.Parts), err)
	}
	j.current, j.sum = r, sha1.New()
	j.next++
	return nil
}

// verify ends the current part.
func (j *joiner) verify() error {
	err := j.current.Close()
	j.current = nil
	if err != nil {
		return fmt.Errorf("read the part %s: %w", j.name(), err)
	}
	found, want := hex.EncodeToString(j.sum.Sum(nil)), j.manifest.Parts[j.next-1].Digest
	if found == want {
		return nil
	}
	for i, other := range j.manifest.Parts {
		if other.Digest == found {
			return fmt.Errorf("%w: %s holds what belongs into %s, number %d: the parts were put in the wrong order", ErrPart, j.name(), other.Name, i+1)
		}
	}
	return fmt.Errorf("%w: %s has the SHA-1 %s, and the manifest says %s: it is of another bundle, cut short or damaged", ErrPart, j.name(), found, want)
}

// rest reads what is left of the current part, and says what is wrong with it.
// What was made of a part is worth less than that.
func (j *joiner) rest() error {
	buf := make([]byte, cbcBuffer)
	for at := j.next; j.current != nil && j.next == at; {
		if _, err := j.Read(buf); err != nil {
			return err
		}
	}
	return nil
}

func (j *joiner) close() error {
	if j.current == nil {
		return nil
	}
	err := j.current.Close()
	j.current = nil
	return err
}
