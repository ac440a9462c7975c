package client

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/opencontainers/go-digest"

	"github.com/cloudlets/cloudlets/api"
)

// historyPage is how many changes of a tag are asked for at once.
const historyPage = 1000

// ErrNoExtension says that a registry lacks what cloudlets adds to OCI's API.
var ErrNoExtension = errors.New("the registry is not a cloudlets: it has no such request")

// Tag points tags to what the repository's reference names, and returns its
// digest.
func (r *Repository) Tag(ctx context.Context, tags ...string) (digest.Digest, error) {
	m, err := r.Manifest(ctx)
	if err != nil {
		return "", err
	}
	for _, tag := range tags {
		if err := r.Repository.Tag(ctx, m.Descriptor, tag); err != nil {
			return "", fmt.Errorf("tag %s as %s: %w", r.Reference, tag, err)
		}
	}
	return m.Descriptor.Digest, nil
}

// Remove deletes what the repository's reference names: a tag, or by digest a
// manifest with all its tags.
func (r *Repository) Remove(ctx context.Context) error {
	at := r.url("/v2/" + r.Reference.Repository + "/manifests/" + r.Reference.Reference)
	if err := r.call(ctx, http.MethodDelete, at, "", nil, nil); err != nil {
		return fmt.Errorf("delete %s: %w", r.Reference, err)
	}
	return nil
}

// TagHistory returns up to limit changes of the tag that the repository's
// reference names, the newest first.
func (r *Repository) TagHistory(ctx context.Context, limit int) ([]api.TagEvent, error) {
	events := []api.TagEvent{}
	last := ""
	for len(events) < limit {
		n := min(historyPage, limit-len(events))
		at := r.extension(api.ComponentHistory, r.Reference.Reference) + fmt.Sprintf("?n=%d%s", n, last)
		var page api.TagHistory
		if err := r.callExtension(ctx, http.MethodGet, at, "", nil, &page); err != nil {
			return nil, fmt.Errorf("history of %s: %w", r.Reference, err)
		}
		events = slices.Concat(events, page.Events)
		if len(page.Events) < n {
			break
		}
		last = fmt.Sprintf("&last=%d", page.Events[n-1].ID)
	}
	return events, nil
}
