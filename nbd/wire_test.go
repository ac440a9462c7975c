package nbd

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/cloudlets/cloudlets/converter/convertertest"
	"github.com/cloudlets/cloudlets/extent"
)

// client speaks the protocol byte by byte.
type client struct {
	t     testing.TB
	conn  net.Conn
	parts map[uint64][]byte // of reads whose chunks have not all come, by cookie
}

func dial(t testing.TB, addr net.Addr, flags uint32) *client {
	t.Helper()
	conn, err := net.Dial(addr.Network(), addr.String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	c := &client{t: t, conn: conn}
	if got, want := c.receive(18), "NBDMAGICIHAVEOPT\x00\x03"; string(got) != want {
		t.Fatalf("the server says %q, want %q", got, want)
	}
	c.send(binary.BigEndian.AppendUint32(nil, flags))
	return c
}

func (c *client) send(p []byte) {
	c.t.Helper()
	if _, err := c.conn.Write(p); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) receive(n int) []byte {
	c.t.Helper()
	p := make([]byte, n)
	if _, err := io.ReadFull(c.conn, p); err != nil {
		c.t.Fatal(err)
	}
	return p
}

func encodeOption(o option, data []byte) []byte {
	b := binary.BigEndian.AppendUint64(nil, magicOption)
	b = binary.BigEndian.AppendUint32(b, uint32(o))
	b = binary.BigEndian.AppendUint32(b, uint32(len(data)))
	return append(b, data...)
}

// ask sends an option and returns the last answer to it.
func (c *client) ask(o option, data []byte) optionReply {
	c.t.Helper()
	c.send(encodeOption(o, data))
	for {
		h := c.receive(20)
		if binary.BigEndian.Uint64(h) != magicReply || option(binary.BigEndian.Uint32(h[8:])) != o {
			c.t.Fatalf("a reply begins with % x", h)
		}
		c.receive(int(binary.BigEndian.Uint32(h[16:])))
		if kind := optionReply(binary.BigEndian.Uint32(h[12:])); kind == repAck || kind >= 1<<31 {
			return kind
		}
	}
}

func lengthAndName(name string) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(name))), name...)
}

func goTo(name string) []byte { return append(lengthAndName(name), 0, 0) }

// query is the data of an option about metadata contexts.
func query(name string, queries ...string) []byte {
	b := binary.BigEndian.AppendUint32(lengthAndName(name), uint32(len(queries)))
	for _, q := range queries {
		b = append(b, lengthAndName(q)...)
	}
	return b
}

// attach goes on to the transmission phase.
func attach(t testing.TB, addr net.Addr, structured bool) *client {
	t.Helper()
	c := dial(t, addr, flagFixedNewstyle)
	if structured {
		c.ask(optStructuredReply, nil)
		c.ask(optSetMetaContext, query(diskName, contextAllocation))
	}
	if got := c.ask(optGo, goTo(diskName)); got != repAck {
		t.Fatalf("go: %#x", got)
	}
	return c
}

func encodeRequest(kind command, flags uint16, cookie uint64, off uint64, n uint32) []byte {
	b := binary.BigEndian.AppendUint32(nil, magicRequest)
	b = binary.BigEndian.AppendUint16(b, flags)
	b = binary.BigEndian.AppendUint16(b, uint16(kind))
	b = binary.BigEndian.AppendUint64(b, cookie)
	b = binary.BigEndian.AppendUint64(b, off)
	return binary.BigEndian.AppendUint32(b, n)
}

// chunk is one chunk of a structured reply.
type chunk struct {
	flags, kind uint16
	cookie      uint64
	data        []byte
}

func (c *client) chunk() chunk {
	c.t.Helper()
	h := c.receive(chunkHeaderSize)
	if binary.BigEndian.Uint32(h) != magicStructuredReply {
		c.t.Fatalf("a chunk begins with % x", h)
	}
	return chunk{
		binary.BigEndian.Uint16(h[4:]), binary.BigEndian.Uint16(h[6:]), binary.BigEndian.Uint64(h[8:]),
		c.receive(int(binary.BigEndian.Uint32(h[16:]))),
	}
}

