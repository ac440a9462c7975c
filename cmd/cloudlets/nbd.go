package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"time"

	"github.com/spf13/cobra"

	"github.com/cloudlets/cloudlets/nbd"
	"github.com/cloudlets/cloudlets/registry/access"
)

// nbdPatience is how long requests under way may take when the server ends.
const nbdPatience = 10 * time.Second

func newNBD(g *globals) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "nbd",
		Short: "Attach disks over the network",
		Args:  exactly(),
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newNBDServe(g))
	return cmd
}

func newNBDServe(g *globals) *cobra.Command {
	var flags renderFlags
	var setup setupFlags
	var lazily lazyFlags
	var secure access.TLS
	var listen, format string
	cmd := &cobra.Command{
		Use:   "serve IMAGE",
		Short: "Serve an image as a disk over NBD, before it was fetched",
		Long: `Serve an image as a read-only disk with the Network Block Device protocol. The
disk is planned on this machine, which takes a moment; its content is fetched when
it is read. Any number of QEMUs, kernels and other clients may attach it, each
over several connections.

What is fetched is verified and kept, and what is kept is read without asking the
registry. Content is fetched lazily of images, disks and filesystems that were pushed
with cloudlets push, from every registry that serves ranges of blobs; from others,
and of other images, it is fetched whole first.

The default export is the disk; its name is the reference, too. The server stops
at SIGINT or SIGTERM.

` + imageHelp,
		Example: `  cloudlets nbd serve localhost:5000/golden/debian:12 --listen unix:/run/debian.sock
  qemu-img create -f qcow2 -b 'nbd+unix:///?socket=/run/debian.sock' -F raw node.qcow2

  cloudlets nbd serve localhost:5000/golden/debian@sha256:… --listen :10809 --tls-cert c.pem --tls-key k.pem --tls-client-ca ca.pem
  nbd-client host.example.org /dev/nbd0`,
		Args: exactly("IMAGE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			log := slog.New(slog.NewTextHandler(cmd.ErrOrStderr(), nil))
			secure.RequireClient = secure.ClientCA != ""
			config, err := secure.Config(log)
			if err != nil {
				return usageError{err}
			}
			l, err := nbd.Listen(cmd.Context(), listen)
			if err != nil {
				return err
			}
			defer func() { _ = l.Close() }() // where it never serves
			return lazily.withDisk(g, cmd, args[0], &flags, &setup, format, func(disk lazyDisk) error {
				server := nbd.New(nbd.Config{Exports: nbd.Single{Export: disk.export()}, TLS: config, Log: log})
				uri := nbd.URI(l.Addr(), config != nil, "")
				err = g.print(cmd, map[string]any{"uri": uri, "size": disk.Size()}, func(w io.Writer) { fmt.Fprintln(w, uri) })
				return errors.Join(err, serveNBD(cmd.Context(), server, l))
			})
		},
	}
	flags.register(cmd)
	flags.registerType(cmd)
	setup.registerWithoutConfig(cmd)
	lazily.register(cmd)
	f := cmd.Flags()
	f.Lookup("bootkit").Usage = "image of a boot kit, for images without a bootloader: / is this machine"
	f.StringVar(&listen, "listen", "localhost:10809", "unix:PATH or HOST:PORT to listen on")
	f.StringVar(&format, "format", "raw", "format of the disk that is served")
	f.StringVar(&secure.Cert, "tls-cert", "", "file of a certificate in PEM: TLS is required of clients then")
	f.StringVar(&secure.Key, "tls-key", "", "file of the private key of --tls-cert in PEM")
	f.StringVar(&secure.ClientCA, "tls-client-ca", "", "file of authorities in PEM: clients must show a certificate by one of them")
	return cmd
}

// serveNBD serves until ctx is done, then lets requests under way end.
func serveNBD(ctx context.Context, server *nbd.Server, l net.Listener) error {
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	select {
	case err := <-served:
		return err
	case <-ctx.Done():
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), nbdPatience)
	defer cancel()
	err := server.Shutdown(ending)
	if errors.Is(err, context.DeadlineExceeded) {
		err = nil // they were cut off
	}
	if s := <-served; !errors.Is(s, nbd.ErrServerClosed) {
		err = errors.Join(err, s)
	}
	return err
}

// listenNBD listens for clients that attach disks of a registry, and returns the
// task that serves them, and what ends listening if that never begins.
func listenNBD(ctx context.Context, log *slog.Logger, address string, server *nbd.Server) (serve func(context.Context), stop func(), err error) {
	listener, err := nbd.Listen(ctx, address)
	if err != nil {
		return nil, nil, err
	}
	log.Info("serving disks", "nbd", listener.Addr().String())
	return func(ctx context.Context) {
		if err := serveNBD(ctx, server, listener); err != nil {
			log.Error("disks are not served any more", "error", err)
		}
	}, func() { _ = listener.Close() }, nil
}
