package qemu

import (
	"bytes"
	"io"
	"regexp"
)

// kernelSpeech is what only a running kernel, or what it started, writes: its
// time stamps, or a login prompt.
var kernelSpeech = regexp.MustCompile(`\[ {0,4}\d+\.\d{6}\]|login:`)

// watched is how much of the console's latest output is searched, in bytes.
const watched = 4096

// watcher passes a console's output on and looks for two things in it.
type watcher struct {
	w      io.Writer
	until  string
	seen   func() // called once until was written
	spoken func() // called when a kernel speaks; nil where nobody asks

	recent []byte
}

func (c *watcher) Write(p []byte) (int, error) {
	c.recent = append(c.recent, p...)
	if c.spoken != nil && kernelSpeech.Match(c.recent) {
		c.spoken()
		c.spoken = nil
	}
	if c.until != "" && bytes.Contains(c.recent, []byte(c.until)) {
		c.seen()
		c.until = ""
	}
	if n := len(c.recent); n > watched {
		c.recent = append(c.recent[:0], c.recent[n-watched/2:]...)
	}
	return c.w.Write(p)
}
