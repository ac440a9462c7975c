package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/api"
	"github.com/cloudlets/cloudlets/blobstore"
	"github.com/cloudlets/cloudlets/blobstore/file"
	"github.com/cloudlets/cloudlets/provider"
	"github.com/cloudlets/cloudlets/registry"
	"github.com/cloudlets/cloudlets/registry/frames"
	"github.com/cloudlets/cloudlets/registry/metadata"
)

const (
	headerTimeout   = 30 * time.Second
	keepAlive       = 2 * time.Minute
	shutdownTimeout = 30 * time.Second
)

func newServe() *cobra.Command {
	var listen, data string
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the registry",
		Long: `Run the registry. It needs no other service: metadata is kept in SQLite and
blobs in files, both below the data directory, which one process uses at a time.`,
		Args: exactly(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return serve(cmd.Context(), slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil)), listen, data)
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:5000", "address to serve on")
	cmd.Flags().StringVar(&data, "data", defaultData(), "directory for everything that is kept")
	return cmd
}

// defaultData returns where a registry keeps its data: below XDG_DATA_HOME.
func defaultData() string {
	if dir := os.Getenv("XDG_DATA_HOME"); dir != "" {
		return filepath.Join(dir, "cloudlets")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "cloudlets-data"
	}
	return filepath.Join(home, ".local", "share", "cloudlets")
}

func serve(ctx context.Context, log *slog.Logger, listen, data string) (err error) {
	driver, err := file.New(data)
	if err != nil {
		return err
	}
	meta, err := metadata.OpenSQLite(ctx, filepath.Join(data, "metadata.sqlite"), metadata.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, meta.Close()) }()
	blobs, err := blobstore.New(driver, meta)
	if err != nil {
		return err
	}
	// The registry and its renderer know of each other: the one routes requests
	// and tells of manifests, the other puts manifests.
	var renderer *provider.Renderer
	server, err := registry.New(registry.Config{
		Blobs: blobs, Metadata: meta, Log: log,
		Extensions: map[string]registry.ExtensionHandler{
			api.ComponentFrames: frames.New(blobs, meta).ServeExtension,
			api.ComponentRenders: func(w http.ResponseWriter, r *http.Request, name, rest string) error {
				return renderer.ServeExtension(w, r, name, rest)
			},
		},
		OnManifest: func(_ context.Context, repository string, d digest.Digest) { renderer.Prepare(repository, d) },
	})
	if err != nil {
		return err
	}
	renderer = provider.New(blobs, meta, server, log)
	defer renderer.Close()
	return listenAndServe(ctx, log, listen, server)
}

// listenAndServe serves until ctx is done, then lets requests under way end.
func listenAndServe(ctx context.Context, log *slog.Logger, listen string, server *registry.Server) error {
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", listen, err)
	}
	log.Info("serving", "address", listener.Addr().String())
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	janitor := make(chan struct{})
	go func() {
		defer close(janitor)
		server.Run(ctx)
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
	<-janitor
	log.Info("stopped")
	return err
}
