package client

import (
	"context"

	"github.com/cloudlets/cloudlets/converter/lint"
	"github.com/cloudlets/cloudlets/image"
	"github.com/cloudlets/cloudlets/image/cloudlet"
)

// Lint says what the image lacks for a provider, or for all where none is named.
// Volatile paths of the cloudlet manifest are left out.
func (i *Image) Lint(ctx context.Context, m *cloudlet.Manifest, provider string) (lint.Report, error) {
	tree, err := image.DropVolatile(i.Tree, m)
	if err != nil {
		return lint.Report{}, err
	}
	if provider == "" {
		return lint.Lint(ctx, tree, i)
	}
	return lint.Lint(ctx, tree, i, provider)
}