func TestOptionsAreAnswered(t *testing.T) {
	disk, _ := testDisk(t)
	addr := serve(t, "tcp", Config{Exports: disks{diskName: disk}})
	for name, c := range map[string]struct {
		structured bool
		option     option
		data       []byte
		want       optionReply
	}{
		"an unknown option":               {false, 99, []byte("data"), repErrUnsupported},
		"TLS without a certificate":       {false, optStartTLS, nil, repErrPolicy},
		"TLS with data":                   {false, optStartTLS, []byte{1}, repErrInvalid},
		"a list with data":                {false, optList, []byte{1}, repErrInvalid},
		"structured replies with data":    {false, optStructuredReply, []byte{1}, repErrInvalid},
		"an unknown export":               {false, optInfo, goTo("other"), repErrUnknown},
		"a name longer than the data":     {false, optInfo, []byte{0, 0, 0, 9, 'a'}, repErrInvalid},
		"a name of 4 GiB":                 {false, optGo, []byte{255, 255, 255, 255}, repErrInvalid},
		"a name of more than 4096 bytes":  {false, optInfo, goTo(strings.Repeat("a", maxName+1)), repErrInvalid},
		"kinds that are not there":        {false, optInfo, append(lengthAndName(diskName), 0, 9), repErrInvalid},
		"data after the end":              {false, optInfo, append(goTo(diskName), 0), repErrInvalid},
		"contexts without structure":      {false, optSetMetaContext, query(diskName, contextAllocation), repErrInvalid},
		"contexts of an unknown export":   {true, optSetMetaContext, query("other", contextAllocation), repErrUnknown},
		"four billion queries":            {true, optListMetaContext, append(lengthAndName(diskName), 255, 255, 255, 255), repErrInvalid},
		"a context that does not exist":   {true, optSetMetaContext, query(diskName, "x-other:thing"), repAck},
		"a list of contexts":              {true, optListMetaContext, query(diskName, "base:"), repAck},
		"information about the export":    {false, optInfo, append(lengthAndName(diskName), 0, 2, 0, 1, 0, 3), repAck},
		"abort":                           {false, optAbort, nil, repAck},
		"the export, after what went bad": {true, optGo, goTo(diskName), repAck},
	} {
		t.Run(name, func(t *testing.T) {
			k := dial(t, addr, flagFixedNewstyle|flagNoZeroes)
			if c.structured {
				k.ask(optStructuredReply, nil)
			}
			if got := k.ask(c.option, c.data); got != c.want {
				t.Errorf("got %#x, want %#x", got, c.want)
			}
		})
	}
}

func TestClientsThatDoNotSpeakNBDAreHungUpOn(t *testing.T) {
	disk, _ := testDisk(t)
	addr := serve(t, "tcp", Config{Exports: disks{diskName: disk}})
	for name, c := range map[string]struct {
		flags uint32
		send  []byte
	}{
		"no fixed newstyle":       {0, nil},
		"unknown flags":           {1 << 7, nil},
		"an option without magic": {flagFixedNewstyle, make([]byte, 16)},
		"an option of 4 GiB":      {flagFixedNewstyle, binary.BigEndian.AppendUint32(encodeOption(optInfo, nil)[:12], 1<<32-1)},
		"an unknown export":       {flagFixedNewstyle, encodeOption(optExportName, []byte("other"))},
		"a name that is too long": {flagFixedNewstyle, encodeOption(optExportName, bytes.Repeat([]byte("a"), maxName+1))},
	} {
		t.Run(name, func(t *testing.T) {
			k := dial(t, addr, c.flags)
			k.conn.Write(c.send)
			if p, err := io.ReadAll(k.conn); len(p) > 0 || errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("got % x and %v", p, err)
			}
		})
	}
}

func TestTooManyOptionsEndTheConnection(t *testing.T) {
	disk, _ := testDisk(t)
	k := dial(t, serve(t, "tcp", Config{Exports: disks{diskName: disk}}), flagFixedNewstyle)
	for range maxOptions {
		k.ask(optList, nil)
	}
	if _, err := k.conn.Read(make([]byte, 1)); err != io.EOF {
		t.Error(err)
	}
}

