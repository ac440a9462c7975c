package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/spf13/cobra"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/api"
	"github.com/cloudlets/cloudlets/provider"
	"github.com/cloudlets/cloudlets/registry"
	"github.com/cloudlets/cloudlets/registry/frames"
	"github.com/cloudlets/cloudlets/registry/gc"
	"github.com/cloudlets/cloudlets/registry/metadata"
)

const (
	headerTimeout   = 30 * time.Second
	keepAlive       = 2 * time.Minute
	shutdownTimeout = 30 * time.Second
)

func newServe() *cobra.Command {
	var listen, policy string
	var at storeFlags
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the registry",
		Long: `Run the registry. It needs no other service: metadata is kept in SQLite and
blobs in files, both below the data directory, which one process uses at a time.
With --database several servers share the metadata in PostgreSQL; the data
directory then has to be one that they share too.

The server collects its garbage while it serves: see cloudlets gc.`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return serve(cmd.Context(), slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil)), listen, at, policy)
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:5000", "address to serve on")
	at.register(cmd)
	registerPolicy(cmd, &policy)
	return cmd
}

func serve(ctx context.Context, log *slog.Logger, listen string, at storeFlags, policy string) (err error) {
	st, err := at.open(ctx, metadata.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	collector, err := newCollector(st, policy, log)
	if err != nil {
		return err
	}
	blobs, meta := st.blobs, st.meta
	// The registry and what serves its extensions know of each other: the one
	// routes requests and tells of manifests, the others put manifests.
	var renderer *provider.Renderer
	var retention *gc.Handler
	server, err := registry.New(registry.Config{
		Blobs: blobs, Metadata: meta, Log: log,
		Extensions: map[string]registry.ExtensionHandler{
			api.ComponentFrames: frames.New(blobs, meta).ServeExtension,
			api.ComponentRenders: func(w http.ResponseWriter, r *http.Request, name, rest string) error {
				return renderer.ServeExtension(w, r, name, rest)
			},
			api.ComponentRetention: func(w http.ResponseWriter, r *http.Request, name, rest string) error {
				return retention.ServeExtension(w, r, name, rest)
			},
		},
		OnManifest: func(_ context.Context, repository string, d digest.Digest) { renderer.Prepare(repository, d) },
	})
	if err != nil {
		return err
	}
	retention = gc.NewHandler(meta, server)
	renderer = provider.New(blobs, meta, server, log)
	defer renderer.Close()
	return listenAndServe(ctx, log, listen, server, collector)
}

// listenAndServe serves until ctx is done, then lets requests under way end.
func listenAndServe(ctx context.Context, log *slog.Logger, listen string, server http.Handler, collector *gc.Collector) error {
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", listen, err)
	}
	log.Info("serving", "address", listener.Addr().String())
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	collected := make(chan struct{})
	go func() {
		defer close(collected)
		collector.Run(ctx)
	}()
	hs := &http.Server{Handler: server, ReadHeaderTimeout: headerTimeout, IdleTimeout: keepAlive}
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		end, cancel := context.WithTimeout(context.Background(), shutdownTimeout)
		defer cancel()
		stopped <- hs.Shutdown(end)
	}()
	if err := hs.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	err = <-stopped
	<-collected
	log.Info("stopped")
	return err
}
