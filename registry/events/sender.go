package events

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/cloudlets/cloudlets/config"
	"github.com/cloudlets/cloudlets/registry/metadata"
)

const (
	// renewInterval is how often a server says that it still has its endpoints,
	// and forgetAfter how long one stays of which no server says so.
	renewInterval = time.Hour
	forgetAfter   = 24 * time.Hour
	// trimInterval is how often the outbox is held to its bounds, by one server.
	trimInterval = time.Minute
)

// Sender tells endpoints what changes.
type Sender struct {
	meta   *metadata.Store
	log    *slog.Logger
	source metadata.Source
	owner  string
	counts *counts

	changed chan config.Events // the last configuration, until Run has seen it
	pullers atomic.Pointer[[]*worker]

	mu      sync.Mutex
	current config.Events
}

// New returns a sender without endpoints. source is the server that pulls are
// told to come from.
func New(meta *metadata.Store, source metadata.Source, log *slog.Logger) *Sender {
	return &Sender{
		meta: meta, log: log, source: source, owner: rand.Text(), counts: newCounts(),
		changed: make(chan config.Events, 1),
	}
}

// Configure replaces the endpoints. When it returns, all changes from then on are
// kept for them. An endpoint keeps its position by its name, whatever else of it
// changes.
func (s *Sender) Configure(ctx context.Context, c config.Events) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.renew(ctx, c); err != nil {
		return fmt.Errorf("configure events: %w", err)
	}
	s.current = c
	select {
	case <-s.changed: // nobody has seen it
	default:
	}
	s.changed <- c
	return nil
}

// renew says that the endpoints are wanted, also those that are disabled: they go
// on where they stopped.
func (s *Sender) renew(ctx context.Context, c config.Events) error {
	names := make([]string, len(c.Endpoints))
	for i, e := range c.Endpoints {
		names[i] = e.Name
	}
	slices.Sort(names) // in one order for all, so that two servers never wait for each other
	forgotten, err := s.meta.RenewEndpoints(ctx, names, forgetAfter)
	for _, name := range forgotten {
		s.log.WarnContext(ctx, "endpoint of events forgotten: no server has it configured any more", "endpoint", name)
	}
	return err
}

// Run tells the endpoints until ctx is done, and lets requests under way end.
func (s *Sender) Run(ctx context.Context) {
	var running *generation
	defer func() { running.stop() }()
	renew, trim := time.NewTicker(renewInterval), time.NewTicker(trimInterval)
	defer renew.Stop()
	defer trim.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case c := <-s.changed:
			running.stop()
			running = s.start(ctx, c)
		case <-s.meta.EventsWritten():
			running.wake()
		case <-renew.C:
			s.try(ctx, "renew endpoints", s.renew)
		case <-trim.C:
			s.try(ctx, "trim events", s.trim)
		}
	}
}

// try does something with the current configuration that will be done again.
func (s *Sender) try(ctx context.Context, what string, do func(context.Context, config.Events) error) {
	s.mu.Lock()
	c := s.current
	s.mu.Unlock()
	if err := do(ctx, c); err != nil && ctx.Err() == nil {
		s.log.ErrorContext(ctx, what+" failed, trying again later", "error", err)
	}
}

// trim holds the outbox to its bounds, if it is this server's turn.
func (s *Sender) trim(ctx context.Context, c config.Events) error {
	if len(c.Endpoints) == 0 {
		return nil
	}
	mine, err := s.meta.ClaimDuty(ctx, "events", trimInterval)
	if err != nil || !mine {
		return err
	}
	dropped, err := s.meta.TrimEvents(ctx, c.MaxAge, c.MaxRows)
	for endpoint, n := range dropped {
		s.counts.dropped.WithLabelValues(endpoint, reasonBound).Add(float64(n))
		s.log.ErrorContext(ctx, "events dropped: the endpoint was not reached for too long", "endpoint", endpoint, "events", n)
	}
	return err
}

// generation is the workers of one configuration.
type generation struct {
	workers []*worker
	cancel  context.CancelFunc
	running sync.WaitGroup
}

func (s *Sender) start(ctx context.Context, c config.Events) *generation {
	ctx, cancel := context.WithCancel(ctx)
	g := &generation{cancel: cancel}
	var pullers []*worker
	for _, e := range c.Endpoints {
		if e.Disabled {
			continue
		}
		w := &worker{
			endpoint: e, meta: s.meta, owner: s.owner, client: newClient(), counts: s.counts, log: s.log,
			woken: make(chan struct{}, 1), pulls: make(chan metadata.Event, maxPulls),
		}
		s.counts.begin(e.Name)
		g.workers = append(g.workers, w)
		g.running.Go(func() { w.run(ctx) })
		if e.Pulls {
			pullers = append(pullers, w)
			g.running.Go(func() { w.runPulls(ctx) })
		}
	}
	s.pullers.Store(&pullers)
	return g
}

// stop ends the workers and waits for them.
func (g *generation) stop() {
	if g == nil {
		return
	}
	g.cancel()
	g.running.Wait()
	for _, w := range g.workers {
		w.client.CloseIdleConnections()
	}
}

// wake has the workers look for events.
func (g *generation) wake() {
	if g == nil {
		return
	}
	for _, w := range g.workers {
		select {
		case w.woken <- struct{}{}:
		default:
		}
	}
}

// WantsPulls says whether an endpoint wants to be told of pulls.
func (s *Sender) WantsPulls() bool {
	pullers := s.pullers.Load()
	return pullers != nil && len(*pullers) > 0
}

// Pulled tells of a pull. It does not wait.
func (s *Sender) Pulled(e metadata.Event) {
	e.Origin.Source = s.source
	if pullers := s.pullers.Load(); pullers != nil {
		for _, w := range *pullers {
			w.pulled(e)
		}
	}
}

// Collector returns what is counted.
func (s *Sender) Collector() prometheus.Collector { return s.counts }