func TestTheOldWayToAnExport(t *testing.T) {
	disk, blobs := testDisk(t)
	want := convertertest.Bytes(t, disk.Map, blobs)
	addr := serve(t, "tcp", Config{Exports: disks{diskName: disk}})
	for _, flags := range []uint32{flagFixedNewstyle, flagFixedNewstyle | flagNoZeroes} {
		k := dial(t, addr, flags)
		k.send(encodeOption(optExportName, []byte(diskName)))
		answer := k.receive(10)
		if size := binary.BigEndian.Uint64(answer); size != diskSize {
			t.Errorf("size %d", size)
		}
		if got := binary.BigEndian.Uint16(answer[8:]); got != exportHasFlags|exportReadOnly|exportCanMultiConn|exportSendCache {
			t.Errorf("flags %#x", got)
		}
		if flags&flagNoZeroes == 0 && !bytes.Equal(k.receive(paddingSize), make([]byte, paddingSize)) {
			t.Error("the padding is not zero")
		}
		// As the kernel's client does: simple replies, holes too.
		for _, at := range []uint64{0, 1<<20 - 7, 4 << 20, diskSize - 4096} {
			k.send(encodeRequest(cmdRead, 0, at, at, 4096))
			header := k.receive(simpleReplySize)
			if binary.BigEndian.Uint32(header) != magicSimpleReply || binary.BigEndian.Uint32(header[4:]) != 0 || binary.BigEndian.Uint64(header[8:]) != at {
				t.Fatalf("a reply begins with % x", header)
			}
			if !bytes.Equal(k.receive(4096), want[at:at+4096]) {
				t.Errorf("the content at %d differs", at)
			}
		}
		k.send(encodeRequest(cmdDisconnect, 0, 0, 0, 0))
		if _, err := k.conn.Read(make([]byte, 1)); err != io.EOF {
			t.Error("after a disconnect:", err)
		}
	}
}

func TestRequestsThatCannotBeServedAreRefused(t *testing.T) {
	disk, _ := testDisk(t)
	broken := *disk
	broken.Content = failing{}
	addr := serve(t, "tcp", Config{Exports: disks{diskName: disk, "broken": &broken}})
	for name, c := range map[string]struct {
		request []byte
		want    errno
	}{
		"a read beyond the end":         {encodeRequest(cmdRead, 0, 1, diskSize-1, 2), errnoInvalid},
		"a read at 2⁶⁴-1":               {encodeRequest(cmdRead, 0, 1, 1<<64-1, 2), errnoInvalid},
		"a read of 33 MiB":              {encodeRequest(cmdRead, 0, 1, 0, 33<<20), errnoOverflow},
		"a read with an unknown flag":   {encodeRequest(cmdRead, 1<<9, 1, 0, 2), errnoInvalid},
		"a write":                       {append(encodeRequest(cmdWrite, 0, 1, 0, 3), "abc"...), errnoPerm},
		"a trim":                        {encodeRequest(cmdTrim, 0, 1, 0, 4096), errnoPerm},
		"zeros":                         {encodeRequest(cmdWriteZeroes, 0, 1, 0, 4096), errnoPerm},
		"a flush, which is not offered": {encodeRequest(3, 0, 1, 0, 0), errnoInvalid},
		"an unknown command":            {encodeRequest(77, 0, 1, 0, 0), errnoInvalid},
		"a status beyond the end":       {encodeRequest(cmdBlockStatus, 0, 1, diskSize, 1), errnoInvalid},
		"a status of nothing":           {encodeRequest(cmdBlockStatus, 0, 1, 0, 0), errnoInvalid},
		"a prefetch beyond the end":     {encodeRequest(cmdCache, 0, 1, 1, diskSize), errnoInvalid},
	} {
		t.Run(name, func(t *testing.T) {
			k := attach(t, addr, true)
			k.send(c.request)
			got := k.chunk()
			if got.kind != chunkError || got.flags != chunkDone || got.cookie != 1 || errno(binary.BigEndian.Uint32(got.data)) != c.want {
				t.Errorf("got %+v", got)
			}
			k.send(encodeRequest(cmdRead, 0, 2, 0, 1)) // the connection goes on
			if got := k.chunk(); got.kind != chunkOffsetData || len(got.data) != 9 {
				t.Errorf("the next read gives %+v", got)
			}
		})
	}
	t.Run("content that cannot be read", func(t *testing.T) {
		k := dial(t, addr, flagFixedNewstyle)
		k.ask(optGo, goTo("broken"))
		k.send(encodeRequest(cmdRead, 0, 7, 0, 512))
		if got := k.receive(simpleReplySize); errno(binary.BigEndian.Uint32(got[4:])) != errnoIO {
			t.Errorf("got % x", got)
		}
		k.send(encodeRequest(cmdBlockStatus, 0, 7, 0, 512)) // not negotiated
		if got := k.receive(simpleReplySize); errno(binary.BigEndian.Uint32(got[4:])) != errnoInvalid {
			t.Errorf("got % x", got)
		}
	})
}

type failing struct{}

