package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"

	"github.com/cloudlets/cloudlets/config"
	"github.com/cloudlets/cloudlets/registry"
	"github.com/cloudlets/cloudlets/registry/journal"
	"github.com/cloudlets/cloudlets/registry/metrics"
)

// operation is what of a running server can be changed and watched.
type operation struct {
	log     *slog.Logger
	level   *slog.LevelVar
	metrics *metrics.Metrics
	load    func() (*config.Config, error)

	parts    []part // what else can be changed
	current  atomic.Pointer[config.Config]
	stopping atomic.Bool
}

func newOperation(out io.Writer, c *config.Config, load func() (*config.Config, error)) *operation {
	o := &operation{level: new(slog.LevelVar), load: load}
	options := &slog.HandlerOptions{Level: o.level}
	var handler slog.Handler = slog.NewTextHandler(out, options)
	if c.Log.Format == "json" {
		handler = slog.NewJSONHandler(out, options)
	}
	o.log = slog.New(handler)
	o.metrics = metrics.New(metrics.Options{Endpoint: registry.EndpointName, Log: o.log})
	o.apply(c)
	return o
}

// apply makes the reloadable part of a configuration the one in force.
func (o *operation) apply(c *config.Config) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.Log.Level)); err == nil { // it was checked
		o.level.Set(level)
	}
	o.metrics.LogAccess(c.Log.Access)
	o.current.Store(c)
}

// part is something that a configuration changes while the server runs. It reads
// and checks all that it needs, and returns how to put it in force.
type part func(ctx context.Context, next *config.Config) (apply func(), err error)

// hangups returns where every SIGHUP is told, which ends nothing from now on.
func hangups() chan os.Signal {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, syscall.SIGHUP)
	return hangup
}

// reloadAt reads the configuration again at every signal.
func (o *operation) reloadAt(ctx context.Context, hangup chan os.Signal) {
	defer signal.Stop(hangup)
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
			o.reload(ctx)
		}
	}
}

// reload reads the configuration again, with the files that it names. A fault in
// any of them changes nothing.
func (o *operation) reload(ctx context.Context) {
	next, apply, err := o.prepare(ctx)
	if err != nil {
		o.log.Error("configuration not reloaded, the old one stays", "error", err)
		return
	}
	for _, f := range config.Changed(o.current.Load(), next) {
		if f.Reloadable {
			o.log.Info("configuration changed", "key", f.Key())
			continue
		}
		o.log.Warn("configuration changed, restart the server for it", "key", f.Key())
	}
	o.apply(next)
	for _, f := range apply {
		f()
	}
	o.log.Info("configuration reloaded")
}

// prepare reads the configuration again and returns how to put its parts in
// force.
func (o *operation) prepare(ctx context.Context) (next *config.Config, apply []func(), err error) {
	if next, err = o.load(); err != nil {
		return nil, nil, err
	}
	var errs []error
	for _, p := range o.parts {
		f, err := p(ctx, next)
		errs = append(errs, err)
		apply = append(apply, f)
	}
	return next, apply, errors.Join(errs...)
}

// shutdown lets requests under way end, and cuts off those that take too long.
func (o *operation) shutdown(hs *http.Server) error {
	o.stopping.Store(true)
	o.tellManager(managerStopping)
	timeout := o.current.Load().ShutdownTimeout
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	err := hs.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		o.log.Warn("requests were cut off", "after", timeout)
		return hs.Close()
	}
	return err
}

// flush writes the last journal, when nothing is changed any more.
func (o *operation) flush(keeper *journal.Keeper) error {
	ctx, cancel := context.WithTimeout(context.Background(), o.current.Load().ShutdownTimeout)
	defer cancel()
	return keeper.Flush(ctx)
}

// checks are what the server needs to be ready.
func (o *operation) checks(st *store, data string) []metrics.Check {
	return []metrics.Check{
		{Name: "server", Run: func(context.Context) error {
			if o.stopping.Load() {
				return metrics.ErrStopping
			}
			return nil
		}},
		{Name: "metadata", Run: st.meta.Ping},
		metrics.Writable("disk", data),
		{Name: "blobs", Run: func(ctx context.Context) error {
			for _, err := range st.blobs.Driver().List(ctx) {
				if err != nil {
					return fmt.Errorf("list objects: %w", err)
				}
				return nil // one is enough
			}
			return nil
		}},
	}
}

// What a service manager is told (sd_notify(3)).
const (
	managerSocket   = "NOTIFY_SOCKET"
	managerReady    = "READY=1"
	managerStopping = "STOPPING=1"
)

// tellManager tells the service manager, where there is one, the server's state.
func (o *operation) tellManager(state string) {
	address := os.Getenv(managerSocket)
	if address == "" {
		return
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: address, Net: "unixgram"})
	if err == nil {
		_, err = conn.Write([]byte(state))
		err = errors.Join(err, conn.Close())
	}
	if err != nil {
		o.log.Warn("service manager not told", "state", state, "error", err)
	}
}
