package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// faultLogVariable names a file to which the log of a fault injection is
// appended, to be kept.
const faultLogVariable = "CLOUDLETS_FAULT_LOG"

// faultLog tells what was done to a registry and what came of it.
type faultLog struct {
	t     testing.TB
	out   io.Writer
	begun time.Time
}

func newFaultLog(t testing.TB) *faultLog {
	t.Helper()
	l := &faultLog{t: t, out: io.Discard, begun: time.Now()}
	if path := os.Getenv(faultLogVariable); path != "" {
		f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
		l.out = f
	}
	return l
}

func (l *faultLog) printf(format string, args ...any) {
	fmt.Fprintf(l.out, "%9.3fs %s: %s\n", time.Since(l.begun).Seconds(), l.t.Name(), fmt.Sprintf(format, args...))
}

// Numbers of clients.
const (
	pushers = 8
	pullers = 8
)

// siege is a registry under load that is killed again and again.
type siege struct {
	t      *testing.T
	node   *clusterNode
	ledger *ledger
	log    *faultLog
	expiry time.Duration

	clients sync.WaitGroup
	ended   atomic.Bool
	steps   [pushers]atomic.Int64 // that were acknowledged
	mu      sync.Mutex
	rootfs  map[string]string // tar by reference without the registry
}

func TestAcknowledgedWritesSurviveKills(t *testing.T) {
	besiege(t, newFiles, newBucket, func(s *siege, n int) {
		s.log.printf("kill -9 %d times", n)
		for i := range n {
			s.killed(i, disturbance{name: "none"})
		}
	})
}

func TestAcknowledgedWritesSurviveFaults(t *testing.T) {
	besiege(t, newFiles, newBucket, func(s *siege, n int) {
		s.log.printf("kill -9 %d times, with faults between", n)
		s.ledger.strict = false
		for i := range n {
			s.killed(i, s.node.back.faults[i%len(s.node.back.faults)])
		}
	})
}

// besiege runs a siege of each back end.
func besiege(t *testing.T, files, bucket func(testing.TB, string) *backEnd, attack func(*siege, int)) {
	for name, open := range map[string]func(testing.TB, string) *backEnd{"files": files, "bucket": bucket} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := crashes(t)
			s := &siege{t: t, ledger: newLedger(true), log: newFaultLog(t), expiry: 5 * time.Second, rootfs: map[string]string{}}
			if n > 20 {
				s.expiry = 15 * time.Second
			}
			size := fmt.Sprintf("%dm", 64+16*n)
			s.node = newNode(t, open(t, size), "--upload-expiry", s.expiry.String(), "--orphan-interval", "2s")
			s.begin()
			attack(s, n)
			s.recovers()
			s.end()
			s.convergence()
			s.fsck()
		})
	}
}

// begin lets the clients go.
func (s *siege) begin() {
	for i := range pushers - 1 {
		p := newPusher(newCaller(s.ledger, s.expiry, s.node.address), fmt.Sprintf("golden/r%d", i))
		s.clients.Go(func() { s.push(&s.steps[i], p.step) })
	}
	own := &ownPusher{siege: s, tars: versions(s.t, 3)}
	s.clients.Go(func() { s.push(&s.steps[pushers-1], own.step) })
	for range pullers {
		s.clients.Go(s.pull)
	}
}

// push takes steps until the siege ends.
func (s *siege) push(count *atomic.Int64, step func() error) {
	for !s.ended.Load() {
		if err := step(); err != nil {
			time.Sleep(20 * time.Millisecond)
			continue
		}
		count.Add(1)
		time.Sleep(rand.N(120 * time.Millisecond))
	}
}

func (s *siege) pull() {
	c := newCaller(s.ledger, s.expiry, s.node.address)
	for !s.ended.Load() {
		path, ok := s.ledger.choose()
		if !ok || s.ledger.check(c, path) != nil {
			time.Sleep(20 * time.Millisecond)
		}
		time.Sleep(rand.N(20 * time.Millisecond))
	}
}

// ownPusher pushes root filesystems that share frames, with our own client.
type ownPusher struct {
	*siege
	tars []string
	n    int
}

