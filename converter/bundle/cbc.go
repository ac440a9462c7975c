package bundle

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"fmt"
	"io"
)

// cbcBuffer is how many bytes are encrypted or decrypted at a time.
const cbcBuffer = 64 << 10

// decrypter decrypts AES-128-CBC and takes the PKCS#7 padding off (RFC 5652,
// section 6.3). The last block is held back until it is known to be the last.
type decrypter struct {
	source io.Reader
	mode   cipher.BlockMode
	buf    []byte // of encrypted bytes; what is decrypted stands in its front
	held   int    // bytes in the front of buf that are encrypted
	plain  []byte // within buf
	err    error
}

func newDecrypter(source io.Reader, s Secret) (*decrypter, error) {
	block, err := aes.NewCipher(s.Key[:])
	if err != nil {
		return nil, err
	}
	return &decrypter{source: source, mode: cipher.NewCBCDecrypter(block, s.IV[:]), buf: make([]byte, cbcBuffer)}, nil
}

func (d *decrypter) Read(p []byte) (int, error) {
	for len(d.plain) == 0 {
		if d.err != nil {
			return 0, d.err
		}
		d.fill()
	}
	n := copy(p, d.plain)
	d.plain = d.plain[n:]
	return n, nil
}

func (d *decrypter) fill() {
	// The block that was held back was left at the end of the buffer.
	copy(d.buf, d.buf[len(d.buf)-d.held:])
	n, err := io.ReadFull(d.source, d.buf[d.held:])
	n += d.held
	switch err {
	case nil:
		d.held = aes.BlockSize
		d.plain = d.buf[:n-aes.BlockSize]
		d.mode.CryptBlocks(d.plain, d.plain)
	case io.EOF, io.ErrUnexpectedEOF:
		d.plain, d.err = d.last(d.buf[:n])
	default:
		d.err = err
	}
}

// last decrypts the end, and returns it without its padding.
func (d *decrypter) last(p []byte) ([]byte, error) {
	if len(p) == 0 || len(p)%aes.BlockSize != 0 {
		return nil, fmt.Errorf("%w: the parts end within a block of the cipher", ErrImage)
	}
	d.mode.CryptBlocks(p, p)
	n := int(p[len(p)-1])
	if n == 0 || n > aes.BlockSize || !bytes.Equal(p[len(p)-n:], bytes.Repeat([]byte{byte(n)}, n)) {
		return nil, fmt.Errorf("%w: the last block has no padding of the cipher: the manifest's key and IV are not those of the parts", ErrImage)
	}
	return p[:len(p)-n], io.EOF
}

// encrypter is the opposite of a decrypter. Close writes the end.
type encrypter struct {
	to   io.Writer
	mode cipher.BlockMode
	buf  []byte
}

func newEncrypter(to io.Writer, s Secret) (*encrypter, error) {
	block, err := aes.NewCipher(s.Key[:])
	if err != nil {
		return nil, err
	}
	return &encrypter{to, cipher.NewCBCEncrypter(block, s.IV[:]), make([]byte, 0, cbcBuffer)}, nil
}

func (e *encrypter) Write(p []byte) (int, error) {
	written := 0
	for written < len(p) {
		n := min(cap(e.buf)-len(e.buf), len(p)-written)
		e.buf = append(e.buf, p[written:written+n]...)
		written += n
		if len(e.buf) == cap(e.buf) {
			if err := e.flush(); err != nil {
				return written, err
			}
		}
	}
	return written, nil
}

func (e *encrypter) flush() error {
	e.mode.CryptBlocks(e.buf, e.buf)
	_, err := e.to.Write(e.buf)
	e.buf = e.buf[:0]
	return err
}

// Close pads and writes what is left.
func (e *encrypter) Close() error {
	n := aes.BlockSize - len(e.buf)%aes.BlockSize
	e.buf = append(e.buf, bytes.Repeat([]byte{byte(n)}, n)...)
	return e.flush()
}
