package nbd

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// errProtocol is wrapped by errors about clients that do not speak NBD.
var errProtocol = errors.New("the client does not follow the protocol")

// handshake speaks the fixed newstyle handshake, section "Newstyle negotiation",
// and reports whether the client has chosen an export.
func (c *conn) handshake() (chosen bool, err error) {
	hello := binary.BigEndian.AppendUint64(nil, magicServer)
	hello = binary.BigEndian.AppendUint64(hello, magicOption)
	hello = binary.BigEndian.AppendUint16(hello, flagFixedNewstyle|flagNoZeroes)
	if err := c.write(hello); err != nil {
		return false, err
	}
	var flags [4]byte
	if err := c.read(flags[:]); err != nil {
		return false, err
	}
	set := binary.BigEndian.Uint32(flags[:])
	if set&^(flagFixedNewstyle|flagNoZeroes) != 0 || set&flagFixedNewstyle == 0 {
		return false, fmt.Errorf("%w: its flags are %#x, expected %#x for the fixed newstyle", errProtocol, set, flagFixedNewstyle)
	}
	c.noZeroes = set&flagNoZeroes != 0
	for range maxOptions {
		done, err := c.option()
		if done || err != nil {
			return c.export != nil && err == nil, err
		}
	}
	return false, fmt.Errorf("%w: it has sent %d options and chosen no export", errProtocol, maxOptions)
}

// read reads the next len(p) bytes of the handshake. Nothing behind them is
// read, as they may be the last ones before TLS.
func (c *conn) read(p []byte) error {
	if err := c.expect(); err != nil {
		return err
	}
	_, err := io.ReadFull(c.net, p)
	return err
}

// option answers the next option and reports whether the handshake is over.
func (c *conn) option() (done bool, err error) {
	var header [16]byte
	if err := c.read(header[:]); err != nil {
		return false, err
	}
	if magic := binary.BigEndian.Uint64(header[:]); magic != magicOption {
		return false, fmt.Errorf("%w: an option begins with %#x, expected %#x", errProtocol, magic, magicOption)
	}
	o := option(binary.BigEndian.Uint32(header[8:]))
	size := binary.BigEndian.Uint32(header[12:])
	if size > maxOption {
		return false, fmt.Errorf("%w: option %d carries %d bytes, at most %d are read", errProtocol, o, size, maxOption)
	}
	data := make([]byte, size)
	if err := c.read(data); err != nil {
		return false, err
	}
	if c.server.config.TLS != nil && c.peer.TLS == nil {
		return c.optionBeforeTLS(o, data)
	}
	switch o {
	case optExportName:
		return true, c.exportName(string(data))
	case optAbort:
		return true, c.abort(o)
	case optList:
		return false, c.list(data)
	case optStartTLS:
		return false, c.startTLS(data)
	case optInfo, optGo:
		return c.info(o, data)
	case optStructuredReply:
		return false, c.structuredReply(data)
	case optListMetaContext, optSetMetaContext:
		return false, c.metaContext(o, data)
	}
	return false, c.reply(o, repErrUnsupported, nil)
}

// optionBeforeTLS answers an option of a client that has to begin TLS first.
func (c *conn) optionBeforeTLS(o option, data []byte) (done bool, err error) {
	switch o {
	case optStartTLS:
		return false, c.startTLS(data)
	case optAbort:
		return true, c.abort(o)
	case optExportName: // has no answer that says no
		return true, fmt.Errorf("%w: it asks for an export without the TLS that is required", errProtocol)
	}
	return false, c.reply(o, repErrTLSRequired, []byte("TLS is required"))
}

// reply sends one answer to an option. Data of an error is text for people.
func (c *conn) reply(o option, kind optionReply, data []byte) error {
	b := make([]byte, 0, 20+len(data))
	b = binary.BigEndian.AppendUint64(b, magicReply)
	b = binary.BigEndian.AppendUint32(b, uint32(o))
	b = binary.BigEndian.AppendUint32(b, uint32(kind))
	b = binary.BigEndian.AppendUint32(b, uint32(len(data)))
	return c.write(append(b, data...))
}

// refuse tells why an option is not followed.
func (c *conn) refuse(o option, why string) error {
	return c.reply(o, repErrInvalid, []byte(why))
}

// fields reads the data of an option from its beginning. After what is not there
// it reads nothing and bad is set.
type fields struct {
	rest []byte
	bad  bool
}

func (f *fields) bytes(n uint32) []byte {
	if f.bad || uint64(n) > uint64(len(f.rest)) {
		f.bad = true
		return nil
	}
	p := f.rest[:n]
	f.rest = f.rest[n:]
	return p
}

func (f *fields) uint16() uint16 {
	if p := f.bytes(2); p != nil {
		return binary.BigEndian.Uint16(p)
	}
	return 0
}

func (f *fields) uint32() uint32 {
	if p := f.bytes(4); p != nil {
		return binary.BigEndian.Uint32(p)
	}
	return 0
}

// string reads a string with its length before it, section "Strings".
func (f *fields) string() string {
	n := f.uint32()
	if n > maxName {
		f.bad = true
	}
	return string(f.bytes(n))
}

// whole reports whether all was there, and nothing is left.
func (f *fields) whole() bool { return !f.bad && len(f.rest) == 0 }
