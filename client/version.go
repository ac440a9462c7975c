package client

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/errdef"

	"github.com/cloudlets/cloudlets/api"
)

// Version is an image in the history of its repository: a chain of digests.
type Version struct {
	Digest    digest.Digest   `json:"digest"`
	Parents   []digest.Digest `json:"parents"` // what it was made from, the one it replaces first
	Message   string          `json:"message,omitempty"`
	Committer string          `json:"committer,omitempty"`
	Created   time.Time       `json:"created"` // zero where nobody said
}

// VersionOptions say what a version is called by.
type VersionOptions struct {
	Message   string
	Committer string
	Time      time.Time
}

// maxParents bounds the parents of a version that is read.
const maxParents = 16

// ErrNotCommitted is wrapped where a version is wanted as it was, and the tag
// leads to another by now.
var ErrNotCommitted = errors.New("the tag leads to another version by now")

// version reads what a manifest says of its place in the history.
func version(m *Manifest) (Version, error) {
	v := Version{
		Digest: m.Descriptor.Digest, Parents: []digest.Digest{},
		Message: m.Annotations[api.AnnotationMessage], Committer: m.Annotations[api.AnnotationCommitter],
	}
	if created := m.Annotations[ocispec.AnnotationCreated]; created != "" {
		var err error
		if v.Created, err = time.Parse(time.RFC3339, created); err != nil {
			return v, fmt.Errorf("annotation %s of %s: %w", ocispec.AnnotationCreated, v.Digest, err)
		}
	}
	list := m.Annotations[api.AnnotationParents]
	if list == "" {
		return v, nil
	}
	for parent := range strings.SplitSeq(list, ",") {
		d, err := digest.Parse(parent)
		if err != nil || len(v.Parents) == maxParents {
			return v, fmt.Errorf("annotation %s of %s: expected at most %d digests, got %q", api.AnnotationParents, v.Digest, maxParents, parent)
		}
		v.Parents = append(v.Parents, d)
	}
	return v, nil
}

// annotations returns what a manifest says of a version.
func (o VersionOptions) annotations(parents ...digest.Digest) map[string]string {
	a := map[string]string{ocispec.AnnotationCreated: o.Time.UTC().Format(time.RFC3339)}
	if o.Message != "" {
		a[api.AnnotationMessage] = o.Message
	}
	if o.Committer != "" {
		a[api.AnnotationCommitter] = o.Committer
	}
	var list []string
	for _, p := range parents {
		list = append(list, p.String())
	}
	if len(list) > 0 {
		a[api.AnnotationParents] = strings.Join(list, ",")
	}
	return a
}

// current returns the descriptor of what the repository's reference leads to, or
// a zero one if there is nothing yet.
func (r *Repository) current(ctx context.Context) (ocispec.Descriptor, error) {
	d, err := r.Resolve(ctx, r.TagOrDigest())
	if errors.Is(err, errdef.ErrNotFound) {
		return ocispec.Descriptor{}, nil
	}
	if err != nil {
		return ocispec.Descriptor{}, fmt.Errorf("resolve %s: %w", r.Reference, err)
	}
	return d, nil
}

// TagOrDigest returns the tag or digest of the repository's reference: "latest"
// where it has neither.
func (r *Repository) TagOrDigest() string {
	if r.Reference.Reference == "" {
		return "latest"
	}
	return r.Reference.Reference
}

// at returns the repository with another reference.
func (r *Repository) at(reference string) *Repository {
	ref := r.Reference
	ref.Reference = reference
	return r.client.repository(ref)
}

// Version returns the version that the repository's reference names.
func (r *Repository) Version(ctx context.Context) (Version, error) {
	m, err := r.Manifest(ctx)
	if err != nil {
		return Version{}, err
	}
	return version(m)
}

// History passes the versions that led to the repository's reference to each,
// children before parents, and of several the newest first, until each returns
// false. A parent that the repository does not have ends its line of history:
// each is not told of it.
func (r *Repository) History(ctx context.Context, each func(Version) bool) error {
	first, err := r.Version(ctx)
	if err != nil {
		return err
	}
	seen := map[digest.Digest]bool{first.Digest: true}
	for waiting := []Version{first}; len(waiting) > 0; {
		v := waiting[0]
		waiting = waiting[1:]
		if !each(v) {
			return nil
		}
		for _, d := range v.Parents {
			if seen[d] {
				continue
			}
			seen[d] = true
			parent, err := r.at(d.String()).Version(ctx)
			if errors.Is(err, errdef.ErrNotFound) {
				continue
			}
			if err != nil {
				return fmt.Errorf("history of %s: %w", r.Reference, err)
			}
			waiting = append(waiting, parent)
		}
		slices.SortStableFunc(waiting, func(a, b Version) int { return b.Created.Compare(a.Created) })
	}
	return nil
}

// MergeBase returns the version that two others have both come from, or "" where
// there is none. Of several it is the nearest to theirs.
func (r *Repository) MergeBase(ctx context.Context, ours, theirs digest.Digest) (digest.Digest, error) {
	ancestors := make(map[digest.Digest]bool)
	err := r.at(ours.String()).History(ctx, func(v Version) bool {
		ancestors[v.Digest] = true
		return true
	})
	if err != nil {
		return "", err
	}
	var base digest.Digest
	err = r.at(theirs.String()).History(ctx, func(v Version) bool {
		if ancestors[v.Digest] {
			base = v.Digest
		}
		return base == ""
	})
	return base, err
}
