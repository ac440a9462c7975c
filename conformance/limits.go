package main

import (
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"time"
)

const (
	// maxTries is how often a request is sent that is answered 429.
	maxTries = 5
	// maxWait bounds how long a registry is waited for between them.
	maxWait = time.Minute
)

// waitForTurn waits as long as a registry says that has answered 429. One that
// does not say breaks a SHOULD (section Too many requests; RFC 6585, section 4).
func (a *answer) waitForTurn() {
	text := a.header.Get("Retry-After")
	wait, err := parseRetryAfter(text, time.Now())
	if err != nil {
		a.failf("429 with a Retry-After of seconds or a date", "%q", text)
	}
	select {
	case <-a.t.ctx.Done():
	case <-time.After(min(wait, maxWait)):
	}
}

// parseRetryAfter reads the header (RFC 9110, section 10.2.3).
func parseRetryAfter(text string, now time.Time) (time.Duration, error) {
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second, nil
	}
	at, err := http.ParseTime(text)
	if err != nil {
		return 0, fmt.Errorf("read Retry-After: %w", err)
	}
	return max(0, at.Sub(now)), nil
}

// maxWarnings is how long the warnings of an answer may be in all, in bytes
// (section Warnings).
const maxWarnings = 4096

// warning is the form of a warning: the code 299, no agent and no date.
var warning = regexp.MustCompile(`^299 - "(?:[^"\\]|\\.)*"$`)

// wantWarningForm fails the test if the answer warns in another form than the
// specification's.
func (a *answer) wantWarningForm() {
	length := 0
	for _, value := range a.header.Values("Warning") {
		length += len(value)
		if !warning.MatchString(value) {
			a.failf(`a warning to be 299 - "text"`, "%s", shorten(value))
		}
	}
	if length > maxWarnings {
		a.failf(fmt.Sprintf("at most %d bytes of warnings", maxWarnings), "%d", length)
	}
}
