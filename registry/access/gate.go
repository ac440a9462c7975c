package access

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"sync/atomic"

	"github.com/cloudlets/cloudlets/registry"
)

// Gate stands before a registry and does what a configuration says, which can be
// replaced while it serves. It is a registry.Access and a registry.Quota.
type Gate struct {
	usage   Usage
	log     *slog.Logger
	current atomic.Pointer[rulebook]
}

var (
	_ registry.Access = (*Gate)(nil)
	_ registry.Quota  = (*Gate)(nil)
)

// rulebook is what one configuration comes to.
type rulebook struct {
	config  Config
	control *Control // nil lets everybody do everything
	ledger  *Ledger  // nil sets no bounds
}

// NewGate returns a gate. What was measured of quotas comes from usage.
func NewGate(c Config, usage Usage, log *slog.Logger) (*Gate, error) {
	g := &Gate{usage: usage, log: log}
	apply, err := g.Prepare(c)
	if err != nil {
		return nil, err
	}
	apply()
	return g, nil
}

// Prepare reads all that a configuration names and checks it, and returns how to
// put it in force, which cannot fail. Requests under way go on as they began.
//
// What is counted goes on where its bounds did not change. TLS is not the gate's.
func (g *Gate) Prepare(c Config) (apply func(), err error) {
	enabled := c.Enabled()
	c.SetDefaults()
	if err := c.Validate(); err != nil {
		return nil, err
	}
	next := &rulebook{config: c}
	if enabled {
		if next.control, err = New(c, g.log); err != nil {
			return nil, fmt.Errorf("prepare access: %w", err)
		}
	}
	if len(c.Quotas) > 0 {
		next.ledger = NewLedger(c.Quotas, g.usage)
	}
	next.inherit(g.current.Load(), g.log)
	return func() { g.current.Store(next) }, nil
}

// inherit goes on with what was counted.
func (b *rulebook) inherit(old *rulebook, log *slog.Logger) {
	if old == nil {
		return
	}
	if b.config.TLS != old.config.TLS {
		log.Warn("tls of the access file changed, restart the server for it")
	}
	if slices.Equal(b.config.Quotas, old.config.Quotas) {
		b.ledger = old.ledger
	}
	if b.control == nil || old.control == nil {
		return
	}
	if b.config.Rates.Requests == old.config.Rates.Requests {
		b.control.requests = old.control.requests
	}
	if b.config.Rates.Failures == old.config.Rates.Failures {
		b.control.failures = old.control.failures
	}
}

// Authorize says who sends a request, if they may do all that it needs. The
// principal is nil where everybody may do everything.
func (g *Gate) Authorize(r *http.Request, needs ...registry.Need) (registry.Principal, error) {
	control := g.current.Load().control
	if control == nil {
		return nil, nil
	}
	return control.Authorize(r, needs...)
}

// Admit counts a body, if there are bounds.
func (g *Gate) Admit(ctx context.Context, repository string, body io.ReadCloser, length int64) (io.ReadCloser, error) {
	ledger := g.current.Load().ledger
	if ledger == nil {
		return body, nil
	}
	return ledger.Admit(ctx, repository, body, length)
}

// Handler serves what belongs to access: see [Control.Handler]. next serves all
// else.
func (g *Gate) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if control := g.current.Load().control; control != nil && (r.URL.Path == tokenPath || r.URL.Path == keysPath) {
			control.Handler(next).ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}
