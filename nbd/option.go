package nbd

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// exportName chooses an export the old way, which knows no errors: section
// "NBD_OPT_EXPORT_NAME".
func (c *conn) exportName(name string) error {
	if len(name) > maxName {
		return fmt.Errorf("%w: the name of an export has %d bytes, at most %d are allowed", errProtocol, len(name), maxName)
	}
	if err := c.open(name); err != nil {
		return fmt.Errorf("open export %q: %w", name, err)
	}
	b := binary.BigEndian.AppendUint64(nil, uint64(c.export.Map.Size()))
	b = binary.BigEndian.AppendUint16(b, c.exportFlags())
	if !c.noZeroes {
		b = append(b, make([]byte, paddingSize)...)
	}
	return c.write(b)
}

// open opens the export of a name, unless the client has asked about it last.
func (c *conn) open(name string) error {
	if c.export != nil && c.opened == name {
		return nil
	}
	e, err := c.server.config.Exports.Open(c.ctx, c.peer, name)
	if err != nil {
		return err
	}
	c.choose(name, e)
	return nil
}

// openFor is open for an option that can be answered with an error. It reports
// whether the export is open.
func (c *conn) openFor(o option, name string) (bool, error) {
	err := c.open(name)
	switch {
	case err == nil:
		return true, nil
	case errors.Is(err, ErrUnknownExport):
		return false, c.reply(o, repErrUnknown, []byte("there is no such export"))
	case errors.Is(err, context.Canceled) && c.ctx.Err() != nil:
		return false, c.reply(o, repErrShutdown, nil)
	}
	c.server.config.Log.Warn("an export could not be opened", "export", name, "client", c.peer.Addr, "error", err)
	reason := "the export could not be opened: the server's log says why"
	if errors.Is(err, ErrUnservable) {
		reason = err.Error()
	}
	return false, c.reply(o, repErrPolicy, []byte(reason[:min(len(reason), maxName)]))
}

// exportFlags returns the flags of the export.
func (c *conn) exportFlags() uint16 {
	flags := exportHasFlags | exportReadOnly | exportCanMultiConn | exportSendCache
	if c.structured {
		flags |= exportSendDF
	}
	return flags
}

// abort ends the handshake at the client's wish.
func (c *conn) abort(o option) error {
	c.leave()
	return c.reply(o, repAck, nil)
}

// list lists exports.
func (c *conn) list(data []byte) error {
	if len(data) > 0 {
		return c.refuse(optList, "a list is asked for without data")
	}
	exports, err := c.server.config.Exports.List(c.ctx, c.peer)
	if err != nil {
		c.server.config.Log.Warn("exports could not be listed", "client", c.peer.Addr, "error", err)
		return c.reply(optList, repErrPolicy, []byte("exports cannot be listed"))
	}
	for _, e := range exports {
		b := binary.BigEndian.AppendUint32(nil, uint32(len(e.Name)))
		b = append(append(b, e.Name...), e.Description...)
		if err := c.reply(optList, repServer, b); err != nil {
			return err
		}
	}
	return c.reply(optList, repAck, nil)
}

// startTLS begins TLS. What was negotiated before it may have been another's
// words and is forgotten, section "NBD_OPT_STARTTLS".
func (c *conn) startTLS(data []byte) error {
	switch {
	case len(data) > 0:
		return c.refuse(optStartTLS, "TLS is asked for without data")
	case c.peer.TLS != nil:
		return c.refuse(optStartTLS, "TLS has begun already")
	case c.server.config.TLS == nil:
		return c.reply(optStartTLS, repErrPolicy, []byte("the server has no certificate"))
	}
	if err := c.reply(optStartTLS, repAck, nil); err != nil {
		return err
	}
	if err := c.expect(); err != nil {
		return err
	}
	secure := tls.Server(c.raw, c.server.config.TLS)
	if err := secure.HandshakeContext(c.ctx); err != nil {
		return fmt.Errorf("begin TLS: %w", err)
	}
	state := secure.ConnectionState()
	c.net, c.peer.TLS = secure, &state
	c.leave()
	c.structured, c.allocation = false, false
	return nil
}

// info tells of an export, and chooses it where that is asked for: sections
// "NBD_OPT_INFO" and "NBD_OPT_GO".
func (c *conn) info(o option, data []byte) (done bool, err error) {
	f := fields{rest: data}
	name := f.string()
	var wanted []uint16
	for range f.uint16() {
		if f.bad {
			break
		}
		wanted = append(wanted, f.uint16())
	}
	if !f.whole() {
		return false, c.refuse(o, "expected the length of a name, a name, a number of kinds of information, and these")
	}
	if ok, err := c.openFor(o, name); !ok {
		return false, err
	}
	b := binary.BigEndian.AppendUint16(nil, infoExport)
	b = binary.BigEndian.AppendUint64(b, uint64(c.export.Map.Size()))
	b = binary.BigEndian.AppendUint16(b, c.exportFlags())
	if err := c.reply(o, repInfo, b); err != nil {
		return false, err
	}
	if err := c.reply(o, repInfo, blockSizes()); err != nil {
		return false, err
	}
	if err := c.texts(o, wanted); err != nil {
		return false, err
	}
	return o == optGo, c.reply(o, repAck, nil)
}

// texts tells what an export is called, as far as that is wanted.
func (c *conn) texts(o option, wanted []uint16) error {
	for _, text := range []struct {
		kind  uint16
		value string
	}{{infoName, c.export.Name}, {infoDescription, c.export.Description}} {
		if !slices.Contains(wanted, text.kind) || text.value == "" {
			continue
		}
		b := binary.BigEndian.AppendUint16(nil, text.kind)
		if err := c.reply(o, repInfo, append(b, text.value...)); err != nil {
			return err
		}
	}
	return nil
}

// blockSizes returns the information about sizes of reads: any offset and
// length will do.
func blockSizes() []byte {
	b := binary.BigEndian.AppendUint16(nil, infoBlockSize)
	b = binary.BigEndian.AppendUint32(b, 1)
	b = binary.BigEndian.AppendUint32(b, preferredBlock)
	return binary.BigEndian.AppendUint32(b, maxRead)
}

// structuredReply has replies be structured from now on.
func (c *conn) structuredReply(data []byte) error {
	if len(data) > 0 {
		return c.refuse(optStructuredReply, "structured replies are asked for without data")
	}
	c.structured = true
	return c.reply(optStructuredReply, repAck, nil)
}

// metaContext lists metadata contexts or chooses among them. There is one:
// base:allocation.
func (c *conn) metaContext(o option, data []byte) error {
	if !c.structured {
		return c.refuse(o, "metadata contexts need structured replies")
	}
	f := fields{rest: data}
	name := f.string()
	queries := f.uint32()
	matches := o == optListMetaContext && queries == 0
	for range queries {
		if f.bad {
			break
		}
		query := f.string()
		matches = matches || query == contextAllocation || o == optListMetaContext && query == "base:"
	}
	if !f.whole() {
		return c.refuse(o, "expected the length of a name, a name, a number of queries, and these")
	}
	if o == optSetMetaContext {
		c.allocation = false
	}
	if ok, err := c.openFor(o, name); !ok {
		return err
	}
	if o == optSetMetaContext {
		c.allocation, c.contexts = matches, name
	}
	if matches {
		id := uint32(contextAllocationID)
		if o == optListMetaContext {
			id = 0 // reserved in a list
		}
		if err := c.reply(o, repMetaContext, append(binary.BigEndian.AppendUint32(nil, id), contextAllocation...)); err != nil {
			return err
		}
	}
	return c.reply(o, repAck, nil)
}
