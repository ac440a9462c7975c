package main

import (
	"fmt"

	"github.com/opencontainers/go-digest"
	"github.com/spf13/cobra"

	"github.com/cloudlets/cloudlets/client"
)

// openParent opens what was given for a parent, a reference with a digest; nil
// for nothing.
func openParent(g *globals, cmd *cobra.Command, reference string) (*client.Image, error) {
	if reference == "" {
		return nil, nil
	}
	repo, err := parentRepository(g, cmd, reference)
	if err != nil {
		return nil, err
	}
	i, err := repo.OpenImage(cmd.Context(), client.OpenOptions{Whole: true, Content: true})
	if err != nil {
		return nil, fmt.Errorf("parent: %w", err)
	}
	return i, nil
}

// parentRepository returns the repository of a parent, whose reference names it
// by its digest.
func parentRepository(g *globals, cmd *cobra.Command, reference string) (*client.Repository, error) {
	repo, err := g.repository(cmd, reference)
	if err != nil {
		return nil, err
	}
	if repo.Reference.ValidateReferenceAsDigest() != nil {
		return nil, usageError{fmt.Errorf("parent %s: expected REFERENCE@DIGEST: a tag may name another disk tomorrow", reference)}
	}
	return repo, nil
}

// parentBeside returns the digest of a parent, which must be in the repository of
// the image.
func parentBeside(g *globals, cmd *cobra.Command, repo *client.Repository, reference string) (digest.Digest, error) {
	if reference == "" {
		return "", nil
	}
	parent, err := parentRepository(g, cmd, reference)
	if err != nil {
		return "", err
	}
	at, want := parent.Reference, repo.Reference
	if at.Registry != want.Registry || at.Repository != want.Repository {
		return "", usageError{fmt.Errorf("parent %s: expected one in %s/%s, where the image is: copy it there first, or render on this machine with --here and -o",
			reference, want.Registry, want.Repository)}
	}
	return digest.Digest(at.Reference), nil
}