func (failing) ReadAt([]byte, int64) (int, error) { return 0, errors.New("the disk is on fire") }

func TestReadsLeaveHolesOut(t *testing.T) {
	disk, blobs := testDisk(t)
	want := convertertest.Bytes(t, disk.Map, blobs)
	k := attach(t, serve(t, "unix", Config{Exports: disks{diskName: disk}}), true)
	const at, n = 1<<20 - 100, 8 << 20
	k.send(encodeRequest(cmdRead, 0, 5, at, n))
	got := make([]byte, 0, n)
	var kinds []uint16
	for {
		c := k.chunk()
		kinds = append(kinds, c.kind)
		if off := binary.BigEndian.Uint64(c.data); off != uint64(at+len(got)) {
			t.Fatalf("a chunk at %d after %d bytes", off, len(got))
		}
		if c.kind == chunkOffsetHole {
			got = append(got, make([]byte, binary.BigEndian.Uint32(c.data[8:]))...)
		} else {
			got = append(got, c.data[8:]...)
		}
		if c.flags == chunkDone {
			break
		}
	}
	if !bytes.Equal(got, want[at:at+n]) {
		t.Error("the content differs")
	}
	if !slices.Equal(kinds, []uint16{chunkOffsetData, chunkOffsetHole, chunkOffsetData}) {
		t.Errorf("chunks %v", kinds)
	}
	k.send(encodeRequest(cmdRead, cmdFlagDF, 6, at, n))
	if c := k.chunk(); c.flags != chunkDone || c.kind != chunkOffsetData || !bytes.Equal(c.data[8:], want[at:at+n]) {
		t.Errorf("in one piece: kind %d with %d bytes", c.kind, len(c.data))
	}
}

