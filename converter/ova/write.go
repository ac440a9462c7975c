package ova

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"time"

	"github.com/cloudlets/cloudlets/extent"
)

// Disk is a disk to be packed.
type Disk struct {
	File     *extent.Map // a streamOptimized VMDK file
	Capacity int64       // of the disk in it, in bytes
}

// blockSize is the unit of a tar, in bytes.
const blockSize = 512

// Write returns the package of a machine with its disks: the description, the
// disks, and a manifest with the SHA-256 of each. For those the disks' files,
// opened with open, are read once.
//
// The same machine and disks give the same package.
func Write(ctx context.Context, m Machine, disks []Disk, open extent.Opener) (*extent.Map, error) {
	file, err := write(ctx, m, disks, open)
	if err != nil {
		return nil, fmt.Errorf("write OVA package %q of %d disks: %w", m.Name, len(disks), err)
	}
	return file, nil
}

func write(ctx context.Context, m Machine, disks []Disk, open extent.Opener) (*extent.Map, error) {
	m, err := m.withDefaults()
	if err != nil {
		return nil, err
	}
	if most := m.hardware().maxDisks; len(disks) == 0 || len(disks) > most {
		return nil, fmt.Errorf("%d disks: want 1 to %d", len(disks), most)
	}
	text, err := describe(m, disks)
	if err != nil {
		return nil, err
	}
	var p packer
	if err := p.add(ctx, m.Name+".ovf", bytesMap(text), nil); err != nil {
		return nil, err
	}
	for i, d := range disks {
		if err := p.add(ctx, diskName(m, i), d.File, open); err != nil {
			return nil, err
		}
	}
	return p.finish(m.Name + ".mf")
}

// packer makes a package.
type packer struct {
	b        extent.Builder
	manifest strings.Builder
}

// add adds a file and its line in the manifest.
func (p *packer) add(ctx context.Context, name string, content *extent.Map, open extent.Opener) error {
	sum := sha256.New()
	r := extent.NewReader(ctx, content, open)
	defer func() { _ = r.Close() }()
	if _, err := r.WriteTo(sum); err != nil {
		return fmt.Errorf("hash %s: %w", name, err)
	}
	fmt.Fprintf(&p.manifest, "SHA256(%s)= %x\n", name, sum.Sum(nil))
	return p.appendFile(name, content)
}

// appendFile appends a file of the tar.
func (p *packer) appendFile(name string, content *extent.Map) error {
	header, err := tarHeader(name, content.Size())
	if err != nil {
		return err
	}
	p.b.Inline(header)
	p.b.Map(content)
	p.b.Zero(-content.Size() & (blockSize - 1))
	return nil
}

// finish appends the manifest and the end of the tar, and returns the package.
func (p *packer) finish(name string) (*extent.Map, error) {
	if err := p.appendFile(name, bytesMap([]byte(p.manifest.String()))); err != nil {
		return nil, err
	}
	p.b.Zero(2 * blockSize)
	return p.b.Build()
}

// tarHeader returns the header of a file in the ustar format. Its sizes end at 8
// GiB; beyond, the header is GNU tar's, which VMware's products write then.
func tarHeader(name string, size int64) ([]byte, error) {
	const maxUstar = 1<<33 - 1
	h := &tar.Header{
		Typeflag: tar.TypeReg,
		Name:     name,
		Size:     size,
		Mode:     0o644,
		ModTime:  time.Unix(0, 0),
		Format:   tar.FormatUSTAR,
	}
	if size > maxUstar {
		h.Format = tar.FormatGNU
	}
	var p bytes.Buffer
	if err := tar.NewWriter(&p).WriteHeader(h); err != nil {
		return nil, fmt.Errorf("pack %s of %d bytes: %w", name, size, err)
	}
	return p.Bytes(), nil
}

// bytesMap returns the map of p. Inline bytes cannot be wrong.
func bytesMap(p []byte) *extent.Map {
	var b extent.Builder
	b.Inline(p)
	m, _ := b.Build()
	return m
}
