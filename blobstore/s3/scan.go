package s3

import (
	"context"
	"fmt"
	"io"
)

// Stat asks the bucket for the length of a sealed object, and remembers it.
func (d *Driver) Stat(ctx context.Context, key string) (int64, error) {
	n, _, err := parseSealedKey(key)
	if err != nil {
		return 0, err
	}
	size, err := d.stat(ctx, n)
	if err != nil {
		d.sizes.Remove(n)
		return 0, fmt.Errorf("look up object %s: %w", key, err)
	}
	if old, ok := d.sizes.Get(n); !ok || old != size {
		d.sizes.Remove(n)
		d.sizes.Add(n, size, 1)
	}
	return size, nil
}

// Scan streams a sealed object past the cache of blocks.
func (d *Driver) Scan(ctx context.Context, key string, w io.Writer) (int64, error) {
	size, err := d.Stat(ctx, key)
	if err != nil {
		return 0, err
	}
	n, _, err := parseSealedKey(key)
	if err != nil {
		return 0, err
	}
	written, err := d.copyRange(ctx, w, n, 0, size)
	if err != nil {
		return written, fmt.Errorf("scan object %s: %w", key, err)
	}
	return written, nil
}
