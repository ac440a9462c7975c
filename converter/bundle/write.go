package bundle

import (
	"archive/tar"
	"cmp"
	"context"
	"crypto"
	"crypto/rsa"
	"crypto/sha1"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strconv"

	"github.com/klauspost/compress/gzip"

	"github.com/cloudlets/cloudlets/image/kind"
)

// Options say how an image is bundled.
type Options struct {
	Name         string // of the image's file
	Prefix       string // of the names of parts and manifest; empty is Name
	User         string // account
	Architecture string // in EC2's words
	// Type is kernel or ramdisk; all else is a machine image.
	Type kind.Type
	// KernelID and RamdiskID are the images to boot a machine image with.
	KernelID, RamdiskID string
	BlockDevices        []BlockDevice
	ProductCodes        []string
	// Version is that of the program, for the manifest.
	Version string
	// PartSize is how many bytes a part has; 0 is DefaultPartSize.
	PartSize int64

	Secret Secret
	// Recipient is the user's public key, Cloud that of the cloud; at least one
	// is needed, and the bundle can be read only by those given.
	Recipient, Cloud *rsa.PublicKey
	// Signer signs the manifest; nil leaves it unsigned.
	Signer *rsa.PrivateKey
}

// ManifestName returns the name of the manifest's file.
func (o Options) ManifestName() string { return cmp.Or(o.Prefix, o.Name) + ManifestSuffix }

// File is a file that is being written. It has its name after Commit, and leaves
// nothing when it is closed without.
type File interface {
	io.WriteCloser
	Commit() error
}

// Destination is where the files of a bundle are put.
type Destination interface {
	Create(name string) (File, error)
}

// Write bundles an image of size bytes. The manifest is put last, so that where
// there is one its parts are there too. Equal images with equal options make equal
// bundles.
func Write(ctx context.Context, image io.Reader, size int64, o Options, to Destination) (*Manifest, error) {
	o.setDefaults()
	if err := o.check(size); err != nil {
		return nil, fmt.Errorf("bundle %s: %w", o.Name, err)
	}
	m, err := write(ctx, image, size, o, to)
	if err != nil {
		return nil, fmt.Errorf("bundle %s: %w", o.Name, err)
	}
	return m, nil
}

func (o *Options) setDefaults() {
	o.Prefix = cmp.Or(o.Prefix, o.Name)
	o.PartSize = cmp.Or(o.PartSize, DefaultPartSize)
}

// check returns what is wrong with options.
func (o *Options) check(size int64) error {
	if err := errors.Join(checkName("name", o.Name), checkName("prefix", o.Prefix), checkName("user", o.User), checkName("architecture", o.Architecture)); err != nil {
		return err
	}
	if size < 0 || size > maxImageSize {
		return fmt.Errorf("size of %d bytes: expected at most %d", size, int64(maxImageSize))
	}
	if o.PartSize < 1<<10 || size/o.PartSize >= maxParts/2 {
		return fmt.Errorf("parts of %d bytes: expected at least 1024, and fewer than %d parts", o.PartSize, maxParts/2)
	}
	if o.Recipient == nil && o.Cloud == nil {
		return errors.New("expected a certificate to encrypt the bundle to: nobody could read it")
	}
	loaded := o.Type == kind.Kernel || o.Type == kind.Ramdisk
	if loaded && (o.KernelID != "" || o.RamdiskID != "" || len(o.BlockDevices) > 0) {
		return fmt.Errorf("a %s is not booted with a kernel, a ramdisk and devices of its own", o.Type)
	}
	if o.KernelID == imageIsOne || o.RamdiskID == imageIsOne {
		return fmt.Errorf("the ID %q is what marks a kernel or a ramdisk: expected that of an image, or a %s of that type", imageIsOne, o.Name)
	}
	return nil
}

func write(ctx context.Context, image io.Reader, size int64, o Options, to Destination) (*Manifest, error) {
	splitter := &splitter{ctx: ctx, to: to, prefix: o.Prefix, size: o.PartSize}
	digest, err := pack(image, size, o, splitter)
	if err = errors.Join(err, splitter.close(err)); err != nil {
		return nil, err
	}
	m := o.manifest(digest, size, splitter)
	document, err := m.encode(o)
	if err != nil {
		return nil, fmt.Errorf("manifest: %w", err)
	}
	return m, writeFile(to, o.ManifestName(), document)
}

func writeFile(to Destination, name string, content []byte) (err error) {
	f, err := to.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.Write(content); err != nil {
		return err
	}
	return f.Commit()
}

