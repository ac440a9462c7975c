// Command cloudlets is a content-addressed registry for bootable server images,
// and the client to it. Run it without arguments for help.
package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/signal"
	"syscall"

	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/errcode"

	"github.com/cloudlets/cloudlets/client"
	"github.com/cloudlets/cloudlets/image/gitdir"
	"github.com/cloudlets/cloudlets/image/template"
)

// Exit codes, as `cloudlets help exit-codes` tells them.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitNotFound    = 3
	exitInterrupted = 130 // 128 + SIGINT, as in shells
)

func main() {
	template.Main() // Renders templates and exits, in a process started for that.
	gitdir.Main()   // Merges metadata and exits, in a process that git started.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := newCommand().ExecuteContext(ctx)
	interrupted := ctx.Err() != nil
	stop()
	if err == nil {
		return
	}
	var git *gitdir.ExitError
	if errors.As(err, &git) {
		os.Exit(git.Code)
	}
	if interrupted {
		fmt.Fprintln(os.Stderr, "cloudlets: interrupted")
		os.Exit(exitInterrupted)
	}
	fmt.Fprintln(os.Stderr, "cloudlets:", err)
	if errors.Is(err, auth.ErrBasicCredentialNotFound) {
		fmt.Fprintln(os.Stderr, "The registry wants to know who you are: cloudlets login REGISTRY")
	}
	var unknown x509.UnknownAuthorityError
	if errors.As(err, &unknown) {
		fmt.Fprintln(os.Stderr, "The registry's certificate is of an authority that this machine does not trust: name its file with --ca-file")
	}
	os.Exit(exitCode(err))
}

// usageError is an error in the words of the command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func exitCode(err error) int {
	var usage usageError
	var answer *errcode.ErrorResponse
	switch {
	case errors.As(err, &usage), errors.Is(err, errdef.ErrInvalidReference), errors.Is(err, client.ErrOptions):
		return exitUsage
	case errors.Is(err, errdef.ErrNotFound), errors.Is(err, fs.ErrNotExist), errors.Is(err, gitdir.ErrNoRepository),
		errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound:
		return exitNotFound
	}
	return exitFailed
}
