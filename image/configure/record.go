package configure

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/cloudlets/cloudlets/extent"
	"github.com/cloudlets/cloudlets/image"
	"github.com/cloudlets/cloudlets/image/cloudlet"
)

// RecordPath is where in the rootfs the configuration is recorded, from the
// root. An image that has the file is configured, and is not configured again.
const RecordPath = ".cloudlet/applied_config"

// ErrConfigured says that an image was configured before.
var ErrConfigured = errors.New("the image is configured already: /" + RecordPath +
	" says with what; configure the image that it was made of")

// Configured reports whether a rootfs was configured before.
func Configured(t *image.Tree) bool { return t.Lookup(RecordPath) != nil }

// Recorded returns the configuration that a rootfs was configured with, as JSON
// without secrets, or nil.
func Recorded(ctx context.Context, t *image.Tree, open extent.Opener) ([]byte, error) {
	n := t.Lookup(RecordPath)
	if n == nil {
		return nil, nil
	}
	recorded, err := n.Read(ctx, open, cloudlet.MaxManifestSize)
	if err != nil {
		return nil, fmt.Errorf("/%s: %w", RecordPath, err)
	}
	return bytes.TrimSpace(recorded), nil
}