// pack writes the image as it stands in the parts, and returns the digest of its
// tar.
func pack(image io.Reader, size int64, o Options, to io.Writer) (string, error) {
	encrypted, err := newEncrypter(to, o.Secret)
	if err != nil {
		return "", err
	}
	compressed := gzip.NewWriter(encrypted)
	sum := sha1.New()
	archive := tar.NewWriter(io.MultiWriter(sum, compressed))
	header := tar.Header{Typeflag: tar.TypeReg, Name: o.Name, Size: size, Mode: 0o644, Format: tar.FormatGNU}
	if err := archive.WriteHeader(&header); err != nil {
		return "", err
	}
	n, err := io.CopyN(archive, image, size)
	if err == io.EOF {
		err = fmt.Errorf("the image has %d bytes, expected %d: %w", n, size, io.ErrUnexpectedEOF)
	}
	if err != nil {
		return "", err
	}
	for _, end := range []io.Closer{archive, compressed, encrypted} {
		if err := end.Close(); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// splitter writes parts.
type splitter struct {
	ctx    context.Context //nolint:containedctx // io.Writer has no place for it
	to     Destination
	prefix string
	size   int64 // of parts

	parts   []Part
	total   int64 // bytes of all parts
	current File  // nil between parts
	sum     hash.Hash
	left    int64 // bytes that the current part may still have
}

func (s *splitter) Write(p []byte) (int, error) {
	written := 0
	for written < len(p) {
		if s.current == nil {
			if err := s.begin(); err != nil {
				return written, err
			}
		}
		n := int(min(s.left, int64(len(p)-written)))
		if _, err := s.current.Write(p[written : written+n]); err != nil {
			return written, err
		}
		s.sum.Write(p[written : written+n])
		written += n
		s.total += int64(n)
		if s.left -= int64(n); s.left == 0 {
			if err := s.end(); err != nil {
				return written, err
			}
		}
	}
	return written, nil
}

func (s *splitter) begin() error {
	if err := s.ctx.Err(); err != nil {
		return err
	}
	name := fmt.Sprintf("%s.part.%02d", s.prefix, len(s.parts))
	f, err := s.to.Create(name)
	if err != nil {
		return err
	}
	s.parts = append(s.parts, Part{Name: name})
	s.current, s.sum, s.left = f, sha1.New(), s.size
	return nil
}

func (s *splitter) end() error {
	f := s.current
	s.current = nil
	s.parts[len(s.parts)-1].Digest = hex.EncodeToString(s.sum.Sum(nil))
	return errors.Join(f.Commit(), f.Close())
}

// close ends the last part, which is dropped after a failure.
func (s *splitter) close(failed error) error {
	switch {
	case s.current == nil:
		return nil
	case failed != nil:
		return s.current.Close()
	}
	return s.end()
}

// manifest returns what the manifest says.
func (o *Options) manifest(digest string, size int64, s *splitter) *Manifest {
	m := &Manifest{
		Bundler: "cloudlets " + o.Version, Architecture: o.Architecture,
		KernelID: o.KernelID, RamdiskID: o.RamdiskID, BlockDevices: o.BlockDevices, ProductCodes: o.ProductCodes,
		Name: o.Name, User: o.User, Type: typeMachine,
		Digest: digest, Size: size, BundledSize: s.total, Parts: s.parts,
	}
	switch o.Type {
	case kind.Kernel:
		m.Type, m.KernelID = typeKernel, imageIsOne
	case kind.Ramdisk:
		m.Type, m.RamdiskID = typeRamdisk, imageIsOne
	}
	return m
}

// encode encrypts, signs and writes the manifest.
func (m *Manifest) encode(o Options) ([]byte, error) {
	for _, r := range []struct {
		key    *rsa.PublicKey
		secret *encryptedSecret
	}{{o.Recipient, &m.user}, {o.Cloud, &m.cloud}} {
		if r.key == nil {
			continue
		}
		var err error
		if *r.secret, err = o.Secret.encrypt(r.key); err != nil {
			return nil, err
		}
	}
	configuration, err := xml.Marshal(m.xmlConfiguration())
	if err != nil {
		return nil, err
	}
	image, err := xml.Marshal(m.xmlImage())
	if err != nil {
		return nil, err
	}
	bundler, err := xml.Marshal(xmlBundler{Name: "cloudlets", Version: o.Version, Release: "0"})
	if err != nil {
		return nil, err
	}
	m.signed = slices.Concat(configuration, image)
	signature := unsigned
	if o.Signer != nil {
		sum := sha1.Sum(m.signed)
		if m.signature, err = rsa.SignPKCS1v15(nil, o.Signer, crypto.SHA1, sum[:]); err != nil {
			return nil, fmt.Errorf("sign: %w", err)
		}
		signature = hex.EncodeToString(m.signature)
	}
	return fmt.Appendf(nil, `<?xml version="1.0" encoding="UTF-8"?><manifest><version>%s</version>%s%s<signature>%s</signature></manifest>`,
		manifestVersion, bundler, m.signed, signature), nil
}

func (m *Manifest) xmlConfiguration() xmlConfiguration {
	c := xmlConfiguration{Architecture: m.Architecture, KernelID: m.KernelID, RamdiskID: m.RamdiskID}
	if len(m.BlockDevices) > 0 {
		c.Mappings = new(xmlMappings)
	}
	for _, b := range m.BlockDevices {
		c.Mappings.Mappings = append(c.Mappings.Mappings, xmlMapping(b))
	}
	if len(m.ProductCodes) > 0 {
		c.ProductCodes = &xmlCodes{m.ProductCodes}
	}
	return c
}

func (m *Manifest) xmlImage() xmlImage {
	hexed := func(b []byte) xmlValue { return xmlValue{cipherAlgorithm, hex.EncodeToString(b)} }
	i := xmlImage{
		Name: m.Name, User: m.User, Type: m.Type,
		Digest: xmlValue{digestAlgorithm, m.Digest},
		Size:   strconv.FormatInt(m.Size, 10), BundledSize: strconv.FormatInt(m.BundledSize, 10),
		CloudKey: hexed(m.cloud.key), UserKey: hexed(m.user.key),
		CloudIV: hex.EncodeToString(m.cloud.iv), UserIV: hex.EncodeToString(m.user.iv),
		Parts: xmlParts{Count: len(m.Parts)},
	}
	for n, p := range m.Parts {
		i.Parts.Parts = append(i.Parts.Parts, xmlPart{n, p.Name, xmlValue{digestAlgorithm, p.Digest}})
	}
	return i
}
