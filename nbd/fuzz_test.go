package nbd

import (
	"context"
	"io"
	"net"
	"testing"
	"time"
)

// converse sends input to a server, which must end the connection when it shuts
// down.
func converse(t *testing.T, disk *Export, input []byte) {
	s := New(Config{Exports: disks{diskName: disk}, IdleTimeout: time.Second})
	theirs, ours := net.Pipe()
	s.start(theirs)
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		io.Copy(io.Discard, ours)
	}()
	ours.Write(input)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Errorf("the connection does not end: %v", err)
	}
	ours.Close()
	<-heard
}

var newstyle = []byte{0, 0, 0, flagFixedNewstyle | flagNoZeroes}

func FuzzHandshake(f *testing.F) {
	disk, _ := testDisk(f)
	for _, options := range [][]byte{
		encodeOption(optList, nil),
		encodeOption(optInfo, goTo(diskName)),
		encodeOption(optExportName, []byte(diskName)),
		encodeOption(optListMetaContext, query(diskName)),
		append(encodeOption(optStructuredReply, nil), encodeOption(optSetMetaContext, query(diskName, contextAllocation))...),
		encodeOption(optStartTLS, nil),
	} {
		f.Add(append(append([]byte(nil), newstyle...), options...))
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		converse(t, disk, input)
	})
}

func FuzzRequests(f *testing.F) {
	disk, _ := testDisk(f)
	for _, requests := range [][]byte{
		encodeRequest(cmdRead, 0, 1, 0, 4096),
		encodeRequest(cmdRead, cmdFlagDF, 1, 1<<20-1, 4097),
		encodeRequest(cmdBlockStatus, cmdFlagReqOne, 1, 77, 1<<20),
		encodeRequest(cmdCache, 0, 1, 0, 1<<20),
		append(encodeRequest(cmdWrite, 0, 1, 0, 3), "abc"...),
		encodeRequest(cmdDisconnect, 0, 0, 0, 0),
	} {
		f.Add(true, requests)
		f.Add(false, requests)
	}
	f.Fuzz(func(t *testing.T, structured bool, requests []byte) {
		input := append([]byte(nil), newstyle...)
		if structured {
			input = append(input, encodeOption(optStructuredReply, nil)...)
			input = append(input, encodeOption(optSetMetaContext, query(diskName, contextAllocation))...)
		}
		converse(t, disk, append(append(input, encodeOption(optGo, goTo(diskName))...), requests...))
	})
}