func (p *ownPusher) step() error {
	p.n++
	name := fmt.Sprintf("golden/own:%d", p.n)
	rootfs := p.tars[p.n%len(p.tars)]
	r := cloudlets(p.t, "push", "-q", rootfs, p.node.address+"/"+name)
	if r.code != 0 {
		return errUnavailable
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rootfs[name] = rootfs
	time.Sleep(300 * time.Millisecond)
	return nil
}

// killed kills the server once, around a fault.
func (s *siege) killed(i int, f disturbance) {
	s.t.Helper()
	pause := func() { time.Sleep(rand.N(s.node.back.pause)) }
	pause()
	during := false
	if f.begin != nil {
		s.must(f.begin())
		pause()
		if during = rand.N(2) == 0; !during {
			s.must(f.end())
			pause()
		}
	}
	s.node.kill()
	err := s.node.try()
	if during {
		s.must(f.end())
		if err != nil { // what it needs was not there
			err = s.node.try()
		}
	}
	s.must(err)
	acknowledged, verified := s.ledger.counts()
	s.log.printf("kill %d, fault: %s, %d writes acknowledged, %d times verified", i+1, f.name, acknowledged, verified)
	s.check()
}

func (s *siege) must(err error) {
	s.t.Helper()
	if err != nil {
		s.end()
		s.t.Fatal(err)
	}
}

// check ends the test where a promise was broken.
func (s *siege) check() {
	s.t.Helper()
	s.ledger.mu.Lock()
	broken := slices.Clone(s.ledger.broken)
	s.ledger.mu.Unlock()
	if len(broken) == 0 {
		return
	}
	s.log.printf("BROKEN: %s", strings.Join(broken, "\n"))
	s.end()
	s.t.Fatalf("%d promises were broken:\n%s", len(broken), strings.Join(broken[:min(10, len(broken))], "\n"))
}

func (s *siege) end() {
	s.ended.Store(true)
	s.clients.Wait()
}

// recovers checks that every client gets through once there are no faults.
func (s *siege) recovers() {
	s.t.Helper()
	var before [pushers]int64
	for i := range before {
		before[i] = s.steps[i].Load()
	}
	eventually(s.t, "every client gets through", func() bool {
		for i := range before {
			if s.steps[i].Load() == before[i] {
				return false
			}
		}
		return true
	})
}

// convergence pulls all that was acknowledged, and waits until nothing else is
// there.
func (s *siege) convergence() {
	s.t.Helper()
	c := newCaller(s.ledger, s.expiry, s.node.address)
	for _, path := range s.ledger.paths {
		if err := s.ledger.check(c, path); err != nil {
			s.t.Fatalf("GET %s: %v", path, err)
		}
	}
	s.must(s.ledger.checkReferrers(c))
	s.check()
	out := filepath.Join(s.t.TempDir(), "out.tar")
	for name, rootfs := range s.rootfs {
		ok(s.t, "pull", "-q", s.node.address+"/"+name, "-o", out)
		same(s.t, out, rootfs)
	}
	// Who had claimed the trash was killed: ten minutes later it is due again.
	if _, err := s.node.back.db.ExecContext(s.t.Context(), `UPDATE trash SET not_before = 0 WHERE doomed = 1`); err != nil {
		s.t.Fatal(err)
	}
	acknowledged, verified := s.ledger.counts()
	s.log.printf("all clients ended: %d writes acknowledged, %d times verified, %d images of our own client; failures by status: %v",
		acknowledged, verified, len(s.rootfs), s.failures())
	var left string
	for end := time.Now().Add(3*time.Minute + 4*s.expiry); ; time.Sleep(200 * time.Millisecond) {
		var err error
		if left, err = s.node.leftovers(s.t.Context()); err == nil && left == "" {
			break
		}
		if time.Now().After(end) {
			s.log.printf("LEFT: %s, %v", left, err)
			s.t.Fatalf("there is left: %s, %v", left, err)
		}
	}
	s.log.printf("no upload, part or orphan is left")
}

// failures returns how often something failed, by status.
func (s *siege) failures() string {
	s.ledger.mu.Lock()
	defer s.ledger.mu.Unlock()
	var b strings.Builder
	for _, status := range slices.Sorted(maps.Keys(s.ledger.failures)) {
		fmt.Fprintf(&b, "%d: %d ", status, s.ledger.failures[status])
	}
	return b.String()
}

func (s *siege) fsck() {
	s.node.stop(s.t)
	found := s.node.run(s.t, "fsck")
	s.log.printf("fsck: %s", strings.TrimSpace(found))
	if !strings.Contains(found, " 0 of them damaged") || !strings.Contains(found, " 0 of them orphaned") {
		s.t.Error(errors.New(found))
	}
}
