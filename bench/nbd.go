package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	randomReads = 100000
	randomSize  = 4096 // bytes
	randomDepth = 16   // reads under way
)

// nbdReads measures reads of a disk whose content is held, over a unix socket.
func nbdReads(ctx context.Context, s settings) error {
	srv, err := startServer(ctx, s, "nbd")
	if err != nil {
		return err
	}
	image := srv.ref("golden/debian:12")
	if _, err := srv.cloudlets(ctx, "push", s.tar, image); err != nil {
		return err
	}
	raw := filepath.Join(s.work, "nbd.raw")
	if _, err := srv.cloudlets(ctx, "raw", image, "-o", raw); err != nil {
		return err
	}
	ours, theirs := filepath.Join(s.work, "ours.sock"), filepath.Join(s.work, "nbdkit.sock")
	p, err := startSocket(ctx, s, ours, s.binary, "-q", "nbd", "serve", image, "--listen", "unix:"+ours)
	if err != nil {
		return err
	}
	peer, err := startSocket(ctx, s, theirs, "nbdkit", "-f", "-U", theirs, "file", raw)
	if err != nil {
		return err
	}
	blocks, err := dataBlocks(raw)
	if err != nil {
		return err
	}
	for _, socket := range []string{ours, theirs} { // the first reads fetch
		if err := copyAll(ctx, socket); err != nil {
			return err
		}
	}
	sequential, err := alternate(2*s.rounds, nil,
		func(int) error { return copyAll(ctx, ours) }, func(int) error { return copyAll(ctx, theirs) })
	if err != nil {
		return err
	}
	random, err := alternate(2*s.rounds, nil,
		func(int) error { return readRandomly(ctx, ours, blocks) }, func(int) error { return readRandomly(ctx, theirs, blocks) })
	if err != nil {
		return err
	}
	row("NBD: a held image, all of it with `nbdcopy`", "nbdkit file", sequential[0], sequential[1], "≥ 0.8×")
	row(fmt.Sprintf("NBD: the same, %d reads of 4 KiB, %d at a time", randomReads, randomDepth), "nbdkit file", random[0], random[1], "≥ 0.8×")
	return errors.Join(p.stop(), peer.stop(), srv.stop(), os.Remove(raw))
}

// startSocket starts a server on a unix socket.
func startSocket(ctx context.Context, s settings, socket string, command ...string) (*process, error) {
	return startProcessOn(ctx, s, "unix", filepath.Base(command[0]), socket, nil, command...)
}

func copyAll(ctx context.Context, socket string) error {
	_, err := run1(ctx, "nbdcopy", "nbd+unix:///?socket="+socket, "null:")
	return err
}

// dataBlocks returns the blocks of a sparse file that are not in holes.
func dataBlocks(path string) ([]uint64, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var blocks []uint64
	for end := int64(0); ; {
		start, err := f.Seek(end, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) {
			return blocks, nil
		}
		if err != nil {
			return nil, err
		}
		if end, err = f.Seek(start, unix.SEEK_HOLE); err != nil {
			return nil, err
		}
		for off := start; off+randomSize <= end; off += randomSize {
			blocks = append(blocks, uint64(off))
		}
	}
}

// readRandomly reads blocks in a random order, the same in every round.
func readRandomly(ctx context.Context, socket string, blocks []uint64) error {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return err
	}
	r := bufio.NewReaderSize(conn, 256<<10)
	if err := attach(conn, r); err != nil {
		return err
	}
	places := make(chan struct{}, randomDepth)
	var asking sync.WaitGroup
	var asked error
	asking.Go(func() {
		dice := rand.New(rand.NewPCG(1, 2))
		for i := range uint64(randomReads) {
			places <- struct{}{}
			q := binary.BigEndian.AppendUint64([]byte{0x25, 0x60, 0x95, 0x13, 0, 0, 0, 0}, i)
			q = binary.BigEndian.AppendUint64(q, blocks[dice.IntN(len(blocks))])
			if _, asked = conn.Write(binary.BigEndian.AppendUint32(q, randomSize)); asked != nil {
				return
			}
		}
	})
	err = takeReplies(r, places)
	asking.Wait()
	return errors.Join(err, asked)
}

// attach speaks the shortest handshake: the default export, simple replies.
func attach(conn io.Writer, r io.Reader) error {
	if _, err := io.CopyN(io.Discard, r, 18); err != nil {
		return err
	}
	hello := append([]byte{0, 0, 0, 3}, "IHAVEOPT\x00\x00\x00\x01\x00\x00\x00\x00"...)
	if _, err := conn.Write(hello); err != nil {
		return err
	}
	_, err := io.CopyN(io.Discard, r, 10)
	return err
}

// takeReplies takes simple replies with content.
func takeReplies(r io.Reader, places <-chan struct{}) error {
	reply := make([]byte, 16+randomSize)
	for range randomReads {
		if _, err := io.ReadFull(r, reply); err != nil {
			return err
		}
		if failed := binary.BigEndian.Uint32(reply[4:]); failed != 0 {
			return fmt.Errorf("a read has failed with %d", failed)
		}
		<-places
	}
	return nil
}
