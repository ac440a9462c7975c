package access

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/cloudlets/cloudlets/registry"
)

// Usage measures how many bytes the repositories below a prefix occupy, with
// uploads that are not finished. Empty is all of them.
type Usage interface {
	Usage(ctx context.Context, prefix string) (int64, error)
}

const (
	measureEvery = time.Second // at most
	reserveStep  = 4 << 20     // bytes, of a body that does not say how long it is
)

// Ledger keeps quotas: it is a registry.Quota. It counts the bytes under way in
// this process beside those that were measured. Several processes on one store
// see each other's bytes once they are stored or saved.
type Ledger struct {
	usage    Usage
	clock    func() time.Time
	accounts []*account
}

var _ registry.Quota = (*Ledger)(nil)

// NewLedger returns a ledger of quotas that were validated.
func NewLedger(quotas []Quota, usage Usage) *Ledger { return newLedger(quotas, usage, time.Now) }

func newLedger(quotas []Quota, usage Usage, clock func() time.Time) *Ledger {
	l := &Ledger{usage: usage, clock: clock}
	for _, q := range quotas {
		l.accounts = append(l.accounts, &account{Quota: q})
	}
	return l
}

// account is what is known of a quota.
type account struct {
	Quota
	mu       sync.Mutex
	used     int64 // measured, and received since
	reserved int64 // of bodies under way
	measured time.Time
}

func (a *account) covers(repository string) bool {
	rest, ok := strings.CutPrefix(repository, a.Prefix)
	return ok && (a.Prefix == "" || rest == "" || rest[0] == '/')
}

// Admit counts a body.
func (l *Ledger) Admit(ctx context.Context, repository string, body io.ReadCloser, length int64) (io.ReadCloser, error) {
	m := &meteredBody{ReadCloser: body, ctx: ctx, ledger: l}
	for _, a := range l.accounts {
		if a.covers(repository) {
			m.accounts = append(m.accounts, a)
		}
	}
	if length < 0 {
		length = 1 // at least
	}
	if length == 0 {
		return m, nil
	}
	if err := m.reserve(length); err != nil {
		return nil, err
	}
	return m, nil
}

// reserve takes room for n bytes. Room is measured again before it is refused.
func (l *Ledger) reserve(ctx context.Context, a *account, n int64) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if l.clock().Sub(a.measured) >= measureEvery && (a.measured.IsZero() || a.reserved == 0 || !a.hasRoom(n)) {
		used, err := l.usage.Usage(ctx, a.Prefix)
		if err != nil {
			return fmt.Errorf("measure what is used of the quota: %w", err)
		}
		a.used, a.measured = used, l.clock()
	}
	if !a.hasRoom(n) {
		return &registry.Error{Status: http.StatusForbidden, Code: registry.CodeDenied, Message: fmt.Sprintf(
			"the quota of %q is used up: %d bytes more do not fit into %d, of which %d are used: remove what is not needed, or ask for more",
			a.Prefix, n, a.Bytes, a.used+a.reserved)}
	}
	a.reserved += n
	return nil
}

func (a *account) hasRoom(n int64) bool { return n <= a.Bytes-a.used-a.reserved }

// meteredBody counts the body of a request against quotas.
type meteredBody struct {
	io.ReadCloser
	ctx      context.Context
	ledger   *Ledger
	accounts []*account
	reserved int64
	received int64
	once     sync.Once
}

func (m *meteredBody) Read(p []byte) (int, error) {
	n, err := m.ReadCloser.Read(p)
	m.received += int64(n)
	if m.received > m.reserved {
		if refused := m.reserve(max(reserveStep, m.received-m.reserved)); refused != nil {
			return 0, refused
		}
	}
	return n, err
}

// reserve takes room in all accounts, or in none. The last bytes of room are
// given to a body that needs no more.
func (m *meteredBody) reserve(n int64) error {
	for i, a := range m.accounts {
		if err := m.ledger.reserve(m.ctx, a, n); err != nil {
			for _, taken := range m.accounts[:i] {
				taken.release(n, 0)
			}
			if need := m.received - m.reserved; need > 0 && need < n {
				return m.reserve(need)
			}
			return err
		}
	}
	m.reserved += n
	return nil
}

// Close ends the count: what was received is stored by now, or was thrown away,
// which the next measurement shows.
func (m *meteredBody) Close() error {
	m.once.Do(func() {
		for _, a := range m.accounts {
			a.release(m.reserved, m.received)
		}
	})
	return m.ReadCloser.Close()
}

func (a *account) release(reserved, received int64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.reserved -= reserved
	a.used += received
}
