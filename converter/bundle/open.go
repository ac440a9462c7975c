package bundle

import (
	"archive/tar"
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/klauspost/compress/gzip"
)

// Image reads the image of a bundle. Its last Read returns [io.EOF] only if
// every part, the image and their sizes are what the manifest says: what was read
// before that must not be used when it ends with another error. It must be closed.
type Image struct {
	manifest *Manifest
	joined   *joiner
	stream   *tarStream // the tar
	tar      *tar.Reader
	end      error // what reading ended with
}

// Open opens the image of a bundle. Parts are read one by one, each once. Memory
// is bounded, and what is decompressed by the sizes in the manifest.
//
// Errors of reading wrap [ErrPart] and [ErrImage], and those of parts.
func Open(ctx context.Context, m *Manifest, parts Parts, s Secret) (*Image, error) {
	j := &joiner{ctx: ctx, manifest: m, parts: parts}
	i := &Image{manifest: m, joined: j}
	if err := i.open(s); err != nil {
		err = i.explain(err)
		return nil, errors.Join(fmt.Errorf("open the bundle of %s: %w", m.Name, err), j.close())
	}
	return i, nil
}

func (i *Image) open(s Secret) error {
	plain, err := newDecrypter(i.joined, s)
	if err != nil {
		return err
	}
	unpacked, err := gzip.NewReader(plain)
	if err != nil {
		return i.decodeError("gzip", err)
	}
	i.stream = &tarStream{source: unpacked, sum: sha1.New(), left: i.manifest.Size + tarOverhead}
	i.tar = tar.NewReader(i.stream)
	header, err := i.tar.Next()
	if err != nil {
		return i.decodeError("tar", err)
	}
	if header.Typeflag != tar.TypeReg && header.Typeflag != tar.TypeGNUSparse {
		return fmt.Errorf("%w: the tar holds %q of the type %q: expected a file", ErrImage, header.Name, header.Typeflag)
	}
	if header.Size != i.manifest.Size {
		return fmt.Errorf("%w: it has %d bytes, and the manifest says %d", ErrImage, header.Size, i.manifest.Size)
	}
	return nil
}

// Size returns how many bytes the image has.
func (i *Image) Size() int64 { return i.manifest.Size }

func (i *Image) Read(p []byte) (int, error) {
	if i.end != nil {
		return 0, i.end
	}
	n, err := i.tar.Read(p)
	switch err {
	case nil:
		return n, nil
	case io.EOF:
		err = i.finish()
	default:
		err = i.decodeError("tar", err)
	}
	if i.end = io.EOF; err != nil {
		i.end = fmt.Errorf("unbundle %s: %w", i.manifest.Name, i.explain(err))
	}
	return n, i.end
}

// finish reads what comes after the image, and verifies the whole.
func (i *Image) finish() error {
	switch header, err := i.tar.Next(); err {
	case io.EOF:
	case nil:
		return fmt.Errorf("%w: the tar holds %q after the image: expected one file", ErrImage, header.Name)
	default:
		return i.decodeError("tar", err)
	}
	if _, err := io.Copy(io.Discard, i.stream); err != nil {
		return i.decodeError("gzip", err)
	}
	if found := hex.EncodeToString(i.stream.sum.Sum(nil)); found != i.manifest.Digest {
		return fmt.Errorf("%w: its tar has the SHA-1 %s, and the manifest says %s", ErrImage, found, i.manifest.Digest)
	}
	// All of the cipher's output was read, and with it all parts.
	return nil
}

// decodeError says that the parts do not hold what they should, unless they could
// not be read.
func (i *Image) decodeError(what string, err error) error {
	if errors.Is(err, ErrPart) || errors.Is(err, ErrImage) || i.joined.ctx.Err() != nil {
		return err
	}
	return fmt.Errorf("%w: the decrypted parts are no %s of one file: the manifest's key and IV are not those of the parts (%w)", ErrImage, what, err)
}

// explain returns what is wrong with the part that is being read, rather than
// what came of that.
func (i *Image) explain(err error) error {
	if errors.Is(err, ErrPart) {
		return err
	}
	if wrong := i.joined.rest(); wrong != nil {
		return wrong
	}
	return err
}

// Close ends reading.
func (i *Image) Close() error { return i.joined.close() }

// tarStream hashes a tar while it is read, and ends it where it is longer than
// its manifest allows.
type tarStream struct {
	source io.Reader
	sum    hash.Hash
	left   int64 // bytes that it may still have
}

func (s *tarStream) Read(p []byte) (int, error) {
	n, err := s.source.Read(p)
	s.sum.Write(p[:n])
	if s.left -= int64(n); s.left < 0 {
		return 0, fmt.Errorf("%w: it decompresses to more than the manifest says", ErrImage)
	}
	return n, err
}
