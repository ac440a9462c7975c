package main

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"

	"github.com/cloudlets/cloudlets/config"
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

// newGate returns what stands before a registry, and the certificates that it is
// served with, if it is.
func newGate(from *config.Config, meta *metadata.Store, log *slog.Logger) (*access.Gate, *tls.Config, error) {
	c, err := accessOf(from)
	if err != nil {
		return nil, nil, err
	}
	checked := c
	checked.SetDefaults()
	if err := checked.Validate(); err != nil {
		return nil, nil, usageError{err}
	}
	gate, err := access.NewGate(c, meta, log)
	if err != nil {
		return nil, nil, err
	}
	secure, err := c.TLS.Config(log)
	return gate, secure, err
}
