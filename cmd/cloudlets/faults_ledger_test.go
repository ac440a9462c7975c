package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"
)

// absent stands for what is not there, where a digest could be.
const absent digest.Digest = ""

// ledger is what a registry has acknowledged, and what came of it.
type ledger struct {
	// strict says that nothing but the server fails: then no answer may say
	// that something did.
	strict bool

	mu           sync.Mutex
	paths        []string // that were acknowledged, in that order
	facts        map[string]*fact
	referrers    map[string][]digest.Digest // by path of the list
	acknowledged int
	verified     int
	failures     map[int]int // answers of 500 and more, by status
	broken       []string    // promises
}

// fact is what GET of a path may answer with: content of one of the digests.
type fact struct {
	may     []digest.Digest
	version int // counts the changes
}

func newLedger(strict bool) *ledger {
	return &ledger{strict: strict, facts: map[string]*fact{}, referrers: map[string][]digest.Digest{}, failures: map[int]int{}}
}

// attempt notes that a request is about to be made that may give a path other
// content, acknowledged or not.
func (l *ledger) attempt(path string, d digest.Digest) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.facts[path]
	if f == nil {
		f = &fact{may: []digest.Digest{absent}}
		l.facts[path] = f
		l.paths = append(l.paths, path)
	}
	f.may = append(slices.Clone(f.may), d)
	f.version++
}

// settle notes that a request was acknowledged.
func (l *ledger) settle(path string, d digest.Digest) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acknowledged++
	f := l.facts[path]
	if f == nil {
		f = new(fact)
		l.facts[path] = f
		l.paths = append(l.paths, path)
	}
	f.may = []digest.Digest{d}
	f.version++
}

// refer notes that a manifest was acknowledged which refers to a subject.
func (l *ledger) refer(list string, d digest.Digest) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.referrers[list] = append(l.referrers[list], d)
}

// know returns what is known of a path.
func (l *ledger) know(path string) fact {
	l.mu.Lock()
	defer l.mu.Unlock()
	if f := l.facts[path]; f != nil {
		return *f
	}
	return fact{may: []digest.Digest{absent}}
}

// recent is how many paths count as recent.
const recent = 50

// choose returns a path, half of the time one that is recent.
func (l *ledger) choose() (path string, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := len(l.paths)
	if n == 0 {
		return "", false
	}
	if rand.N(2) == 0 {
		return l.paths[n-1-rand.N(min(n, recent))], true
	}
	return l.paths[rand.N(n)], true
}

// breachf notes a promise that was broken.
func (l *ledger) breachf(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.broken = append(l.broken, fmt.Sprintf(format, args...))
}

// failed notes an answer that says that something failed.
func (l *ledger) failed(what string, status int, body string) {
	l.mu.Lock()
	l.failures[status]++
	l.mu.Unlock()
	if l.strict {
		l.breachf("%s: %d %s, although nothing but the server was killed", what, status, body)
	}
}

// counts returns how many writes were acknowledged, and how often one was found
// to be kept.
func (l *ledger) counts() (acknowledged, verified int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.acknowledged, l.verified
}

// check compares what a registry answers for a path with what it has
// acknowledged. It returns an error where there is no telling.
func (l *ledger) check(c *caller, path string) error {
	before := l.know(path)
	got, err := c.pull(path)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if f := l.facts[path]; f == nil || f.version != before.version {
		return nil // it was about to change
	}
	if !slices.Contains(before.may, got) {
		l.broken = append(l.broken, fmt.Sprintf("GET %s: got %q, want one of %q", path, got, before.may))
		return nil
	}
	l.verified++
	return nil
}

// checkReferrers compares the lists of referrers.
func (l *ledger) checkReferrers(c *caller) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for list, want := range l.referrers {
		a, err := c.call(http.MethodGet, list, nil, nil)
		if err != nil {
			return err
		}
		for _, d := range want {
			if a.status != http.StatusOK || !strings.Contains(a.body, string(d)) {
				l.broken = append(l.broken, fmt.Sprintf("GET %s: %d without %s", list, a.status, d))
			}
		}
	}
	return nil
}

// pull returns the digest of what a path has.
func (c *caller) pull(path string) (digest.Digest, error) {
	resp, err := c.http.Get(c.url(path))
	if err != nil {
		return "", fmt.Errorf("%w: %w", errUnavailable, err)
	}
	defer resp.Body.Close()
	hash := digest.Canonical.Digester()
	var start strings.Builder
	_, err = io.Copy(io.MultiWriter(hash.Hash(), &limited{&start}), resp.Body)
	switch {
	case resp.StatusCode == http.StatusNotFound && err == nil:
		return absent, nil
	case resp.StatusCode >= http.StatusInternalServerError:
		c.ledger.failed("GET "+path, resp.StatusCode, start.String())
		return "", errUnavailable
	case err != nil:
		return "", fmt.Errorf("%w: %w", errUnavailable, err)
	case resp.StatusCode != http.StatusOK:
		c.ledger.breachf("GET %s: %d %s", path, resp.StatusCode, &start)
		return "", errUnavailable
	}
	return hash.Digest(), nil
}

// limited keeps the start of what is written.
type limited struct{ b *strings.Builder }

func (l *limited) Write(p []byte) (int, error) {
	const room = 1000
	l.b.Write(p[:max(0, min(len(p), room-l.b.Len()))])
	return len(p), nil
}
