package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image/diff"
	"github.com/cloudlets/cloudlets/image/workdir"
)

// Committed is the result of a commit.
type Committed struct {
	ocispec.Descriptor
	// Unchanged says that there was nothing to commit: the directory is the
	// version that the tag leads to.
	Unchanged bool `json:"unchanged,omitempty"`
}

// CommitDir makes the next version of what the repository's tag leads to, of a
// directory. It refuses where the tag leads to another version than the
// directory was made from, and wraps ErrNotCommitted. That a directory did not
// change since its last commit or checkout shows from the status of its files.
func (r *Repository) CommitDir(ctx context.Context, dir string, o PushOptions, v VersionOptions, warn func(path, what string)) (Committed, error) {
	// The registry is asked while the directory is looked at.
	var current ocispec.Descriptor
	group, asking := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		current, err = r.current(asking)
		return err
	})
	before, settled, err := workdir.TakeSettled(ctx, dir)
	if err := cmp.Or(group.Wait(), err); err != nil {
		return Committed{}, err
	}
	state, err := workdir.Load(dir)
	if err != nil {
		return Committed{}, err
	}
	parent, err := r.parent(ctx, dir, state, current)
	if err != nil {
		return Committed{}, err
	}
	if current.Digest != "" && settled && state.Digest == current.Digest.String() && state.Is(before) {
		return Committed{Descriptor: parent, Unchanged: true}, nil
	}
	committed, err := r.commitDir(ctx, dir, parent, o, v, warn)
	if err != nil {
		return Committed{}, err
	}
	return committed, r.remember(ctx, dir, committed.Digest, before, settled)
}

// parent returns the version that a directory was made from: what the tag leads
// to, or, where the tag is new, what the directory was checked out from. It
// refuses a commit that would leave out what others have committed.
func (r *Repository) parent(ctx context.Context, dir string, state workdir.State, current ocispec.Descriptor) (ocispec.Descriptor, error) {
	from := digest.Digest(state.Digest)
	if state.Repository != r.name() || from == "" {
		from = current.Digest
	}
	switch {
	case from == current.Digest:
		return current, nil
	case current.Digest != "":
		return ocispec.Descriptor{}, fmt.Errorf("%s was made from %s, but %s is %s (commit to another tag, and merge): %w",
			dir, from, r.Reference, current.Digest, ErrNotCommitted)
	}
	return r.Resolve(ctx, from.String())
}

// name returns the host and the repository, without tag or digest.
func (r *Repository) name() string { return r.Reference.Registry + "/" + r.Reference.Repository }

func (r *Repository) commitDir(ctx context.Context, dir string, parent ocispec.Descriptor, o PushOptions, v VersionOptions, warn func(path, what string)) (Committed, error) {
	rootfs, err := r.client.OpenRootfs(ctx, dir, nil, warn)
	if err != nil {
		return Committed{}, err
	}
	l, err := r.pushLayer(ctx, tarLayer(rootfs))
	// Closing tells why a stream ended early.
	if closeErr := rootfs.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return Committed{}, err
	}
	var parents []digest.Digest
	if parent.Digest != "" {
		same, err := r.isLayer(ctx, parent, l.descriptor.Digest)
		if err != nil || same {
			return Committed{Descriptor: parent, Unchanged: same}, err
		}
		parents = []digest.Digest{parent.Digest}
	}
	o.Annotations = v.annotations(parents...)
	d, err := r.pushLayerAsImage(ctx, l, o)
	return Committed{Descriptor: d}, err
}

// isLayer reports whether an image is of one layer, and that this one.
func (r *Repository) isLayer(ctx context.Context, image ocispec.Descriptor, layer digest.Digest) (bool, error) {
	m, err := r.at(image.Digest.String()).Manifest(ctx)
	if err != nil {
		return false, err
	}
	return len(m.Layers) == 1 && m.Layers[0].Digest == layer, nil
}

// remember keeps which version a directory is, and its fingerprint if it did not
// change since before.
func (r *Repository) remember(ctx context.Context, dir string, d digest.Digest, before workdir.Fingerprint, settled bool) error {
	state := workdir.State{Repository: r.name(), Digest: d.String()}
	after, err := workdir.Take(ctx, dir)
	if err != nil {
		return err
	}
	if settled && after == before {
		state.Remember(after)
	}
	return state.Save(dir)
}

// CheckoutOptions say how a version is checked out.
type CheckoutOptions struct {
	workdir.Options
	// Force gives up what was changed in the directory since its last commit or
	// checkout.
	Force bool
}

// ErrChanged is wrapped where a directory has changes that would be lost.
var ErrChanged = errors.New("the directory has changes that were not committed")

// Checkout makes a directory the version that the repository's reference names:
// a new or empty one, or one that was another version.
func (r *Repository) Checkout(ctx context.Context, dir string, o CheckoutOptions) (ocispec.Descriptor, error) {
	empty, err := makeDir(dir)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	if !empty && !o.Force {
		if err := checkClean(ctx, dir); err != nil {
			return ocispec.Descriptor{}, err
		}
	}
	i, err := r.OpenImage(ctx, OpenOptions{Whole: empty})
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	err = r.checkout(ctx, i, dir, o)
	if err := errors.Join(err, i.Close()); err != nil {
		return ocispec.Descriptor{}, err
	}
	now, settled, err := workdir.TakeSettled(ctx, dir)
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	return i.Descriptor, r.remember(ctx, dir, i.Descriptor.Digest, now, settled)
}

func (r *Repository) checkout(ctx context.Context, i *Image, dir string, o CheckoutOptions) (err error) {
	have, err := openDirectory(ctx, dir, func(string, string) {})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, have.Close()) }()
	contents, err := NewContents(ctx, false, have, i)
	if err != nil {
		return err
	}
	changes, err := diff.Trees(have.Tree, i.Tree, contents.Same)
	if err != nil {
		return err
	}
	if err := contents.prefetchFiles(ctx, changes); err != nil {
		return err
	}
	return workdir.Apply(ctx, dir, i.Tree, changes, contents, o.Options)
}

// prefetchFiles fetches the content of the files that are made.
func (c *Contents) prefetchFiles(ctx context.Context, changes []diff.Change) error {
	var b extent.Builder
	for _, change := range changes {
		if change.New == nil || change.Old != nil && change.Aspects&(diff.Content|diff.Type|diff.Links) == 0 {
			continue
		}
		for _, x := range change.New.Content {
			b.Extent(x)
		}
	}
	m, err := b.Build()
	if err != nil {
		return err
	}
	return c.prefetch(ctx, m)
}

// makeDir sees that there is a directory, and reports whether it is empty.
func makeDir(dir string) (empty bool, err error) {
	if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return false, err
	}
	entries, err := os.ReadDir(dir)
	return len(entries) == 0, err
}

// checkClean refuses a directory that is not the version it was last.
func checkClean(ctx context.Context, dir string) error {
	state, err := workdir.Load(dir)
	if err != nil {
		return err
	}
	now, err := workdir.Take(ctx, dir)
	if err != nil {
		return err
	}
	if state.Digest == "" {
		return fmt.Errorf("%s is neither empty nor a checkout (--force to replace what is in it): %w", dir, ErrChanged)
	}
	if !state.Is(now) {
		return fmt.Errorf("%s (commit them, or give them up with --force): %w", dir, ErrChanged)
	}
	return nil
}