func TestReadsAtHandDoNotWaitForReadsThatAreNot(t *testing.T) {
	disk, _ := testDisk(t)
	var far = make(chan struct{})
	disk.Fetch = func(ctx context.Context, off, _ int64) error {
		if off < 8<<20 {
			return nil
		}
		select {
		case <-far:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	k := attach(t, serve(t, "unix", Config{Exports: disks{diskName: disk}}), true)
	const misses = maxRequests - 1
	go func() {
		for i := range uint64(misses) {
			k.conn.Write(encodeRequest(cmdRead, 0, 1000+i, 8<<20, 2*smallRead))
		}
		for i := range uint64(100) {
			k.conn.Write(encodeRequest(cmdRead, 0, i, 0, 4096))
		}
	}()
	for range 100 {
		if c := k.chunk(); c.cookie >= 1000 {
			t.Fatal("a read is answered that was to wait")
		}
	}
	close(far)
	for answered := 0; answered < misses; {
		if k.chunk().flags == chunkDone {
			answered++
		}
	}
}

func TestShutdownAnswersWhatWasAsked(t *testing.T) {
	disk, _ := testDisk(t)
	fetching, far := make(chan struct{}), make(chan struct{})
	disk.Fetch = func(context.Context, int64, int64) error {
		close(fetching)
		<-far
		return nil
	}
	s, addr := start(t, "unix", Config{Exports: disks{diskName: disk}})
	k := attach(t, addr, true)
	k.send(encodeRequest(cmdRead, 0, 1, 0, 4096))
	<-fetching
	ended := make(chan error, 1)
	go func() { ended <- s.Shutdown(context.Background()) }()
	for !s.isClosed() {
		time.Sleep(time.Millisecond)
	}
	close(far)
	if c := k.chunk(); c.kind != chunkOffsetData {
		t.Errorf("got %+v", c)
	}
	if _, err := k.conn.Read(make([]byte, 1)); err != io.EOF {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestShutdownCutsWhatDoesNotEnd(t *testing.T) {
	disk, _ := testDisk(t)
	fetching := make(chan struct{})
	disk.Fetch = func(ctx context.Context, _, _ int64) error {
		close(fetching)
		<-ctx.Done()
		return ctx.Err()
	}
	s, addr := start(t, "unix", Config{Exports: disks{diskName: disk}})
	k := attach(t, addr, true)
	k.send(encodeRequest(cmdRead, 0, 1, 0, 4096))
	<-fetching
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := s.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func TestExportsAreReleased(t *testing.T) {
	disk, _ := testDisk(t)
	released := make(chan struct{}, 3)
	disk.Release = func() { released <- struct{}{} }
	s, addr := start(t, "unix", Config{Exports: disks{diskName: disk, "other": disk}})
	k := dial(t, addr, flagFixedNewstyle)
	k.ask(optInfo, goTo("other"))
	k.ask(optInfo, goTo(diskName))
	k.ask(optGo, goTo(diskName))
	k.conn.Close()
	if err := s.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	if len(released) != 2 {
		t.Errorf("released %d times", len(released))
	}
}

func TestHandshakesMayNotTakeForEver(t *testing.T) {
	disk, _ := testDisk(t)
	addr := serve(t, "unix", Config{Exports: disks{diskName: disk}, IdleTimeout: 50 * time.Millisecond})
	k := dial(t, addr, flagFixedNewstyle)
	if _, err := k.conn.Read(make([]byte, 1)); err != io.EOF {
		t.Error("a silent client:", err)
	}
	resting := attach(t, addr, true)
	time.Sleep(150 * time.Millisecond)
	resting.send(encodeRequest(cmdRead, 0, 1, 0, 4096))
	if c := resting.chunk(); c.kind != chunkOffsetData {
		t.Errorf("a disk that has rested gives %+v", c)
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	disk, _ := testDisk(t)
	addr := serve(t, "unix", Config{Exports: disks{diskName: disk}, MaxConnections: 1})
	attach(t, addr, true)
	conn, err := net.Dial("unix", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if p, err := io.ReadAll(conn); len(p) > 0 {
		t.Errorf("a second client is told %q, %v", p, err)
	}
}

func TestStatusCoversWhatWasAsked(t *testing.T) {
	disk, _ := testDisk(t)
	k := attach(t, serve(t, "unix", Config{Exports: disks{diskName: disk}}), true)
	rapid.Check(t, func(t *rapid.T) {
		off := rapid.Int64Range(0, diskSize-1).Draw(t, "off")
		n := rapid.Int64Range(1, diskSize-off).Draw(t, "n")
		flags := rapid.SampledFrom([]uint16{0, cmdFlagReqOne}).Draw(t, "flags")
		k.send(encodeRequest(cmdBlockStatus, flags, 3, uint64(off), uint32(n)))
		c := k.chunk()
		if c.kind != chunkBlockStatus || binary.BigEndian.Uint32(c.data) != contextAllocationID {
			t.Fatalf("got %+v", c)
		}
		at := off
		for p := c.data[4:]; len(p) > 0; p = p[8:] {
			length, state := int64(binary.BigEndian.Uint32(p)), binary.BigEndian.Uint32(p[4:])
			if state == stateHoleZero {
				if next, _, ok := disk.Map.NextData(at); ok && next < at+length {
					t.Fatalf("a hole of %d bytes at %d has content at %d", length, at, next)
				}
			}
			at += length
		}
		if flags == 0 && at != off+n || at > off+n || at == off {
			t.Fatalf("%d bytes of %d at %d", at-off, n, off)
		}
		if flags != 0 && len(c.data) != 4+8 {
			t.Fatalf("%d bytes of status, one descriptor was asked for", len(c.data))
		}
	})
}

func TestSegmentsCoverAMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := convertertest.DrawMap(t, convertertest.Blobs{}, 1<<20)
		off := rapid.Int64Range(0, m.Size()).Draw(t, "off")
		n := rapid.Int64Range(0, m.Size()-off).Draw(t, "n")
		at, first, hole := off, true, false
		for s := range segments(m, off, n) {
			if s.off != at || s.n <= 0 || !first && s.hole == hole {
				t.Fatalf("%+v at %d", s, at)
			}
			for _, e := range m.Range(s.off, s.n) {
				if s.hole && e.Kind != extent.Zero {
					t.Fatalf("a hole has %s", e.Kind)
				}
			}
			at, first, hole = at+s.n, false, s.hole
		}
		if at != off+n {
			t.Fatalf("they end at %d of %d", at, off+n)
		}
	})
}

func TestBudgetIsGivenInTurn(t *testing.T) {
	b := newBudget(10)
	b.take(8, nil)
	granted := make(chan int64, 2)
	for i, n := range []int64{5, 1} {
		go func() {
			b.take(n, nil)
			granted <- n
		}()
		for waiting := 0; waiting <= i; {
			b.mu.Lock()
			waiting = len(b.waiting)
			b.mu.Unlock()
		}
	}
	select {
	case n := <-granted:
		t.Fatalf("%d were granted out of turn", n)
	default:
	}
	b.give(8)
	if <-granted+<-granted != 6 {
		t.Error("not all were granted")
	}
}
