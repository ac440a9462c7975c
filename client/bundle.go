package client

import (
	"context"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/cloudlets/cloudlets/converter/bundle"
	"github.com/cloudlets/cloudlets/image/kind"
)

// BundleFiles are the files that an AMI bundle is read from.
type BundleFiles struct {
	Manifest string
	Source   string // directory of the parts; empty is that of the manifest
	Key      string // private key in PEM
	Cert     string // certificate of the signer in PEM; empty is that of Key
}

// Unbundled says what was in an AMI bundle.
type Unbundled struct {
	Name         string               `json:"name"`
	Type         kind.Type            `json:"type"` // filesystem may be a disk
	Architecture string               `json:"architecture"`
	User         string               `json:"user"`
	Size         int64                `json:"size"`
	KernelID     string               `json:"kernelId,omitempty"`
	RamdiskID    string               `json:"ramdiskId,omitempty"`
	BlockDevices []bundle.BlockDevice `json:"blockDevices,omitempty"`
	ProductCodes []string             `json:"productCodes,omitempty"`
	Bundler      string               `json:"bundler,omitempty"`
	// Verified says that the signature was verified, and Unverified why not.
	Verified   bool   `json:"verified"`
	Unverified string `json:"unverified,omitempty"`
}

// OpenBundle opens an AMI bundle and verifies its signature: with the certificate,
// or else with the key if the bundle is the key holder's. A manifest that is not
// signed is refused where there is a certificate. The image must be closed.
func (c *Client) OpenBundle(ctx context.Context, files BundleFiles) (*BundleImage, error) {
	m, err := readBundleManifest(files.Manifest)
	if err != nil {
		return nil, err
	}
	key, err := ReadPrivateKey(files.Key)
	if err != nil {
		return nil, err
	}
	secret, recipient, err := m.Decrypt(key)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", files.Manifest, err)
	}
	b := &BundleImage{Unbundled: describeBundle(m), step: Silent{}.Step("", 0)}
	if err := b.verify(m, files, key, recipient); err != nil {
		return nil, fmt.Errorf("%s: %w", files.Manifest, err)
	}
	if files.Source == "" {
		files.Source = filepath.Dir(files.Manifest)
	}
	if b.parts, err = os.OpenRoot(files.Source); err != nil {
		return nil, err
	}
	if b.image, err = bundle.Open(ctx, m, partFiles{b.parts}, secret); err != nil {
		return nil, errors.Join(err, b.parts.Close())
	}
	b.step = c.progress.Step("unbundle", m.Size)
	return b, nil
}

