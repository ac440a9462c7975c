package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"
	"oras.land/oras-go/v2/registry/remote/auth"
	"oras.land/oras-go/v2/registry/remote/credentials"
)

// maxPassword bounds what is read as a password, in bytes.
const maxPassword = 64 << 10

func newLogin(g *globals) *cobra.Command {
	var user string
	var fromStdin bool
	cmd := &cobra.Command{
		Use:   "login REGISTRY",
		Short: "Log in to a registry",
		Long: `Log in to a registry.

The credentials are verified, and kept where docker keeps its own: with the
credential helper that docker's configuration names, or in that configuration
(~/.docker/config.json, or below DOCKER_CONFIG), which is not encrypted. Docker
and podman use them too, as this command's do theirs.`,
		Example: `  cloudlets login registry.example:5000
  cloudlets login registry.example:5000 -u ci --password-stdin < password`,
		Args: exactly("REGISTRY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			cred, err := askCredential(cmd, user, fromStdin)
			if err != nil {
				return err
			}
			return login(g, cmd, args[0], cred)
		},
	}
	cmd.Flags().StringVarP(&user, "username", "u", "", "user name (default: asked for)")
	cmd.Flags().BoolVar(&fromStdin, "password-stdin", false, "read the password from the standard input")
	return cmd
}

func newLogout(g *globals) *cobra.Command {
	return &cobra.Command{
		Use:   "logout REGISTRY",
		Short: "Forget the credentials of a registry",
		Args:  exactly("REGISTRY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			store, err := openCredentials()
			if err != nil {
				return err
			}
			if err := credentials.Logout(cmd.Context(), store, args[0]); err != nil {
				return err
			}
			return g.print(cmd, session{Registry: args[0]}, func(w io.Writer) { fmt.Fprintln(w, "logged out of", args[0]) })
		},
	}
}

// session is the result of a login or logout.
type session struct {
	Registry string `json:"registry"`
	User     string `json:"user,omitempty"`
}

// openCredentials opens docker's.
func openCredentials() (*credentials.DynamicStore, error) {
	store, err := credentials.NewStoreFromDocker(credentials.StoreOptions{AllowPlaintextPut: true})
	if err != nil {
		return nil, fmt.Errorf("read docker's credentials: %w", err)
	}
	return store, nil
}

func login(g *globals, cmd *cobra.Command, name string, cred auth.Credential) error {
	c, err := g.client(cmd)
	if err != nil {
		return err
	}
	reg, err := c.Registry(name)
	if err != nil {
		return usageError{err}
	}
	store, err := openCredentials()
	if err != nil {
		return err
	}
	if err := credentials.Login(cmd.Context(), store, reg, cred); err != nil {
		return fmt.Errorf("log in to %s: %w", name, err)
	}
	return g.print(cmd, session{name, cred.Username}, func(w io.Writer) { fmt.Fprintln(w, "logged in to", name, "as", cred.Username) })
}

// askCredential returns what the command line and the terminal say.
func askCredential(cmd *cobra.Command, user string, fromStdin bool) (auth.Credential, error) {
	if fromStdin {
		if user == "" {
			return auth.EmptyCredential, usageError{errors.New("--password-stdin needs --username")}
		}
		password, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), maxPassword))
		if err != nil {
			return auth.EmptyCredential, fmt.Errorf("read the password: %w", err)
		}
		return newCredential(user, strings.TrimRight(string(password), "\r\n"))
	}
	terminal := int(os.Stdin.Fd())
	if !term.IsTerminal(terminal) {
		return auth.EmptyCredential, usageError{errors.New("there is no terminal to ask for the password at: use --username and --password-stdin")}
	}
	if user == "" {
		fmt.Fprint(cmd.ErrOrStderr(), "user: ")
		if _, err := fmt.Fscanln(os.Stdin, &user); err != nil {
			return auth.EmptyCredential, fmt.Errorf("read the user name: %w", err)
		}
	}
	fmt.Fprint(cmd.ErrOrStderr(), "password: ")
	password, err := term.ReadPassword(terminal)
	fmt.Fprintln(cmd.ErrOrStderr())
	if err != nil {
		return auth.EmptyCredential, fmt.Errorf("read the password: %w", err)
	}
	return newCredential(user, string(password))
}

func newCredential(user, password string) (auth.Credential, error) {
	if password == "" || strings.Contains(user, ":") {
		return auth.EmptyCredential, usageError{errors.New("expected a password, and a user name without a colon")}
	}
	return auth.Credential{Username: user, Password: password}, nil
}
