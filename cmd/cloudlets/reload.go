package main

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net"
	"os"

	"github.com/cloudlets/cloudlets/config"
	"github.com/cloudlets/cloudlets/registry/access"
	"github.com/cloudlets/cloudlets/registry/events"
	"github.com/cloudlets/cloudlets/registry/gc"
	"github.com/cloudlets/cloudlets/registry/metadata"
)

// gatePart reads the access file again.
func gatePart(gate *access.Gate) part {
	return func(_ context.Context, next *config.Config) (func(), error) {
		c, err := accessOf(next)
		if err != nil {
			return nil, err
		}
		return gate.Prepare(c)
	}
}

// policyPart reads the retention policy again.
func policyPart(collector *gc.Collector) part {
	return func(_ context.Context, next *config.Config) (func(), error) {
		policy, err := readPolicy(next.Retention)
		return func() { collector.SetPolicy(policy) }, err
	}
}

// eventsPart replaces the endpoints of events.
func eventsPart(sender *events.Sender, log *slog.Logger) part {
	return func(ctx context.Context, next *config.Config) (func(), error) {
		return func() {
			if err := sender.Configure(ctx, next.Events); err != nil {
				log.ErrorContext(ctx, "endpoints of events not changed, the old ones stay", "error", err)
			}
		}, nil
	}
}

// sourceOf returns what events say of this server.
func sourceOf(c *config.Config) metadata.Source {
	host, port, err := net.SplitHostPort(c.Listen)
	if name, failed := os.Hostname(); err == nil && failed == nil {
		host = name
	}
	return metadata.Source{Address: net.JoinHostPort(host, port), Instance: rand.Text()}
}
