package client

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/cloudlets/cloudlets/converter/boot"
	"github.com/cloudlets/cloudlets/image/tarball"
)

// maxKitFile bounds one file of a boot kit, in bytes.
const maxKitFile = 32 << 20

// errEmptyKit says that there is nothing to make a boot kit of.
var errEmptyKit = errors.New("no bootloader files: expected those of the Debian packages grub-pc-bin (BIOS), " +
	"grub-efi-amd64-bin or systemd-boot-efi, or shim-signed with grub-efi-amd64-signed (UEFI); install one and try again")

// kit is the content of a boot kit: files by path.
type kit map[string][]byte

// OpenBootkit makes a boot kit of the bootloader files of a rootfs: a tar, a
// directory or "-", as in OpenRootfs. The same files make the same kit.
func (c *Client) OpenBootkit(_ context.Context, name string, stdin io.Reader, _ func(path, what string)) (*Rootfs, error) {
	k, err := readKit(name, stdin)
	if err != nil {
		return nil, fmt.Errorf("boot kit from %s: %w", name, err)
	}
	if len(k) == 0 {
		return nil, fmt.Errorf("boot kit from %s: %w", name, errEmptyKit)
	}
	stream, err := k.tar()
	if err != nil {
		return nil, fmt.Errorf("boot kit from %s: %w", name, err)
	}
	return &Rootfs{Reader: stream}, nil
}

func readKit(name string, stdin io.Reader) (kit, error) {
	if name == "-" {
		return kitFromTar(stdin)
	}
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return kitFromDir(name)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return kitFromTar(f)
}

// kitFromDir reads the files of a kit from a directory, nothing outside of it.
func kitFromDir(dir string) (kit, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	k := kit{}
	for _, p := range boot.KitPaths() {
		err := fs.WalkDir(root.FS(), p, func(name string, e fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err != nil || !e.Type().IsRegular() {
				return err
			}
			f, err := root.Open(name)
			if err != nil {
				return err
			}
			defer f.Close()
			return k.add(name, f)
		})
		if err != nil {
			return nil, err
		}
	}
	return k, nil
}

// kitFromTar reads the files of a kit from a tar, which may be compressed.
func kitFromTar(stream io.Reader) (kit, error) {
	plain, _, err := tarball.Decompress(stream)
	if err != nil {
		return nil, err
	}
	defer plain.Close()
	k := kit{}
	for r := tar.NewReader(plain); ; {
		h, err := r.Next()
		if err == io.EOF {
			return k, nil
		}
		if err != nil {
			return nil, err
		}
		name := strings.TrimPrefix(path.Clean("/"+h.Name), "/")
		if h.Typeflag == tar.TypeReg && isKitPath(name) {
			if err := k.add(name, r); err != nil {
				return nil, err
			}
		}
	}
}

func isKitPath(name string) bool {
	return slices.ContainsFunc(boot.KitPaths(), func(p string) bool {
		return name == p || strings.HasPrefix(name, p+"/")
	})
}

func (k kit) add(name string, r io.Reader) error {
	content, err := io.ReadAll(io.LimitReader(r, maxKitFile+1))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if len(content) > maxKitFile {
		return fmt.Errorf("%s is longer than %d bytes", name, maxKitFile)
	}
	k[name] = content
	return nil
}

// tar returns the kit as a tar: files only, sorted, without a date or an owner.
func (k kit) tar() (io.Reader, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(k)) {
		h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(k[name])), ModTime: time.Unix(0, 0)}
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := w.Write(k[name]); err != nil {
			return nil, err
		}
	}
	return &b, w.Close()
}
