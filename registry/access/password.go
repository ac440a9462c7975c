package access

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"golang.org/x/crypto/bcrypt"
)

const (
	rememberFor = 5 * time.Minute // how long a password that was right is known
	maxKnown    = 4096            // how many are
)

// users verifies passwords. Hashing takes long by design, so what was right is
// known for a while, as a digest under a key that only this process has.
type users struct {
	files *files[*hashes]
	clock func() time.Time
	// turns bounds how many processors are hashing.
	turns chan struct{}
	key   [sha256.Size]byte

	mu    sync.Mutex
	known map[[sha256.Size]byte]time.Time
}

func openUsers(path string, clock func() time.Time, log *slog.Logger) (*users, error) {
	f, err := openFiles(log, func(contents [][]byte) (*hashes, error) { return newHashes(contents[0]) }, path)
	if err != nil {
		return nil, fmt.Errorf("users: %w", err)
	}
	u := &users{files: f, clock: clock, turns: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)), known: make(map[[sha256.Size]byte]time.Time)}
	_, _ = rand.Read(u.key[:]) // never fails
	return u, nil
}

// remembered says whether a password was right a while ago, and still is.
func (u *users) remembered(user, password string) bool {
	hash, ok := u.files.get().users[user]
	if !ok {
		return false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	until, ok := u.known[u.digest(user, password, hash)]
	return ok && u.clock().Before(until)
}

// verify says whether a password is the user's. It takes as long for a user who
// does not exist. The error is that of ctx.
func (u *users) verify(ctx context.Context, user, password string) (bool, error) {
	select {
	case u.turns <- struct{}{}:
		defer func() { <-u.turns }()
	case <-ctx.Done():
		return false, ctx.Err()
	}
	h := u.files.get()
	if !h.verify(user, password) {
		return false, nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.known) >= maxKnown {
		clear(u.known)
	}
	u.known[u.digest(user, password, h.users[user])] = u.clock().Add(rememberFor)
	return true, nil
}

// digest stands for a password in memory.
func (u *users) digest(user, password string, hash []byte) (d [sha256.Size]byte) {
	mac := hmac.New(sha256.New, u.key[:])
	for _, part := range [][]byte{[]byte(user), []byte(password), hash} {
		mac.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		mac.Write(part)
	}
	return [sha256.Size]byte(mac.Sum(nil))
}

// hashes are those of an htpasswd file, and of passwords that nobody has: one of
// each cost from the lowest to the highest in the file.
type hashes struct {
	users     htpasswd
	nobodys   [][]byte
	low, high int // costs
	compare   func(hash, password []byte) error
}

func newHashes(content []byte) (*hashes, error) {
	parsed, err := parseHtpasswd(content)
	if err != nil {
		return nil, err
	}
	h := &hashes{users: parsed, compare: bcrypt.CompareHashAndPassword, low: bcrypt.DefaultCost, high: bcrypt.DefaultCost}
	first := true
	for _, hash := range parsed {
		cost, err := bcrypt.Cost(hash)
		if err != nil {
			return nil, err
		}
		if first {
			h.low, h.high, first = cost, cost, false
		}
		h.low, h.high = min(h.low, cost), max(h.high, cost)
	}
	for cost := h.low; cost <= h.high; cost++ {
		hash, err := bcrypt.GenerateFromPassword([]byte(rand.Text()), cost)
		if err != nil {
			return nil, err
		}
		h.nobodys = append(h.nobodys, hash)
	}
	return h, nil
}

// verify compares a password. A wrong one takes 2^high rounds, whether or not
// the user exists and whatever the cost of the hash: a hash takes 2^cost, and
// those of nobody from there to high-1 take 2^high - 2^cost.
func (h *hashes) verify(user, password string) bool {
	hash, ok := h.users[user]
	if !ok {
		hash = h.nobodys[h.high-h.low]
	}
	if h.compare(hash, []byte(password)) == nil && ok {
		return true
	}
	cost, err := bcrypt.Cost(hash)
	if err != nil {
		return false
	}
	for c := cost; c < h.high; c++ {
		_ = h.compare(h.nobodys[c-h.low], []byte(password)) // for the time it takes
	}
	return false
}
