package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"

	"github.com/cloudlets/cloudlets/api"
	"github.com/cloudlets/cloudlets/config"
	"github.com/cloudlets/cloudlets/nbd"
	"github.com/cloudlets/cloudlets/provider"
	"github.com/cloudlets/cloudlets/registry"
	"github.com/cloudlets/cloudlets/registry/access"
	"github.com/cloudlets/cloudlets/registry/events"
	"github.com/cloudlets/cloudlets/registry/frames"
	"github.com/cloudlets/cloudlets/registry/gc"
	"github.com/cloudlets/cloudlets/registry/journal"
	"github.com/cloudlets/cloudlets/registry/metadata"
	"github.com/cloudlets/cloudlets/registry/quarantine"
)

const (
	headerTimeout = 30 * time.Second
	keepAlive     = 2 * time.Minute
)

func newServe() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the registry",
		Long: `Run the registry. It needs no other service: metadata is kept in SQLite and
blobs in files, both below the data directory, which one process uses at a time.
With --s3-endpoint and --s3-bucket blobs are kept in a bucket of an S3-compatible
store. With --database several servers share the metadata in PostgreSQL; they
then have to share the bucket too, or the data directory.

Every flag can be set in a file, too, and in the environment: see cloudlets
config. A flag wins over the environment, the environment over the file. SIGHUP
has the file read again.

Everybody may do everything, unless --access, --htpasswd or --tls-client-ca says who
may do what.

The server collects its garbage while it serves: see cloudlets gc. It also reads
all blobs again in turn, keeps damaged ones from being served, and repairs them
if it can.`,
		Args: exactly(),
	}
	load := registerConfig(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := load()
		if err != nil {
			return usageError{err}
		}
		return serve(cmd.Context(), newOperation(cmd.ErrOrStderr(), c, load), c)
	}
	return cmd
}

func serve(ctx context.Context, o *operation, c *config.Config) (err error) {
	log := o.log
	at := storeOf(c)
	at.log = log
	source := sourceOf(c)
	st, err := at.open(ctx, metadata.Options{Upload: c.UploadExpiry, Source: source})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	o.metrics.CountPools(st.meta.Pools())
	o.metrics.WatchState(st.meta.State)
	keeper := journal.NewKeeper(at.journals(st))
	defer func() { err = errors.Join(err, o.flush(keeper)) }()
	collector, err := newCollector(st, gc.Config{OrphanInterval: c.OrphanInterval, Log: log, Observe: o.metrics.Collected}, c.Retention)
	if err != nil {
		return err
	}
	scrubber, err := newScrubber(st, c.Scrub, log)
	if err != nil {
		return err
	}
	o.metrics.Register(scrubber.Collector())
	gate, secure, err := newGate(c, st.meta, log)
	if err != nil {
		return err
	}
	sender := events.New(st.meta, source, log)
	if err := sender.Configure(ctx, c.Events); err != nil {
		return err
	}
	o.metrics.Register(sender.Collector())
	o.parts = []part{gatePart(gate), policyPart(collector), eventsPart(sender, log)}
	server, renderer, err := assemble(c, st, gate, sender, log)
	if err != nil {
		return err
	}
	defer renderer.Close()
	renderer.Observe(o.metrics.Rendered)
	o.metrics.WatchRenders(renderer.UnderWay)
	var admin *http.Server
	if c.Admin.Listen != "" {
		admin = &http.Server{Handler: o.metrics.Admin(o.checks(st, at.data)...), ReadHeaderTimeout: headerTimeout, IdleTimeout: keepAlive}
	}
	tasks := []func(context.Context){collector.Run, sender.Run, keeper.Run, scrubber.Run}
	if c.NBD.Listen != "" {
		disks := nbd.New(nbd.Config{Exports: renderer.Exports(gate), TLS: secure, Log: log})
		attach, stop, err := listenNBD(ctx, log, c.NBD.Listen, disks)
		if err != nil {
			return err
		}
		defer stop()
		tasks = append(tasks, attach)
	}
	return listenAndServe(ctx, o, c, o.metrics.Wrap(gate.Handler(server)), secure, admin, tasks...)
}

// assemble makes the registry, and what serves its extensions. They know of each
// other: the one routes requests and tells of manifests, the others put manifests.
func assemble(c *config.Config, st *store, gate *access.Gate, sender *events.Sender, log *slog.Logger) (*registry.Server, *provider.Renderer, error) {
	var renderer *provider.Renderer
	var retention *gc.Handler
	framed := frames.New(st.blobs, st.meta)
	server, err := registry.New(registry.Config{
		Blobs: st.blobs, Metadata: st.meta, Log: log, IdleTimeout: c.IdleTimeout, Redirect: st.objects.redirect,
		Extensions: map[string]registry.ExtensionHandler{
			api.ComponentFrames: framed.ServeExtension,
			api.ComponentLayers: framed.ServeLayers,
			api.ComponentRenders: func(w http.ResponseWriter, r *http.Request, name, rest string) error {
				return renderer.ServeExtension(w, r, name, rest)
			},
			api.ComponentRetention: func(w http.ResponseWriter, r *http.Request, name, rest string) error {
				return retention.ServeExtension(w, r, name, rest)
			},
			api.ComponentQuarantine: quarantine.NewHandler(st.meta).ServeExtension,
		},
		OnManifest: func(_ context.Context, repository string, d digest.Digest) { renderer.Prepare(repository, d) },
		Access:     gate, Quota: gate, Pulls: sender,
	})
	if err != nil {
		return nil, nil, err
	}
	retention = gc.NewHandler(st.meta, server)
	renderer = provider.New(st.blobs, st.meta, server, log)
	return server, renderer, nil
}

// listenAndServe serves until ctx is done, then lets requests under way end. The
// tasks run beside it, until the last request has ended.
func listenAndServe(ctx context.Context, o *operation, c *config.Config, server http.Handler, secure *tls.Config, admin *http.Server, tasks ...func(context.Context)) (err error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", c.Listen, err)
	}
	if secure != nil {
		listener = tls.NewListener(listener, secure)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if admin != nil {
		stopAdmin, err := startAdmin(ctx, o.log, c.Admin.Listen, admin)
		if err != nil {
			return errors.Join(err, listener.Close())
		}
		defer stopAdmin()
	}
	hangup := hangups()
	tasks = append(tasks, func(ctx context.Context) { o.reloadAt(ctx, hangup) })
	defer runBeside(ctx, tasks)()
	hs := &http.Server{
		Handler: server, TLSConfig: secure, ReadHeaderTimeout: headerTimeout, IdleTimeout: keepAlive,
		ErrorLog: slog.NewLogLogger(o.log.Handler(), slog.LevelWarn),
	}
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		stopped <- o.shutdown(hs)
	}()
	o.log.Info("serving", "address", listener.Addr().String())
	o.tellManager(managerReady)
	if err := hs.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	err = <-stopped
	o.log.Info("stopped")
	return err
}

// runBeside starts tasks that outlast ctx, and returns how to end them.
func runBeside(ctx context.Context, tasks []func(context.Context)) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	for _, task := range tasks {
		running.Go(func() { task(ctx) })
	}
	return func() {
		cancel()
		running.Wait()
	}
}

// startAdmin serves those who run the server, until it is told to stop: that is
// after the registry, so that it can be seen how that ends.
func startAdmin(ctx context.Context, log *slog.Logger, address string, hs *http.Server) (stop func(), err error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	log.Info("serving metrics", "admin", listener.Addr().String())
	go func() {
		if err := hs.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			log.Error("metrics are not served any more", "error", err)
		}
	}()
	return func() { _ = hs.Close() }, nil
}
