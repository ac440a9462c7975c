package qemu

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/cloudlets/cloudlets/converter/qcow2"
	"github.com/cloudlets/cloudlets/extent"
)

// ErrOtherDisk says that an overlay was made for another disk than the one that
// it is to be laid over.
var ErrOtherDisk = errors.New("the overlay was made for another disk")

// baseSuffix names the file beside an overlay that says what it lies over.
const baseSuffix = ".base"

// Overlay makes a qcow2 file for what a node writes over a disk, unless it is
// there. The file names no other file: what lies below it is said when the node
// starts. Beside it a file is kept that tells one disk from others; the error wraps
// ErrOtherDisk when an overlay is there that was made for another.
func Overlay(ctx context.Context, path string, disk *extent.Map) error {
	sum := sha256.Sum256(disk.Encode())
	base := "sha256:" + hex.EncodeToString(sum[:]) + "\n"
	_, err := os.Stat(path)
	if err == nil {
		return checkBase(path, base)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	var b extent.Builder
	b.Zero(disk.Size())
	empty, err := b.Build()
	if err != nil {
		return err
	}
	file, err := qcow2.Write(empty, qcow2.Options{})
	if err != nil {
		return fmt.Errorf("make overlay %s: %w", path, err)
	}
	// The overlay comes last: without it, nothing is lost.
	if err := os.WriteFile(path+baseSuffix, []byte(base), 0o600); err != nil {
		return fmt.Errorf("make overlay %s: %w", path, err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("make overlay: %w", err)
	}
	err = extent.NewReader(ctx, file, nil).WriteSparse(f)
	return errors.Join(err, f.Close())
}

func checkBase(path, base string) error {
	found, err := os.ReadFile(path + baseSuffix)
	if err != nil {
		return fmt.Errorf("overlay %s exists, but what it lies over cannot be told: %w", path, err)
	}
	if string(found) != base {
		return fmt.Errorf("%w: %s lies over the disk %s, and this one is %s: boot the image that it was made with, or name another file",
			ErrOtherDisk, path, strings.TrimSpace(string(found)), strings.TrimSpace(base))
	}
	return nil
}