func readBundleManifest(path string) (*bundle.Manifest, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	m, err := bundle.ReadManifest(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}

func describeBundle(m *bundle.Manifest) Unbundled {
	u := Unbundled{
		Name: m.Name, Type: m.ImageType(), Architecture: m.Architecture, User: m.User, Size: m.Size,
		BlockDevices: m.BlockDevices, ProductCodes: m.ProductCodes, Bundler: m.Bundler,
	}
	if u.Type == kind.Filesystem {
		u.KernelID, u.RamdiskID = m.KernelID, m.RamdiskID
	}
	return u
}

// verify verifies the signature, or notes why it was not.
func (b *BundleImage) verify(m *bundle.Manifest, files BundleFiles, key *rsa.PrivateKey, recipient bundle.Recipient) error {
	signer := &key.PublicKey
	switch {
	case files.Cert != "":
		var err error
		if signer, err = ReadCertificate(files.Cert); err != nil {
			return err
		}
	case !m.Signed():
		b.Unverified = "the manifest is not signed: anybody can have made this bundle"
		return nil
	case recipient != bundle.User:
		b.Unverified = "the signature was not verified: this is not the user's key, and no certificate was given"
		return nil
	}
	switch err := m.Verify(signer); {
	case errors.Is(err, bundle.ErrSignature) && files.Cert == "":
		return fmt.Errorf("%w; if another key signed it, give that key's certificate", err)
	case err != nil:
		return err
	}
	b.Verified = true
	return nil
}

// BundleImage is the image in an AMI bundle. What was read must not be used unless
// the last Read returned io.EOF. It must be closed.
type BundleImage struct {
	Unbundled

	image *bundle.Image
	parts *os.Root
	step  Step
	done  int64
}

func (b *BundleImage) Read(p []byte) (int, error) {
	n, err := b.image.Read(p)
	b.done += int64(n)
	b.step.Set(b.done)
	return n, err
}

// Close ends reading.
func (b *BundleImage) Close() error {
	var short error
	if b.done < b.Size {
		short = io.ErrUnexpectedEOF
	}
	b.step.End(short)
	return errors.Join(b.image.Close(), b.parts.Close())
}

// partFiles opens parts that are files in a directory, and follows no link that
// leads out of it. It waits for nobody to write to a pipe.
type partFiles struct{ dir *os.Root }

func (p partFiles) OpenPart(_ context.Context, name string) (io.ReadCloser, error) {
	f, err := p.dir.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is no regular file", name)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// BundleContent is what ExportBundle bundles.
type BundleContent interface {
	io.ReaderAt
	Size() int64
}

// ExportBundle writes the AMI bundle of an image to a directory, which is made if
// there is none. Where there is a signer, the secret is derived from its key and
// the image: the image is then read twice, and the bundle the same each time.
// Otherwise the secret is a random one.
func (c *Client) ExportBundle(ctx context.Context, content BundleContent, dir string, o bundle.Options) (*bundle.Manifest, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	o.Secret = bundle.RandomSecret()
	if o.Signer != nil {
		hash := sha256.New()
		if err := c.readAll("hash", content, hash); err != nil {
			return nil, fmt.Errorf("read the image: %w", err)
		}
		var err error
		if o.Secret, err = bundle.DeriveSecret(o.Signer, [sha256.Size]byte(hash.Sum(nil)), o.Name); err != nil {
			return nil, err
		}
	}
	step := c.progress.Step("bundle", content.Size())
	r := io.TeeReader(io.NewSectionReader(content, 0, content.Size()), &counter{step: step})
	m, err := bundle.Write(ctx, r, content.Size(), o, bundleDir(dir))
	step.End(err)
	return m, err
}

func (c *Client) readAll(name string, content BundleContent, w io.Writer) error {
	step := c.progress.Step(name, content.Size())
	_, err := io.Copy(io.MultiWriter(w, &counter{step: step}), io.NewSectionReader(content, 0, content.Size()))
	step.End(err)
	return err
}

// bundleDir is a directory that the files of a bundle are put in.
type bundleDir string

func (d bundleDir) Create(name string) (bundle.File, error) {
	return CreateSparse(filepath.Join(string(d), name))
}

// BlockDevices returns block devices in the order of their virtual names.
func BlockDevices(byVirtual map[string]string) []bundle.BlockDevice {
	var devices []bundle.BlockDevice
	for _, virtual := range slices.Sorted(maps.Keys(byVirtual)) {
		devices = append(devices, bundle.BlockDevice{Virtual: virtual, Device: byVirtual[virtual]})
	}
	return devices
}

// ReadPrivateKey reads an RSA private key from a file in PEM.
func ReadPrivateKey(path string) (*rsa.PrivateKey, error) {
	return readPEM(path, "private key", bundle.ParsePrivateKey)
}

// ReadCertificate reads the RSA public key of a certificate from a file in PEM.
func ReadCertificate(path string) (*rsa.PublicKey, error) {
	return readPEM(path, "certificate", bundle.ParseCertificate)
}

// maxPEM is how many bytes a file with keys or certificates may have.
const maxPEM = 1 << 20

func readPEM[T any](path, what string, parse func([]byte) (*T, error)) (*T, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxPEM))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	parsed, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", what, path, err)
	}
	return parsed, nil
}
