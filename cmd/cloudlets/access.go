package main

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/http"
	"os"

	"github.com/cloudlets/cloudlets/config"
	"github.com/cloudlets/cloudlets/registry"
	"github.com/cloudlets/cloudlets/registry/access"
	"github.com/cloudlets/cloudlets/registry/metadata"
)

// accessOf returns what a configured server is told of who may do what: its
// access file, and what is set beside it.
func accessOf(c *config.Config) (access.Config, error) {
	var who access.Config
	if c.Access != "" {
		content, err := os.ReadFile(c.Access)
		if err != nil {
			return who, fmt.Errorf("read who may do what: %w", err)
		}
		if who, err = access.Parse(content); err != nil {
			return who, usageError{fmt.Errorf("%s: %w", c.Access, err)}
		}
	}
	for _, set := range []struct {
		to   *string
		from string
	}{{&who.Users, c.Htpasswd}, {&who.TLS.Cert, c.TLS.Cert}, {&who.TLS.Key, c.TLS.Key}, {&who.TLS.ClientCA, c.TLS.ClientCA}} {
		if set.from != "" {
			*set.to = set.from
		}
	}
	return who, nil
}

// guard is what stands before a registry.
type guard struct {
	control *access.Control // nil lets everybody do everything
	ledger  *access.Ledger  // nil sets no bounds
	tls     *tls.Config     // nil serves plain HTTP
}

func newGuard(from *config.Config, meta *metadata.Store, log *slog.Logger) (*guard, error) {
	c, err := accessOf(from)
	if err != nil {
		return nil, err
	}
	enabled := c.Enabled()
	c.SetDefaults()
	if err := c.Validate(); err != nil {
		return nil, usageError{err}
	}
	g := &guard{}
	if len(c.Quotas) > 0 {
		g.ledger = access.NewLedger(c.Quotas, meta)
	}
	if g.tls, err = c.TLS.Config(log); err != nil || !enabled {
		return g, err
	}
	g.control, err = access.New(c, log)
	return g, err
}

// apply sets what a registry asks.
func (g *guard) apply(c *registry.Config) {
	if g.ledger != nil {
		c.Quota = g.ledger
	}
	if g.control != nil {
		c.Access = g.control
	}
}

// handler serves a registry and what belongs to access.
func (g *guard) handler(next http.Handler) http.Handler {
	if g.control == nil {
		return next
	}
	return g.control.Handler(next)
}
